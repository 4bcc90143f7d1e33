package collect

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/store"
)

// TestAFullDiskShowsAsWaitingAndIsTriedSeldom: nothing is accepted for an hour.
func TestAFullDiskShowsAsWaitingAndIsTriedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6)
		r.cfg.HealthInterval = time.Minute

		begin, on := time.Now(), false
		for i := range 500 {
			at := begin.Add(time.Duration(i) * 10 * time.Second)
			r.api.add(fmt.Sprint(i), at, at)
		}

		r.chunk.refuse = func([]string) bool { return on }
		tenant := r.start()

		time.Sleep(10*time.Minute + betweenTicks)

		appends := 0

		r.change(func() { on, appends = true, r.chunk.appends })

		time.Sleep(70 * time.Second) // the next poll, and ten seconds

		if s := tenant.snapshot(); s.State != "waiting" || !strings.Contains(s.Message, "takes nothing") ||
			s.Remedy == "" {
			t.Errorf("state %q, reason %q, remedy %q", s.State, s.Message, s.Remedy)
		}

		var shown store.Status

		r.change(func() { shown = r.store.statuses[r.cfg.Key] })

		if shown.State != "waiting" || !r.in.Blocked() {
			t.Errorf("the store shows %q, the metric %t", shown.State, r.in.Blocked())
		}

		time.Sleep(time.Hour)
		r.change(func() { appends = r.chunk.appends - appends })

		if appends < 300 || appends > 800 {
			t.Errorf("%d appends were tried in an hour", appends)
		}

		r.change(func() { on = false })
		time.Sleep(12 * time.Second)

		if s := tenant.snapshot(); s.State != "ok" || r.in.Blocked() {
			t.Errorf("with room again: state %q, the metric %t", s.State, r.in.Blocked())
		}

		time.Sleep(time.Hour)
		r.stop()
		r.want(500, 1)

		if n := r.deferred(); n != 0 {
			t.Errorf("%d events were rejected although everything was refused alike", n)
		}

		logged := r.log.important()
		if len(logged) != 2 || !strings.Contains(logged[0], "takes nothing") ||
			!strings.Contains(logged[1], "takes alerts again") {
			t.Errorf("want a line at the start and one at the end, got\n%s", strings.Join(logged, "\n"))
		}

		text := strings.Join(r.chunk.health, "\n")
		if !strings.Contains(text, "waiting") || strings.Contains(text, "failing") {
			t.Errorf("health records\n%s", text)
		}
	})
}

// betweenTicks moves what a test does away from whole seconds, where ticks and polls run:
// what changes in the middle of a tick is another story.
const betweenTicks = 300 * time.Millisecond

func TestAPauseShowsAsWaitingWhileSomethingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6)
		tenant := r.start()
		r.ends() // the ticks come from here, as Pause does

		ticks := func(n int) {
			for range n {
				time.Sleep(time.Second)
				r.in.Delivery.Tick(r.chunk.append, time.Second)
			}
		}
		ticks(600)
		r.in.Delivery.Pause()
		ticks(600)

		if s := tenant.snapshot(); s.State != "ok" {
			t.Errorf("state %q although nothing waits", s.State)
		}

		r.api.add("0", time.Now(), time.Now())
		ticks(70)

		if s := tenant.snapshot(); s.State != "waiting" || !strings.Contains(s.Message, "paused") {
			t.Errorf("state %q, reason %q", s.State, s.Message)
		}

		r.in.Delivery.Resume()
		ticks(2)

		if s := tenant.snapshot(); s.State != "ok" {
			t.Errorf("state %q after Resume", s.State)
		}

		r.stop()
		r.want(1, 1)
	})
}

func TestACallbackThatDoesNotComeShowsAsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6)
		r.api.add("0", time.Now(), time.Now())
		tenant := r.start()
		r.ends()
		time.Sleep(time.Minute)

		if s := tenant.snapshot(); s.State != "waiting" || !strings.Contains(s.Message, "does not call") {
			t.Errorf("state %q, reason %q", s.State, s.Message)
		}

		r.kill()
	})
}

func TestATenantThatFailsByItselfDoesNotShowAsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6)
		r.api.add("0", time.Now(), time.Now())
		r.api.fail = func(row int) error {
			if row == 1 {
				return errFull
			}

			return nil
		}
		r.chunk.refuse = func([]string) bool { return true }
		tenant := r.start()

		time.Sleep(10 * time.Minute)

		if s := tenant.snapshot(); s.State != "failing" || !r.in.Blocked() {
			t.Errorf("state %q, the metric %t", s.State, r.in.Blocked())
		}

		r.stop()
	})
}

func TestAShortRefusalIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6)

		begin := time.Now()
		for i := range 100 {
			at := begin.Add(time.Duration(i) * time.Minute)
			r.api.add(fmt.Sprint(i), at, at)
		}

		r.chunk.refuse = func([]string) bool { return time.Since(begin)%time.Minute < 3*time.Second }
		r.start()
		time.Sleep(2 * time.Hour)
		r.stop()
		r.want(100, 1)

		if text := strings.Join(r.logged(), "\n"); strings.Contains(text, "takes nothing") {
			t.Errorf("logged\n%s", text)
		}
	})
}
