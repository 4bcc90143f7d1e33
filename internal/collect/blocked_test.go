package collect

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// TestAFullDiskShowsAsWaitingAndIsTriedSeldom: nothing is accepted for an hour.
func TestAFullDiskShowsAsWaitingAndIsTriedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.HealthInterval = time.Minute

		begin := time.Now()
		r.list(500, begin, 10*time.Second)

		unit := r.start()
		time.Sleep(10*time.Minute + betweenTicks)

		r.chunk.refuseAll()

		before := r.appends()

		time.Sleep(70 * time.Second) // the next poll, and ten seconds
		r.wantState(unit, health.Waiting, "takes nothing")

		if unit.snapshot().Remedy == "" {
			t.Error("there is no remedy")
		}

		var shown store.Status

		r.change(func() { shown = r.store.statuses[r.cfg.Key] })

		if shown.State != "waiting" || !r.in.Blocked() {
			t.Errorf("the store shows %q, the metric %t", shown.State, r.in.Blocked())
		}

		time.Sleep(time.Hour)

		if n := r.appends() - before; n < 300 || n > 800 {
			t.Errorf("%d appends were tried in an hour", n)
		}

		r.chunk.accept()
		time.Sleep(12 * time.Second)
		r.wantState(unit, health.OK, "")

		if r.in.Blocked() {
			t.Error("with room again the metric says that it is blocked")
		}

		time.Sleep(time.Hour)
		r.stop()
		r.want(500, 1)

		r.wantDeferred(0)

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

func TestAPauseShowsAsWaitingWhileSomethingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		unit := r.start()
		r.ends() // the ticks come from here, as Pause does

		r.tick(600)
		r.in.Delivery.Pause()
		r.tick(600)

		r.wantState(unit, health.OK, "")

		r.api.add("0", time.Now(), time.Now())
		r.tick(70)

		r.wantState(unit, health.Waiting, "paused")

		r.in.Delivery.Resume()
		r.tick(2)

		r.wantState(unit, health.OK, "")

		r.stop()
		r.want(1, 1)
	})
}

func TestACallbackThatDoesNotComeShowsAsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.add("0", time.Now(), time.Now())
		unit := r.start()
		r.ends()
		time.Sleep(time.Minute)

		r.wantState(unit, health.Waiting, "does not call")

		r.kill()
	})
}

func TestATenantThatFailsByItselfDoesNotShowAsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.api.add("0", time.Now(), time.Now())
		r.api.fail = func(row int) error {
			if row == 1 {
				return errFull
			}

			return nil
		}
		r.chunk.refuseAll()
		unit := r.start()
		time.Sleep(10 * time.Minute)

		if s := unit.snapshot(); s.State != "failing" || !r.in.Blocked() {
			t.Errorf("state %q, the metric %t", s.State, r.in.Blocked())
		}

		r.stop()
	})
}

func TestAShortRefusalIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)

		begin := time.Now()
		r.list(100, begin, time.Minute)

		r.chunk.refuse = func([]string) bool { return time.Since(begin)%time.Minute < 3*time.Second }
		r.start()
		time.Sleep(2 * time.Hour)
		r.stop()
		r.want(100, 1)

		r.wantLogged("takes nothing", 0)
	})
}
