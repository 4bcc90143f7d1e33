package collect

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

func TestEveryAlertIsHandedOverOnceAndNotAgainAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		begin := time.Now()
		for i := range 500 {
			at := begin.Add(-time.Duration(i%50) * 20 * time.Minute) // ties in tens
			r.api.add(fmt.Sprint(i), at, at)
		}
		r.start()
		time.Sleep(5 * time.Minute)
		r.want(500, 1)
		r.stop()
		r.start()
		time.Sleep(3 * time.Hour)
		r.want(500, 1)
		r.stop()
	})
}

func TestNothingOlderThanTheFloorIsEmittedWhateverIsListedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		begin := time.Now()
		r.cfg.Lookback = time.Hour
		r.api.add("0", begin.Add(-59*time.Minute), begin)
		r.api.add("too old", begin.Add(-61*time.Minute), begin)
		r.api.add("too old, listed later", begin.Add(-90*time.Minute), begin.Add(30*time.Minute))
		r.start()
		time.Sleep(2 * time.Hour)
		r.stop()
		r.want(1, 1)
	})
}

func TestLookbackIsNotAppliedAgainAfterADowntime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.cfg.Lookback = time.Hour
		r.start()
		time.Sleep(5 * time.Minute)
		r.stop()
		away := time.Now()
		for i := range 100 {
			at := away.Add(time.Duration(i) * 30 * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}
		time.Sleep(50 * time.Hour)
		r.start()
		time.Sleep(5 * time.Minute)
		r.want(100, 1)
		r.stop()
	})
}

func TestAlertsListedLateArriveByOverlapOrSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		begin := time.Now()
		n := 0
		for _, late := range []time.Duration{time.Minute, 9 * time.Minute, 30 * time.Minute, 6 * time.Hour, 23 * time.Hour} {
			for i := range 20 {
				at := begin.Add(30*time.Hour + time.Duration(i)*13*time.Minute)
				r.api.add(fmt.Sprint(n), at, at.Add(late))
				n++
			}
		}
		r.start()
		time.Sleep(70 * time.Hour)
		r.stop()
		r.want(n, 1)
	})
}

func TestACutAnswerIsReadAgainWithoutRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		rng := rand.New(rand.NewPCG(5, 5))
		begin := time.Now()
		for i := range 300 {
			r.api.add(fmt.Sprint(i), begin.Add(-time.Duration(i)*time.Minute), begin)
		}
		r.api.fail = func(int) error {
			if rng.IntN(100) == 0 {
				return &defender.Error{Problem: "the answer broke off", Smaller: true}
			}
			return nil
		}
		r.start()
		time.Sleep(3 * time.Hour)
		r.stop()
		r.want(300, 1)
	})
}

func TestAPauseOrAFullDiskLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6)
		r.limit = 2000 // a few alerts: the reader has to wait
		begin := time.Now()
		for i := range 200 {
			r.api.add(fmt.Sprint(i), begin, begin)
		}
		r.chunk.refuse = func([]string) bool { return time.Since(begin) < 10*time.Minute }
		r.start()
		time.Sleep(time.Hour)
		r.want(200, 1)
		r.stop()
		if n := r.asides(); n != 0 {
			t.Errorf("%d events were set aside although everything was refused alike", n)
		}
	})
}

func TestOneAlertThatFluentBitRefusesForEverHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 7)
		begin := time.Now()
		for i := range 50 {
			r.api.add(fmt.Sprint(i), begin, begin)
		}
		mended := begin.Add(time.Hour)
		r.chunk.refuse = func(ids []string) bool { return slices.Contains(ids, "7") && time.Now().Before(mended) }
		r.start()
		time.Sleep(10 * time.Minute)
		if got := len(r.chunk.counts()); got != 49 {
			t.Errorf("%d of the 49 others arrived", got)
		}
		if n := r.asides(); n != 1 {
			t.Errorf("%d events set aside; want 1", n)
		}
		time.Sleep(time.Hour)
		r.want(50, 1)
		if n := r.asides(); n != 0 {
			t.Errorf("%d events are still set aside after they were taken in", n)
		}
		r.stop()
	})
}

func TestAStoreThatCannotBeWrittenDoesNotStopEmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8)
		r.start()
		time.Sleep(5 * time.Minute)
		r.store.mu.Lock()
		r.store.full = true
		r.store.mu.Unlock()
		for i := range 10 {
			at := time.Now().Add(time.Duration(i) * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}
		time.Sleep(20 * time.Minute)
		r.want(10, 1)
		r.store.mu.Lock()
		r.store.full = false
		r.store.mu.Unlock()
		time.Sleep(time.Minute)
		r.kill()
		r.start()
		time.Sleep(2 * time.Hour)
		r.want(10, 1)
		r.stop()
		errors := 0
		for _, line := range r.logged() {
			if strings.HasPrefix(line, "1 ") {
				errors++
			}
		}
		if errors != 1 {
			t.Errorf("%d error lines; want 1:\n%s", errors, strings.Join(r.logged(), "\n"))
		}
	})
}

