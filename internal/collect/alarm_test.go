package collect

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/alert"
)

func TestARestEndsWithItsTimeOrWhenWoken(t *testing.T) {
	for name, c := range map[string]struct {
		wake  []time.Duration // from the beginning
		ends  time.Duration
		woken bool
	}{
		"by itself":                {nil, time.Minute, false},
		"woken":                    {[]time.Duration{20 * time.Second}, 20 * time.Second, true},
		"woken twice":              {[]time.Duration{20 * time.Second, 20 * time.Second}, 20 * time.Second, true},
		"woken before":             {[]time.Duration{0}, 10 * time.Second, true},
		"woken when it is over":    {[]time.Duration{2 * time.Minute}, time.Minute, false},
		"woken at the last moment": {[]time.Duration{time.Minute}, time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var a alarm

				begin := time.Now()

				var times atomic.Int32

				for _, at := range c.wake {
					time.AfterFunc(at, a.wake)
				}

				time.Sleep(10 * time.Second)
				a.rest(50*time.Second, func() {
					times.Add(1)
					time.Sleep(time.Millisecond) // what happens at this moment has happened then

					if took := time.Since(begin).Truncate(time.Second); took != c.ends || a.woken() != c.woken {
						t.Errorf("ended after %v, want %v; or woken is not %v", took, c.ends, c.woken)
					}
				})
				time.Sleep(5 * time.Minute)

				if n := times.Load(); n != 1 {
					t.Errorf("went on %d times", n)
				}
			})
		})
	}
}

func TestUnitsThatRestHaveNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start()

		for i := range 200 {
			cfg := r.config()
			cfg.Key.TenantID = alert.TenantID(fmt.Sprint("tenant", i))
			r.in.Add(cfg)
		}

		time.Sleep(90 * time.Second)

		before := r.reads()

		if n := runtime.NumGoroutine(); n > 100 {
			t.Errorf("%d goroutines for 201 units that rest", n)
		}

		time.Sleep(2 * time.Minute)

		if after := r.reads(); after < before+2*200 {
			t.Errorf("%d polls in two minutes", after-before)
		}

		r.stop()
	})
}

func TestWorkersAreUsedAgainAndDismissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		w := newWorkers(ended)
		before := runtime.NumGoroutine()

		var done atomic.Int32

		for range 100 {
			w.do(func() { done.Add(1) })
			synctest.Wait()
		}

		if n := runtime.NumGoroutine() - before; n != 1 || done.Load() != 100 {
			t.Errorf("%d tasks are done, by %d workers", done.Load(), n)
		}

		for range 5 {
			w.do(func() { time.Sleep(time.Second) })
		}

		time.Sleep(2 * time.Second)

		if n := runtime.NumGoroutine() - before; n != 5 {
			t.Errorf("%d workers for 5 tasks at a time", n)
		}

		for range 2 * idleWorker / time.Second {
			w.do(func() {})
			time.Sleep(time.Second)
		}

		if n := runtime.NumGoroutine() - before; n != 1 {
			t.Errorf("%d workers for one task a second", n)
		}

		time.Sleep(2 * idleWorker)

		if n := runtime.NumGoroutine() - before; n != 0 {
			t.Errorf("%d workers have nothing to do and stay", n)
		}

		w.do(func() {})
		synctest.Wait()
		close(ended)
		synctest.Wait()

		if n := runtime.NumGoroutine() - before; n != 0 {
			t.Errorf("%d workers are left at the end", n)
		}
	})
}
