package collect

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/tick"
)

// rewind asks for everything since a moment once more, as defenderctl does.
func (r *rig) rewind(since time.Time) {
	r.change(func() { r.store.rewinds[r.cfg.Key] = tick.FromTime(since) })
}

func TestARewindEmitsEverythingSinceThenOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		begin := time.Now()
		r.list(100, begin.Add(-1000*time.Minute), 10*time.Minute)
		r.start()
		time.Sleep(3 * time.Hour)
		r.want(100, 1)
		r.rewind(begin.Add(-300 * time.Minute)) // number 70
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
		r := newRig(t)

		begin := time.Now()
		r.list(50, begin.Add(-500*time.Minute), 10*time.Minute)
		r.start()
		time.Sleep(3 * time.Hour)
		r.chunk.refuseAll()
		r.listNow(50, 50)
		time.Sleep(3 * time.Minute) // the new alert waits, and with it a mark far ahead
		r.api.failing(&defender.Error{Fault: advice.Fault{Problem: "down"}})
		r.rewind(begin.Add(-24 * time.Hour))
		time.Sleep(20 * time.Second)
		r.chunk.accept()
		time.Sleep(5 * time.Second)
		r.kill()
		r.api.failing(nil)
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
		r := newRig(t)
		begin := time.Now()
		r.api.add("0", begin, begin)
		r.start()
		time.Sleep(10 * time.Minute)
		r.change(func() { r.store.noRewinds = true })
		r.rewind(begin.Add(-time.Hour))
		before := r.reads()

		time.Sleep(time.Hour)

		if n := r.reads() - before; n > 65 {
			t.Errorf("%d reads in an hour", n)
		}

		r.wantLogged("cannot be done yet", 1)

		r.change(func() { r.store.noRewinds = false })
		time.Sleep(5 * time.Minute)
		r.stop()

		if n := r.chunk.counts()["0"]; n != 2 {
			t.Errorf("after the rewind the alert had arrived %d times; want 2", n)
		}
	})
}

func TestARewindAskedForBeforeTheFirstPollIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Lookback = time.Hour

		begin := time.Now()
		r.list(10, begin, -time.Hour)
		r.rewind(begin.Add(-10 * time.Hour))
		r.start()
		time.Sleep(time.Hour)
		r.stop()
		r.want(10, 1)
	})
}