func TestKillsLoseNothingAndRepeatFiveSecondsAtMost(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, seed)
			rng := rand.New(rand.NewPCG(seed, 9))
			begin := time.Now()
			n := 600
			for i := range n {
				at := begin.Add(time.Duration(rng.Int64N(int64(5 * time.Hour))))
				late := time.Duration(0)
				if rng.IntN(4) == 0 {
					late = time.Duration(rng.Int64N(int64(3 * time.Hour)))
				}
				r.api.add(fmt.Sprint(i), at, at.Add(late))
			}
			host := rand.New(rand.NewPCG(seed, 10))
			r.chunk.refuse = func([]string) bool { return host.IntN(3) == 0 }
			servers := rand.New(rand.NewPCG(seed, 11))
			r.api.fail = func(int) error {
				if servers.IntN(1000) == 0 {
					return &defender.Error{Problem: "broke off"}
				}
				return nil
			}
			kills := 0
			for time.Since(begin) < 30*time.Hour {
				r.start()
				if time.Since(begin) > 6*time.Hour {
					time.Sleep(25 * time.Hour) // long enough for the last sweeps
				}
				time.Sleep(time.Duration(rng.Int64N(int64(20 * time.Minute))))
				if rng.IntN(3) == 0 {
					r.stop()
				} else {
					kills++
					r.kill()
				}
			}
			repeats := -len(r.chunk.counts())
			r.change(func() { repeats += len(r.chunk.ids) })
			r.want(n, 1+kills)
			if repeats > kills*20 {
				t.Errorf("seed %d: %d repeats in %d kills", seed, repeats, kills)
			}
		})
	}
}

func TestTheServersClockDecidesWhenItIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 10)
		const behind = 40 * time.Minute // more than overlap
		r.cfg.SweepInterval = 0
		r.cfg.Skew = new(Skew)
		r.cfg.SignIn = func(context.Context) error {
			r.cfg.Skew.Note(time.Now().Add(-behind).Truncate(time.Second), time.Now())
			return nil
		}
		begin := time.Now()
		for i := range 100 { // updated now by the server's clock
			at := begin.Add(time.Duration(i) * time.Minute)
			r.api.add(fmt.Sprint(i), at.Add(-behind), at)
		}
		r.api.add("100", begin.Add(-behind-r.cfg.Lookback+time.Minute), begin) // inside lookback in the server's time only
		r.start()
		time.Sleep(3 * time.Hour)
		r.stop()
		r.want(101, 1)
	})
}

func TestUpdatesOffEmitsTheFirstVersionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 11)
		begin := time.Now()
		r.cfg.API, r.cfg.Updates = cloud.Graph, false
		r.api.add("0", begin, begin)
		r.api.add("0", begin.Add(time.Hour), begin.Add(time.Hour))
		for i := range r.api.alerts {
			r.api.alerts[i].created = tick.FromTime(begin)
		}
		r.start()
		time.Sleep(2 * time.Hour)
		r.stop()
		r.want(1, 1)
	})
}

func TestAPanicIsReportedOnceAndTheTenantGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 12)
		begin := time.Now()
		r.api.add("0", begin, begin)
		r.api.add("1", begin.Add(10*time.Minute), begin.Add(10*time.Minute))
		first := true
		r.api.fail = func(int) error {
			if first {
				first = false
				panic("planted")
			}
			return nil
		}
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		r.want(2, 1)
		if n := strings.Count(strings.Join(r.logged(), "\n"), "planted"); n != 1 {
			t.Errorf("the panic was reported %d times", n)
		}
	})
}

func TestFailuresAreLoggedAtTheChangeAndThenEveryFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 13)
		begin := time.Now()
		r.api.fail = func(int) error {
			if time.Since(begin) < 31*time.Minute {
				return &defender.Error{Fate: defender.WaitForHuman, Status: 403, Problem: "not authorised", Remedy: "open the portal"}
			}
			return nil
		}
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		var lines []string
		for _, line := range r.logged() {
			if strings.HasPrefix(line, "1 ") || strings.Contains(line, "works again") {
				lines = append(lines, line)
			}
		}
		if len(lines) != 4 || !strings.Contains(lines[0], "open the portal") || !strings.Contains(lines[3], "works again") {
			t.Errorf("want the fault, two reminders and the end; got:\n%s", strings.Join(lines, "\n"))
		}
	})
}

