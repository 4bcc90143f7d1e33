package collect

import (
	"fmt"
	"time"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// A poll is too slow when it has not moved on for slowIntervals times its interval, and
// for slowAtLeast: then it is said once, and the tenant shows as failing until a poll
// ends. A page that was read to its end moves a poll on, or slowRows new alerts.
const (
	slowIntervals = 5
	slowAtLeast   = 90 * time.Second // longer than a silence that ends a request by itself
	slowRows      = 100
)

// pace is how a poll gets on; it is guarded by Tenant.mu.
type pace struct {
	moved   time.Time // when it began or last moved on; zero while there is none
	place   bool      // it has a place
	room    bool      // it waits for room in the outbox, which is not its fault
	slow    bool      // it was said that it is too slow
	changed bool      // this shows in no health record yet
}

// beginPace notes that a poll begins, with the wait for a place.
func (t *Tenant) beginPace() {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.pace.moved, t.pace.place, t.pace.room = t.now(), false, false
}

// hasPlace notes that the poll has got a place.
func (t *Tenant) hasPlace() {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.pace.place = true
}

// movedOn notes that the poll has come further.
func (t *Tenant) movedOn() {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.pace.moved = t.now()
}

// endPace notes that the poll has ended.
func (t *Tenant) endPace() {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.pace.moved = time.Time{}
}

// room notes that the poll waits for room in the outbox, without a place; the function
// that it returns ends that.
func (t *Tenant) room() (done func()) {
	slot := t.slot
	if slot == nil { // between two polls there is no place to give back
		return func() {}
	}

	t.mu.Lock()
	t.pace.room = true
	t.mu.Unlock()

	back := slot.yield()

	return func() {
		back()
		t.mu.Lock()
		defer t.mu.Unlock()

		t.pace.room, t.pace.moved = false, t.now()
	}
}

// checkPace shows and says that a poll is too slow.
func (t *Tenant) checkPace() {
	now := t.now()
	line := ""

	t.update(func(s *store.Status) {
		p := &t.pace

		still := now.Sub(p.moved)
		if p.moved.IsZero() || p.room || p.slow || still < max(slowIntervals*s.EffectiveInterval, slowAtLeast) {
			return
		}

		p.slow, p.changed = true, true

		if s.State != health.Failing {
			s.Since = now
		}

		s.State, s.Reason, s.Remedy = health.Failing, slowReason(p.place, still), slowRemedy(p.place)
		line = s.Reason + "; " + s.Remedy
	})

	if line != "" {
		t.in.log(Warn, t.cfg.Name, line)
	}
}

// slowReason is the sentence about a poll that has stood still for this long.
func slowReason(place bool, still time.Duration) string {
	still = still.Round(time.Second)
	if !place {
		return fmt.Sprintf("too slow: the poll has waited %v for one of the places of `max_concurrency`", still)
	}

	return fmt.Sprintf("too slow: the poll has not come further for %v, many times its interval: "+
		"the API answers slowly, or only a little at a time", still)
}

// slowRemedy is what to do about that.
func slowRemedy(place bool) string {
	if !place {
		return "raise `max_concurrency`, and look for tenants that fail"
	}

	return "check the network, `proxy` and what answers for `api_url`; polls of other tenants are not held up"
}

// paceChanged reports, once, that a poll became too slow.
func (t *Tenant) paceChanged() bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	changed := t.pace.changed
	t.pace.changed = false

	return changed
}

// wasSlow reports, once, whether it was said that the poll that has ended now was too
// slow.
func (t *Tenant) wasSlow() bool {
	t.mu.Lock()
	defer t.mu.Unlock()

	slow := t.pace.slow
	t.pace.slow, t.pace.changed = false, false

	return slow
}
