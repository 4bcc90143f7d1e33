package collect

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/test/setup"
)

func TestAPauseOrAFullDiskLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.limit = 2000 // a few alerts: the reader has to wait

		begin := time.Now()
		r.list(200, begin, 0)

		r.chunk.refuse = func([]string) bool { return time.Since(begin) < 10*time.Minute }
		r.start()
		time.Sleep(time.Hour)
		r.want(200, 1)
		r.stop()

		r.wantDeferred(0)
	})
}

func TestAnAlertThatIsRejectedForLongHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		begin := time.Now()
		r.list(50, begin, 0)

		fixed := begin.Add(time.Hour)
		r.chunk.refuse = func(ids []string) bool { return slices.Contains(ids, "7") && time.Now().Before(fixed) }
		r.start()
		time.Sleep(10 * time.Minute)

		r.wantArrived(49)

		r.wantDeferred(1)

		time.Sleep(time.Hour)
		r.want(50, 1)

		r.wantDeferred(0)

		r.stop()
	})
}

func TestAStoreThatCannotBeWrittenDoesNotStopEmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start()
		time.Sleep(5 * time.Minute)
		r.change(func() { r.store.full = true })

		for i := range 10 {
			at := time.Now().Add(time.Duration(i) * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}

		time.Sleep(20 * time.Minute)
		r.want(10, 1)
		r.change(func() { r.store.full = false })
		time.Sleep(time.Minute)
		r.kill()
		r.start()
		time.Sleep(2 * time.Hour)
		r.want(10, 1)
		r.stop()

		r.wantLogged("ERROR ", 1)
	})
}

func TestKillsLoseNothingAndRepeatFiveSecondsAtMost(t *testing.T) {
	for seed := range uint64(setup.Size(2, 12)) {
		synctest.Test(t, func(t *testing.T) {
			r := newSeededRig(t, seed)
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
					return &defender.Error{Fault: advice.Fault{Problem: "broke off"}}
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

func TestReplacingAUnitLosesAndRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.limit = 3000

		begin := time.Now()
		r.list(300, begin, time.Minute)

		r.chunk.refuse = func([]string) bool { return time.Since(begin)%(20*time.Minute) < 5*time.Minute }
		r.start()

		for range 30 {
			time.Sleep(10*time.Minute + 7*time.Second)
			r.replace()
		}

		time.Sleep(time.Hour)

		if n := len(r.in.all()); n != 1 {
			t.Errorf("%d tenants are still held; want 1", n)
		}

		r.stop()
		r.want(300, 1)
	})
}

func TestARejectedEventThatIsNotStoredYetSurvivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		begin := time.Now()
		r.list(30, begin, 0)

		refusing := true
		r.chunk.refuse = func(ids []string) bool { return refusing && slices.Contains(ids, "7") }
		r.start()
		time.Sleep(20 * time.Second) // the batch is refused, but not for long enough to be split
		r.change(func() { r.store.full = true })
		time.Sleep(5 * time.Minute)
		r.change(func() { r.store.full, r.store.noDeferring = false, true })
		time.Sleep(time.Minute) // progress can be committed, a rejected event cannot be stored
		r.kill()
		refusing, r.store.noDeferring = false, false
		r.start()
		time.Sleep(time.Hour)
		r.stop()

		if n := r.chunk.counts()["7"]; n != 1 {
			t.Errorf("the event that was refused arrived %d times", n)
		}
	})
}

func TestStopCommitsBeforeItWaitsForSlowGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
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
			t.Errorf("nothing was committed: %v", err)
		}

		r.ends()
		time.Sleep(time.Minute)
	})
}

// What was read and not delivered when the input ended comes at the next start, though
// the API lists something newer by then.
func TestWhatIsQueuedAtAnOrderlyEndIsDeliveredNext(t *testing.T) {
	for name, c := range map[string]struct {
		alerts, size int
		restarts     int // without a tick in between
	}{
		"a few":                       {alerts: 5, size: 10},
		"several batches":             {alerts: 300, size: 20_000},
		"larger than a batch":         {alerts: 2, size: 3 << 20},
		"ended again before any tick": {alerts: 300, size: 20_000, restarts: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.limit = 32 << 20

				begin := time.Now()
				for i := range c.alerts {
					r.api.add(fmt.Sprint(i), begin, begin)
					r.api.alerts[i].text = padded(fmt.Sprint(i), begin, c.size)
				}

				r.start()
				time.Sleep(500 * time.Millisecond) // read, but the first tick comes after a second
				r.stop()

				r.wantArrived(0)

				r.api.alerts = nil
				for range c.restarts {
					r.start()
					time.Sleep(500 * time.Millisecond)
					r.stop()
				}

				unit := r.start()
				time.Sleep(10 * time.Minute)

				if n := unit.snapshot().Deferred; n != 0 {
					t.Errorf("%d are shown as deferred", n)
				}

				r.stop()
				r.want(c.alerts, 1)
				r.start()
				time.Sleep(10 * time.Minute)
				r.stop()
				r.want(c.alerts, 1)

				if n := len(r.store.deferred); n != 0 {
					t.Errorf("%d entries are left in the store", n)
				}
			})
		})
	}
}

// A store that fails at the end is no reason to lose or repeat anything: what waited is
// read again.
func TestWhatCannotBeParkedIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.PollInterval += 250 * time.Millisecond // between two ticks
		r.start()
		time.Sleep(90 * time.Second)

		for i := range 20 {
			r.api.add(fmt.Sprint(i), time.Now(), time.Now())
		}

		time.Sleep(30*time.Second + 750*time.Millisecond)
		r.change(func() { r.store.full = true })
		r.ends()

		if err := r.in.Stop(context.Background()); err == nil {
			t.Error("nothing failed")
		}

		r.store.full = false
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		r.want(20, 1)
	})
}
