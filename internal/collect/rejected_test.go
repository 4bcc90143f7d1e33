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

// refusing makes Fluent Bit refuse these alerts for as long as *on.
func (c *chunks) refusing(on *bool, bad ...string) {
	c.refuse = func(ids []string) bool {
		return *on && slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(bad, id) })
	}
}

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
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, 7)
					r.cfg.PollInterval = 5 * time.Second

					begin, on := time.Now(), true
					for i := range n {
						at := begin.Add(time.Duration(i) * apart)
						r.api.add(fmt.Sprint(i), at, at)
					}

					r.chunk.refusing(&on, bad...)
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

					r.change(func() { on = false })
					time.Sleep(time.Hour)
					r.stop()
					r.want(n, 1+restarts)

					if n := r.deferred(); n != 0 {
						t.Errorf("%d entries are still listed", n)
					}
				})
			})
		}
	}
}

func TestWhileEverythingIsRefusedNoMoreIsReadThanFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		r.limit = 20_000

		begin, on := time.Now(), true
		for i := range 2000 {
			at := begin.Add(time.Duration(i) * 10 * time.Second)
			r.api.add(fmt.Sprint(i), at, at)
		}

		r.chunk.refuse = func([]string) bool { return on }
		r.start()

		most := 0

		for range 6 * 360 {
			time.Sleep(10 * time.Second)

			most = max(most, r.in.outbox.Bytes())
		}

		if most > r.limit+1000 {
			t.Errorf("%d bytes waited; the limit is %d", most, r.limit)
		}

		appends := 0

		r.change(func() { appends = r.chunk.appends })
		time.Sleep(time.Hour)
		r.change(func() { appends = r.chunk.appends - appends; on = false })

		if appends > 3*3600 {
			t.Errorf("%d appends were tried in an hour", appends)
		}

		time.Sleep(time.Hour)
		r.stop()
		r.want(2000, 1)

		if n := r.deferred(); n != 0 {
			t.Errorf("%d events were rejected", n)
		}
	})
}

func TestARejectedAlertThatFillsTheBufferHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		r.limit = 100 // less than one alert

		begin, on := time.Now(), true
		for i := range 20 {
			at := begin.Add(time.Duration(i) * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}

		r.chunk.refusing(&on, "0")
		r.start()
		time.Sleep(time.Hour)

		if n := len(r.chunk.counts()); n != 19 {
			t.Errorf("%d of the 19 others arrived", n)
		}

		r.change(func() { on = false })
		time.Sleep(time.Hour)
		r.stop()
		r.want(20, 1)
	})
}

func TestWithoutAStoreRejectedAlertsStayWithinTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 44)
		begin := time.Now()

		const n = 300
		for i := range n {
			r.api.add(fmt.Sprint(i), begin, begin)
			r.api.alerts[i].text = padded(fmt.Sprint(i), begin, 20_000)
		}

		on := true
		r.chunk.refusing(&on, names(0, n, 2)...)
		r.start()
		time.Sleep(1500 * time.Millisecond)
		r.change(func() { r.store.full = true })

		for range 6 {
			time.Sleep(2 * time.Minute)

			if w := r.in.outbox.Bytes(); w > 2*r.limit {
				t.Errorf("%d bytes wait, the limit is %d", w, r.limit)
			}
		}

		r.change(func() { r.store.full, on = false, false })
		time.Sleep(30 * time.Minute)
		r.stop()
		r.want(n, 1)
	})
}

func TestRejectedAlertsHoldUpNoOtherAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		r.cfg.PollInterval = 5 * time.Second

		begin, on := time.Now(), true
		for i := range 600 {
			at := begin.Add(time.Duration(i) * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}

		r.chunk.refusing(&on, names(0, 240, 6)...)
		r.start()
		time.Sleep(4*time.Hour + time.Minute)
		r.stop()

		if n := r.deferred(); n != 40 {
			t.Fatalf("%d are deferred; want 40", n)
		}

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

// offering is one process that begins with these events deferred.
func offering(r *rig, events []byte, next time.Time) {
	r.store.deferred[1] = store.Deferred{
		Kind:    store.RejectedEvent,
		Events:  events,
		Reason:  rejectedReason,
		NextTry: next,
	}
	r.store.lastDeferred = 1
}

// rows are alerts as events, one behind the other.
func rows(r *rig, ids ...string) (events []byte) {
	for _, id := range ids {
		key := alert.MakeID("x", "siem", []byte(id), nil)

		event, err := r.tenant().Encoder.Alert(nil, alert.Version{Time: 1, ID: key}, []byte(`{"FullId":"`+id+`"}`))
		if err != nil {
			r.t.Fatal(err)
		}

		events = append(events, event...)
	}

	return events
}

func TestARejectedEventHoldsUpNoOtherOfItsEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		on := true

		offering(r, rows(r, "0", "1", "2"), time.Now())
		r.chunk.refusing(&on, "0")
		r.start()
		time.Sleep(time.Hour)
		r.arrivedOnce(t, "1", "2")
		r.kill()
		r.start()
		time.Sleep(time.Hour)
		r.arrivedOnce(t, "1", "2")
		r.change(func() { on = false })
		time.Sleep(6 * time.Minute)
		r.stop()
		r.arrivedOnce(t, "0", "1", "2")

		if n := r.deferred(); n != 0 {
			t.Errorf("%d entries are still listed", n)
		}
	})
}

