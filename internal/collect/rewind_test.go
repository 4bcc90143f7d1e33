package collect

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/tick"
)

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

func TestARewindIsNotUndoneByWhatWasOnItsWay(t *testing.T) {
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
					return &defender.Error{Fault: advice.Fault{Problem: "down"}}
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

func TestARewindThatFailsIsLoggedOnceAndTriedAgain(t *testing.T) {
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
			t.Errorf("logged %d times", n)
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

func TestARewindAskedForBeforeTheFirstPollIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 32)
		begin := time.Now()

		r.cfg.Lookback = time.Hour
		for i := range 10 {
			at := begin.Add(-time.Duration(i) * time.Hour)
			r.api.add(fmt.Sprint(i), at, at)
		}

		r.store.rewinds[r.cfg.Key] = tick.FromTime(begin.Add(-10 * time.Hour))
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		r.want(10, 1)
	})
}
