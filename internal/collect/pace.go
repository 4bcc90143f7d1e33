package collect

import (
	"fmt"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/health"
)

// A poll is too slow when it has not moved on for slowIntervals times its interval, and
// for at least slowAtLeast. This is logged once, and the unit shows as failing until a
// poll ends. A page that was read to its end moves a poll on, and so do slowRows new
// alerts.
const (
	slowIntervals = 5
	slowAtLeast   = 90 * time.Second // longer than a silence that ends a request by itself
	slowRows      = 100
)

// pace says how a poll moves on. It is guarded by board.mu.
type pace struct {
	movedAt      time.Time // when the poll began or last moved on; zero between two polls
	hasPlace     bool      // the poll has a place
	waitsForRoom bool      // it waits for room in the outbox, which does not count as slow
	slow         bool      // it was found too slow
	changed      bool      // it was found too slow, and no health record shows this yet
}

// setPace changes the pace.
func (b *board) setPace(change func(*pace)) {
	b.mu.Lock()
	defer b.mu.Unlock()

	change(&b.pace)
}

// movedOn notes that the poll has moved on.
func (p *poller) movedOn() {
	now := p.now()
	p.status.setPace(func(x *pace) { x.movedAt = now })
}

// waitForRoom notes that the poll waits for room in the outbox, and gives the place back.
// The function that it returns is called when there is room.
func (p *poller) waitForRoom() (done func()) {
	if p.place.ctx == nil { // between two polls there is no place to give back
		return func() {}
	}

	p.status.setPace(func(x *pace) { x.waitsForRoom = true })
	takeAgain := p.place.yield()

	return func() {
		takeAgain()

		now := p.now()
		p.status.setPace(func(x *pace) { x.waitsForRoom, x.movedAt = false, now })
	}
}

// checkPace shows and logs that a poll is too slow. Only the reporter calls it.
func (u *Unit) checkPace() {
	trouble, slow := u.status.findSlow(u.now())
	if slow {
		u.log.Warn(trouble.Message + "; " + trouble.Remedy)
	}
}

// findSlow shows a unit as failing if its poll is too slow. found reports that this is so
// for the first time in this poll.
func (b *board) findSlow(now time.Time) (trouble health.Trouble, found bool) {
	b.mu.Lock()
	defer b.mu.Unlock()

	p, s := &b.pace, &b.shown

	still := now.Sub(p.movedAt)
	if p.movedAt.IsZero() || p.waitsForRoom || p.slow || still < max(slowIntervals*s.EffectiveInterval, slowAtLeast) {
		return health.Trouble{}, false
	}

	p.slow, p.changed = true, true

	setState(s, health.Failing, now)
	s.Trouble = health.Trouble{
		Reason:  advice.TooSlow,
		Message: slowMessage(p.hasPlace, still),
		Remedy:  slowRemedy(p.hasPlace),
	}
	s.Note(now)

	return s.Trouble, true
}

// slowMessage describes a poll that has not moved on for this long.
func slowMessage(place bool, still time.Duration) string {
	still = still.Round(time.Second)
	if !place {
		return fmt.Sprintf("too slow: the poll has waited %v for one of the places of `max_concurrency`", still)
	}

	return fmt.Sprintf("too slow: the poll has not come further for %v, many times its interval: "+
		"the API answers slowly, or only a little at a time", still)
}

// slowRemedy returns the remedy for a poll that is too slow.
func slowRemedy(place bool) string {
	if !place {
		return "raise `max_concurrency`, and look for tenants that fail"
	}

	return "check the network, `proxy` and what answers for `api_url`; polls of other tenants are not held up"
}

// paceChanged reports whether the poll was found too slow since the last call.
func (b *board) paceChanged() (changed bool) {
	b.setPace(func(p *pace) { changed, p.changed = p.changed, false })
	return changed
}

// wasSlow reports whether the poll that has just ended was found too slow, and forgets
// it.
func (b *board) wasSlow() (slow bool) {
	b.setPace(func(p *pace) {
		slow = p.slow
		p.slow, p.changed = false, false
	})

	return slow
}