func TestAClockThatWasAheadDelaysNoRejectedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		offering(r, rows(r, "0"), time.Now().AddDate(10, 0, 0))
		r.start()
		time.Sleep(offerAgain + 10*time.Second)
		r.stop()
		r.arrivedOnce(t, "0")
	})
}

func TestDeferredWorkContinuesThoughTheStoreFailsAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		offering(r, rows(r, "0"), time.Now())
		r.store.unlisted = 3
		tenant := r.start()

		time.Sleep(10 * time.Minute)
		r.stop()
		r.arrivedOnce(t, "0")

		if n := tenant.snapshot().Deferred; n != 0 {
			t.Errorf("%d are shown as deferred", n)
		}
	})
}

func TestAnEventDeliveredAtLastIsNotRepeatedIfTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		offering(r, rows(r, "0"), time.Now())
		r.store.full = true
		r.start()
		time.Sleep(time.Hour)
		r.change(func() { r.store.full = false })
		time.Sleep(time.Minute)
		r.kill()
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		r.arrivedOnce(t, "0")
	})
}

func TestRejectedAlertsTakeNoMemoryWhileTheyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		on := true

		for i := range 2000 {
			r.store.deferred[int64(i+1)] = store.Deferred{
				Kind:    store.RejectedEvent,
				Events:  rows(r, fmt.Sprint(i)),
				Reason:  rejectedReason,
				NextTry: time.Now(),
			}
		}

		r.chunk.refusing(&on, names(0, 2000, 1)...)
		tenant := r.start()
		most := 0

		for range 600 {
			time.Sleep(time.Second)

			most = max(most, r.in.outbox.Bytes())
		}

		if limit := offersAtOnce * 400; most > limit {
			t.Errorf("%d bytes were in the outbox for what is offered again; want less than %d", most, limit)
		}

		if n := tenant.snapshot().Deferred; n != 2000 {
			t.Errorf("%d are shown as deferred; want 2000", n)
		}

		r.change(func() { on = false })
		time.Sleep(10 * time.Minute)
		r.stop()
		r.want(2000, 1)
	})
}

func TestAnEventOfferedWhileItsUnitIsReplacedIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		offering(r, rows(r, "0"), time.Now())
		r.start()
		r.ends() // Fluent Bit stands still: what is offered stays in the outbox
		time.Sleep(10 * time.Second)
		r.in.Retire(r.cfg.Key, nil)
		r.in.Add(r.tenant())
		time.Sleep(10 * time.Second)

		for range 600 {
			r.in.Delivery.Tick(r.chunk.append, time.Second)
			time.Sleep(time.Second)
		}

		r.stop()
		r.arrivedOnce(t, "0")

		if n := r.deferred(); n != 0 {
			t.Errorf("%d entries are still listed", n)
		}
	})
}

func TestSeveralRejectedAlertsInABatchHoldUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		begin, on := time.Now(), true
		r.api.add("0", begin, begin)
		r.api.add("1", begin, begin)

		for i := 2; i < 10; i++ {
			at := begin.Add(10 * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}

		r.chunk.refusing(&on, "0", "1")
		r.start()
		time.Sleep(12 * time.Hour)

		if n := len(r.chunk.counts()); n != 8 {
			t.Errorf("%d of the 8 others arrived", n)
		}

		r.change(func() { on = false })
		time.Sleep(time.Hour)
		r.stop()
		r.want(10, 1)
	})
}

func TestARejectedEventComesOnceThoughItsUnitIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8)

		begin, on := time.Now(), true
		for i := range 100 {
			at := begin.Add(time.Duration(i) * 2 * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}

		r.chunk.refusing(&on, "0")
		r.start()
		time.Sleep(2 * time.Hour)

		for range 3 {
			r.in.Retire(r.cfg.Key, nil)
			r.in.Add(r.tenant())
			time.Sleep(10 * time.Second)
		}

		time.Sleep(2 * time.Hour)
		r.change(func() { on = false })
		time.Sleep(5 * time.Hour)
		r.stop()
		r.want(100, 1)

		if n := r.deferred(); n != 0 {
			t.Errorf("%d entries are still listed", n)
		}
	})
}
