package collect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/test/setup"
)

// names are the ids from n to m, step by step.
func names(from, to, step int) (ids []string) {
	for i := from; i < to; i += step {
		ids = append(ids, fmt.Sprint(i))
	}

	return ids
}

// TestRejectedAlertsHoldUpNoOtherAndComeOnceInTheEnd: 300 alerts, one
// every 20 s, of which some are refused for two hours.
func TestRejectedAlertsHoldUpNoOtherAndComeOnceInTheEnd(t *testing.T) {
	n, apart := setup.Size(150, 300), 20*time.Second

	for name, bad := range map[string][]string{
		"none":          nil,
		"the first":     names(0, 1, 1),
		"the first two": names(0, 2, 1),
		"five in a row": names(100, 105, 1),
		"every second":  names(0, n, 2),
		"every tenth":   names(3, n, 10),
		"all but every tenth": slices.DeleteFunc(names(0, n, 1),
			func(id string) bool { return id[len(id)-1] == '0' }),
		"a hundred in a row, in the end": names(n-100, n, 1),
	} {
		for _, kills := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, kills %t", name, kills), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { rejectSome(t, n, apart, bad, kills) })
			})
		}
	}
}

// rejectSome lists n alerts, of which Fluent Bit refuses the bad ones until all others
// are there, and ends the process now and then if kills is set.
func rejectSome(t *testing.T, n int, apart time.Duration, bad []string, kills bool) {
	t.Helper()

	r := newRig(t)
	r.cfg.PollInterval = 5 * time.Second

	begin := time.Now()
	r.list(n, begin, apart)

	r.chunk.refuseAny(bad...)
	r.start()

	rng, restarts := rand.New(rand.NewPCG(1, 2)), 0

	worst := 0 * time.Second
	for time.Since(begin) < time.Duration(n)*24*time.Second {
		time.Sleep(time.Duration(10+rng.IntN(10)) * time.Second)

		if kills && rng.IntN(50) == 0 {
			restarts++

			r.kill()
			r.start()

			continue
		}

		counts := r.chunk.counts()

		for i := range n {
			id, at := fmt.Sprint(i), begin.Add(time.Duration(i)*apart)
			if counts[id] == 0 && !slices.Contains(bad, id) {
				worst = max(worst, time.Since(at))
				break
			}
		}
	}

	if most := 2 * time.Minute; worst > most && !kills { // once splitAfter, and what goes with it
		t.Errorf("an alert that Fluent Bit takes came %v after it was listed", worst)
	}

	if len(r.chunk.counts()) != n-len(bad) {
		t.Errorf("%d of the %d others arrived", len(r.chunk.counts()), n-len(bad))
	}

	r.chunk.accept()
	time.Sleep(time.Hour)
	r.stop()
	r.want(n, 1+restarts)

	r.wantDeferred(0)
}

func TestWhileEverythingIsRefusedNoMoreIsReadThanFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.limit = 20_000

		begin := time.Now()
		r.list(2000, begin, 10*time.Second)

		r.chunk.refuseAll()
		r.start()

		most := 0

		for range 6 * 360 {
			time.Sleep(10 * time.Second)

			most = max(most, r.in.outbox.Bytes())
		}

		if most > r.limit+1000 {
			t.Errorf("%d bytes waited; the limit is %d", most, r.limit)
		}

		before := r.appends()

		time.Sleep(time.Hour)

		if n := r.appends() - before; n > 3*3600 {
			t.Errorf("%d appends were tried in an hour", n)
		}

		r.chunk.accept()

		time.Sleep(time.Hour)
		r.stop()
		r.want(2000, 1)

		r.wantDeferred(0)
	})
}

func TestARejectedAlertThatFillsTheBufferHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.limit = 100 // less than one alert

		begin := time.Now()
		r.list(20, begin, time.Minute)

		r.chunk.refuseAny("0")
		r.start()
		time.Sleep(time.Hour)

		r.wantArrived(19)

		r.chunk.accept()
		time.Sleep(time.Hour)
		r.stop()
		r.want(20, 1)
	})
}

func TestWithoutAStoreRejectedAlertsStayWithinTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()

		const n = 300
		for i := range n {
			r.api.add(fmt.Sprint(i), begin, begin)
			r.api.alerts[i].text = padded(fmt.Sprint(i), begin, 20_000)
		}

		r.chunk.refuseAny(names(0, n, 2)...)
		r.start()
		time.Sleep(1500 * time.Millisecond)
		r.change(func() { r.store.full = true })

		for range 6 {
			time.Sleep(2 * time.Minute)

			if w := r.in.outbox.Bytes(); w > 2*r.limit {
				t.Errorf("%d bytes wait, the limit is %d", w, r.limit)
			}
		}

		r.change(func() { r.store.full = false })
		r.chunk.accept()
		time.Sleep(30 * time.Minute)
		r.stop()
		r.want(n, 1)
	})
}