func TestAMendedCauseIsNoticedWithinAMinute(t *testing.T) {
	for name, fault := range map[string]*defender.Error{
		"a person had to act": {Fate: defender.WaitForHuman, Status: 403},
		"unreachable":         {Unreachable: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 14)
				begin := time.Now()
				broken := true
				r.api.add("0", begin, begin)
				r.api.fail = func(int) error {
					if broken {
						return fault
					}
					return nil
				}
				tenant := r.start()
				time.Sleep(2*time.Hour + 7*time.Second)
				r.change(func() { broken = false })
				time.Sleep(time.Minute)
				if s := tenant.snapshot(); s.State != "ok" {
					t.Errorf("state %q a minute after the cause was gone", s.State)
				}
				r.stop()
			})
		})
	}
}

func TestNoCallIsMadeBeforeRetryAfterHasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 15)
		r.cfg.Gate = defender.NewGate(time.Now)
		var calls []time.Time
		wait := 7 * time.Minute
		r.api.fail = func(int) error {
			calls = append(calls, time.Now())
			if len(calls) == 1 {
				r.cfg.Gate.Hold(time.Now().Add(wait))
				return &defender.Error{Status: 429, RetryAfter: wait, HasRetryAfter: true}
			}
			return nil
		}
		r.start()
		time.Sleep(20 * time.Minute)
		r.stop()
		if len(calls) < 2 || calls[1].Sub(calls[0]) < wait || calls[1].Sub(calls[0]) > wait+2*time.Second {
			t.Errorf("calls at %v; want the second %v after the first", calls, wait)
		}
	})
}

func TestARowThatIsNotJSONGoesOutRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 16)
		var events []byte
		r.cfg.Reader = readerFunc(func(ctx context.Context, w defender.Window, sink defender.Sink) error {
			return sink.Row([]byte(`{"FullId":"x","LastProcessedTimeUtc":"` + w.Now.Text() + `","bad":tru}`))
		})
		r.start()
		r.ends()
		time.Sleep(3 * time.Second)
		r.in.Delivery.Tick(func(_ string, e []byte) bool { events = append(events, e...); return true })
		_, text, err := record.Decode(events)
		if err != nil || !strings.Contains(string(text), `"kind":"raw"`) || !strings.Contains(string(text), `"bad\":tru`) {
			t.Errorf("got %s, %v", text, err)
		}
		r.kill()
	})
}

type readerFunc func(context.Context, defender.Window, defender.Sink) error

func (f readerFunc) Read(ctx context.Context, w defender.Window, s defender.Sink) error {
	return f(ctx, w, s)
}

func TestSeenEntriesFallOutBehindTheWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 17)
		begin := time.Now()
		for i := range 1000 {
			at := begin.Add(time.Duration(i) * 10 * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}
		tenant := r.start()
		time.Sleep(1000 * 10 * time.Minute)
		tenant.feed.mu.Lock()
		inMemory := len(tenant.feed.seen.times)
		tenant.feed.mu.Unlock()
		if inMemory > 200 {
			t.Errorf("%d entries in memory for 144 alerts a day", inMemory)
		}
		var cp store.Checkpoint
		r.change(func() {
			cp = r.store.cps[r.cfg.Key]
			if n := len(r.store.seen[r.cfg.Key]); n > 200 {
				t.Errorf("%d entries stored for 144 alerts a day", n)
			}
		})
		if cp.Watermark < tick.FromTime(time.Now().Add(-2*time.Minute)) {
			t.Errorf("the watermark stands at %v", cp.Watermark)
		}
		r.stop()
		r.want(1000, 1)
	})
}

func TestARewindEmitsEverythingSinceThenOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 18)
		begin := time.Now()
		for i := range 100 {
			at := begin.Add(time.Duration(i-100) * 10 * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}
		r.start()
		time.Sleep(3 * time.Hour)
		r.want(100, 1)
		r.store.mu.Lock()
		r.store.rewinds[r.cfg.Key] = tick.FromTime(begin.Add(-300 * time.Minute)) // number 70
		r.store.mu.Unlock()
		time.Sleep(3 * time.Hour)
		r.kill()
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		for i := range 100 {
			want := 1
			if i >= 70 {
				want = 2
			}
			if n := r.chunk.counts()[fmt.Sprint(i)]; n != want {
				t.Errorf("alert %d arrived %d times; want %d", i, n, want)
			}
		}
	})
}