func TestRejectedAlertsHoldUpNoOtherAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.PollInterval = 5 * time.Second

		begin := time.Now()
		r.list(600, begin, time.Minute)

		r.chunk.refuseAny(names(0, 240, 6)...)
		r.start()
		time.Sleep(4*time.Hour + time.Minute)
		r.stop()

		r.wantDeferred(40)

		r.start()

		for range 60 {
			time.Sleep(time.Minute)

			listed := int(time.Since(begin)/time.Minute) + 1
			if behind := listed - 40 - len(r.chunk.counts()); behind > 1 {
				t.Errorf("%d alerts behind after %v", behind, time.Since(begin))
			}
		}

		r.stop()
	})
}

// reject puts an entry with these rejected events into the store, for the next process.
func (r *rig) reject(next time.Time, ids ...string) {
	r.store.lastDeferred++
	r.store.deferred[r.store.lastDeferred] = store.Deferred{
		Kind:    store.RejectedEvent,
		Events:  rows(r, ids...),
		Reason:  rejectedReason,
		NextTry: next,
	}
}

// rows are alerts as events, one behind the other.
func rows(r *rig, ids ...string) (events []byte) {
	for _, id := range ids {
		key := alert.MakeID("x", "siem", []byte(id), nil)

		event, err := r.config().Encoder.Alert(nil, alert.Version{Time: 1, ID: key}, []byte(`{"FullId":"`+id+`"}`))
		if err != nil {
			r.t.Fatal(err)
		}

		events = append(events, event...)
	}

	return events
}

func TestARejectedEventHoldsUpNoOtherOfItsEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		r.reject(time.Now(), "0", "1", "2")
		r.chunk.refuseAny("0")
		r.start()
		time.Sleep(time.Hour)
		r.wantOnce("1", "2")
		r.kill()
		r.start()
		time.Sleep(time.Hour)
		r.wantOnce("1", "2")
		r.chunk.accept()
		time.Sleep(6 * time.Minute)
		r.stop()
		r.wantOnce("0", "1", "2")

		r.wantDeferred(0)
	})
}

func TestAClockThatWasAheadDelaysNoRejectedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.reject(time.Now().AddDate(10, 0, 0), "0")
		r.start()
		time.Sleep(offerAgain + 10*time.Second)
		r.stop()
		r.wantOnce("0")
	})
}

func TestDeferredWorkContinuesThoughTheStoreFailsAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.reject(time.Now(), "0")
		r.store.unlisted = 3
		unit := r.start()
		time.Sleep(10 * time.Minute)
		r.stop()
		r.wantOnce("0")

		if n := unit.snapshot().Deferred; n != 0 {
			t.Errorf("%d are shown as deferred", n)
		}
	})
}

func TestAnEventDeliveredAtLastIsNotRepeatedIfTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.reject(time.Now(), "0")
		r.store.full = true
		r.start()
		time.Sleep(time.Hour)
		r.change(func() { r.store.full = false })
		time.Sleep(time.Minute)
		r.kill()
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		r.wantOnce("0")
	})
}

func TestRejectedAlertsTakeNoMemoryWhileTheyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 2000 {
			r.reject(time.Now(), fmt.Sprint(i))
		}

		r.chunk.refuseAll()
		unit := r.start()
		most := 0

		for range 600 {
			time.Sleep(time.Second)

			most = max(most, r.in.outbox.Bytes())
		}

		if limit := offersAtOnce * 400; most > limit {
			t.Errorf("%d bytes were in the outbox for what is offered again; want less than %d", most, limit)
		}

		if n := unit.snapshot().Deferred; n != 2000 {
			t.Errorf("%d are shown as deferred; want 2000", n)
		}

		r.chunk.accept()
		time.Sleep(10 * time.Minute)
		r.stop()
		r.want(2000, 1)
	})
}

func TestAnEventOfferedWhileItsUnitIsReplacedIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.reject(time.Now(), "0")
		r.start()
		r.ends() // Fluent Bit stands still: what is offered stays in the outbox
		time.Sleep(10 * time.Second)
		r.replace()
		time.Sleep(10 * time.Second)

		r.tick(600)

		r.stop()
		r.wantOnce("0")

		r.wantDeferred(0)
	})
}

func TestSeveralRejectedAlertsInABatchHoldUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		begin := time.Now()
		r.api.add("0", begin, begin)
		r.api.add("1", begin, begin)

		for i := 2; i < 10; i++ {
			at := begin.Add(10 * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}

		r.chunk.refuseAny("0", "1")
		r.start()
		time.Sleep(12 * time.Hour)

		r.wantArrived(8)

		r.chunk.accept()
		time.Sleep(time.Hour)
		r.stop()
		r.want(10, 1)
	})
}

func TestARejectedEventComesOnceThoughItsUnitIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		begin := time.Now()
		r.list(100, begin, 2*time.Minute)

		r.chunk.refuseAny("0")
		r.start()
		time.Sleep(2 * time.Hour)

		for range 3 {
			r.replace()
			time.Sleep(10 * time.Second)
		}

		time.Sleep(2 * time.Hour)
		r.chunk.accept()
		time.Sleep(5 * time.Hour)
		r.stop()
		r.want(100, 1)

		r.wantDeferred(0)
	})
}