func TestATenantThatIsReplacedWhileRunningLosesAndRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 19)
		r.limit = 3000
		begin := time.Now()
		for i := range 300 {
			at := begin.Add(time.Duration(i) * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}
		r.chunk.refuse = func([]string) bool { return time.Since(begin)%(20*time.Minute) < 5*time.Minute }
		r.start()
		for range 30 {
			time.Sleep(10*time.Minute + 7*time.Second)
			r.in.Retire(r.cfg.Key, nil)
			r.in.Add(r.tenant())
		}
		time.Sleep(time.Hour)
		if n := len(r.in.all()); n != 1 {
			t.Errorf("%d tenants are still held; want 1", n)
		}
		r.stop()
		r.want(300, 1)
	})
}

func TestTheOverlapGrowsToTheLatenessObservedAndShrinksWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 22)
		begin := time.Now()
		r.api.add("0", begin, begin)
		late := begin.Add(10 * time.Hour)
		r.api.add("1", late.Add(-3*time.Hour), late)
		r.start()
		back := func() time.Duration { // how far the last poll that was no sweep reached back
			r.api.mu.Lock()
			defer r.api.mu.Unlock()
			shortest := 100 * time.Hour
			for _, w := range r.api.reads[max(0, len(r.api.reads)-10):] {
				shortest = min(shortest, (w.Now - w.From).Duration())
			}
			return shortest
		}
		time.Sleep(9 * time.Hour)
		if b := back(); b > 15*time.Minute {
			t.Errorf("before: polls reach back %v", b)
		}
		time.Sleep(3 * time.Hour)
		if b := back(); b < 3*time.Hour || b > 5*time.Hour {
			t.Errorf("after a late alert polls reach back %v", b)
		}
		time.Sleep(60 * time.Hour)
		if b := back(); b > 15*time.Minute {
			t.Errorf("days later polls reach back %v", b)
		}
		r.stop()
		r.want(2, 1)
	})
}

func TestHealthRecordsComeAtTheIntervalAndAtOnceWhenTheStateChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 23)
		r.cfg.HealthInterval = 10 * time.Minute
		begin := time.Now()
		r.api.fail = func(int) error {
			if d := time.Since(begin); d > 15*time.Minute && d < 18*time.Minute {
				return &defender.Error{Fate: defender.WaitForHuman, Status: 403, Problem: "not authorised", Remedy: "open the portal"}
			}
			return nil
		}
		r.start()
		time.Sleep(32 * time.Minute)
		r.stop()
		var states []string
		for _, line := range r.chunk.health {
			states = append(states, strings.Fields(line)[1])
		}
		// At 0 and 10 minutes, at the change to failing, at the change back, and 10 minutes after that.
		if got, want := strings.Join(states, " "), "ok ok failing ok ok"; got != want {
			t.Errorf("got %s; want %s\n%s", got, want, strings.Join(r.chunk.health, "\n"))
		}
		if !strings.Contains(strings.Join(r.chunk.health, "\n"), "not authorised") {
			t.Errorf("no reason: %v", r.chunk.health)
		}
	})
}

func TestTheOverlapAloneFindsAlertsListedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 24)
		r.cfg.SweepInterval = 0
		begin := time.Now()
		for i := range 20 {
			at := begin.Add(time.Duration(30+7*i) * time.Minute)
			r.api.add(fmt.Sprint(i), at, at.Add(9*time.Minute))
		}
		r.start()
		time.Sleep(6 * time.Hour)
		r.stop()
		r.want(20, 1)
	})
}

func TestAnEventSetAsideButNotYetWrittenDownSurvivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 25)
		begin := time.Now()
		for i := range 30 {
			r.api.add(fmt.Sprint(i), begin, begin)
		}
		refusing := true
		r.chunk.refuse = func(ids []string) bool { return refusing && slices.Contains(ids, "7") }
		r.start()
		time.Sleep(20 * time.Second) // the batch is refused, but not for long enough to be taken apart
		r.store.mu.Lock()
		r.store.full = true
		r.store.mu.Unlock()
		time.Sleep(5 * time.Minute)
		r.store.mu.Lock()
		r.store.full, r.store.noAsides = false, true
		r.store.mu.Unlock()
		time.Sleep(time.Minute) // progress can be written down, what was set aside cannot
		r.kill()
		refusing, r.store.noAsides = false, false
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		if n := r.chunk.counts()["7"]; n != 1 {
			t.Errorf("the event that was refused arrived %d times", n)
		}
	})
}

func TestARewindIsNotTakenBackByWhatWasOnItsWayBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 26)
		begin := time.Now()
		for i := range 50 {
			at := begin.Add(time.Duration(i-50) * 10 * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}
		r.start()
		time.Sleep(3 * time.Hour)
		refusing, failing := true, false
		r.change(func() {
			r.chunk.refuse = func([]string) bool { return refusing }
			r.api.fail = func(int) error {
				if failing {
					return &defender.Error{Problem: "down"}
				}
				return nil
			}
		})
		r.api.add("50", time.Now(), time.Now())
		time.Sleep(3 * time.Minute) // the new alert waits, and with it a mark far ahead
		r.change(func() {
			failing = true
			r.store.rewinds[r.cfg.Key] = tick.FromTime(begin.Add(-24 * time.Hour))
		})
		time.Sleep(20 * time.Second)
		r.change(func() { refusing = false })
		time.Sleep(5 * time.Second)
		r.kill()
		failing = false
		r.start()
		time.Sleep(10 * time.Minute)
		r.stop()
		for i := range 50 {
			if n := r.chunk.counts()[fmt.Sprint(i)]; n != 2 {
				t.Errorf("alert %d arrived %d times; want 2", i, n)
			}
		}
	})
}

func TestNothingFallsBetweenTwoSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 27)
		begin := time.Now()
		for i := range 24 {
			at := begin.Add(30*time.Hour + time.Duration(i)*7*time.Minute)
			r.api.add(fmt.Sprint(i), at, at.Add(23*time.Hour+58*time.Minute))
		}
		r.start()
		time.Sleep(70 * time.Hour)
		r.stop()
		r.want(24, 1)
	})
}

func TestWithUpdatesOffADetectionProcessedLongAfterItHappenedIsEmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 28)
		r.cfg.Updates = false
		begin := time.Now()
		at := begin.Add(time.Hour)
		r.api.add("0", at, at)
		r.api.alerts[0].text = []byte(fmt.Sprintf(`{"FullId":"0","LastProcessedTimeUtc":%q,"AlertTime":%q}`,
			tick.FromTime(at).Text(), tick.FromTime(begin.Add(-30*time.Hour)).Text()))
		r.start()
		time.Sleep(5 * time.Hour)
		r.stop()
		r.want(1, 1)
	})
}

func TestARewindThatCannotBeDoneIsSaidOnceAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 29)
		begin := time.Now()
		r.api.add("0", begin, begin)
		r.start()
		time.Sleep(10 * time.Minute)
		r.store.mu.Lock()
		r.store.noRewinds = true
		r.store.rewinds[r.cfg.Key] = tick.FromTime(begin.Add(-time.Hour))
		r.store.mu.Unlock()
		before := r.reads()
		time.Sleep(time.Hour)
		if n := r.reads() - before; n > 65 {
			t.Errorf("%d reads in an hour", n)
		}
		if n := strings.Count(strings.Join(r.logged(), "\n"), "cannot be done yet"); n != 1 {
			t.Errorf("said %d times", n)
		}
		r.store.mu.Lock()
		r.store.noRewinds = false
		r.store.mu.Unlock()
		time.Sleep(5 * time.Minute)
		r.stop()
		if n := r.chunk.counts()["0"]; n != 2 {
			t.Errorf("after the rewind the alert had arrived %d times; want 2", n)
		}
	})
}

func TestATenantThatPanicsAtEveryPollShowsAsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 30)
		begin := time.Now()
		r.cfg.SignIn = func(context.Context) error {
			if d := time.Since(begin); d > 10*time.Minute && d < time.Hour {
				panic("planted")
			}
			return nil
		}
		tenant := r.start()
		time.Sleep(30 * time.Minute)
		if s := tenant.snapshot(); s.State != "failing" || s.Reason == "" {
			t.Errorf("state %q, reason %q", s.State, s.Reason)
		}
		time.Sleep(time.Hour)
		if s := tenant.snapshot(); s.State != "ok" {
			t.Errorf("afterwards: state %q", s.State)
		}
		r.stop()
	})
}

func TestAtTheEndProgressIsWrittenDownBeforeWaitingForStragglers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 31)
		begin := time.Now()
		r.api.add("0", begin, begin)
		r.cfg.SignIn = func(ctx context.Context) error { // a redemption that is not given up at once
			if time.Since(begin) > 61*time.Second {
				time.Sleep(3 * time.Second)
			}
			return ctx.Err()
		}
		r.start()
		time.Sleep(121 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		if err := r.in.Stop(ctx); err != nil {
			t.Errorf("nothing was written down: %v", err)
		}
		r.ends()
		time.Sleep(time.Minute)
	})
}
