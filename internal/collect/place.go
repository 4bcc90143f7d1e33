package collect

import (
	"context"
	"sync"
	"time"

	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/tick"
)

// place is a unit's place, from poll to poll. Its methods are called on the goroutine
// that polls.
type place struct {
	places *places
	ctx    context.Context // of the poll under way, nil between two

	rows      int           // read since the poll began
	waitBegan time.Time     // when the present wait began
	waitLeft  time.Duration // how long the unit may still wait with a place
	endWait   func()        // the method waited, so that wait allocates nothing

	mu      sync.Mutex
	timer   *time.Timer // calls leave when the unit has waited too long with a place
	held    bool        // the unit has a place
	since   time.Time   // when it took the place
	waiting bool        // it waits for the network, a sign-in or a limiter
	away    bool        // it does so without a place
}

// newPlace returns the place of a unit that does not poll yet.
func newPlace(among *places) *place {
	p := &place{places: among, waitLeft: waitWithPlace}
	p.endWait = p.waited

	return p
}

// take waits for a place for a poll, which ends with a call of end. The unit with the
// lowest rank comes first.
func (p *place) take(ctx context.Context, rank tick.Tick) error {
	// A unit that is known to be slow would keep its place if it could not leave it.
	for p.waitLeft <= 0 && p.places.crowded() {
		if err := pause.For(ctx, waitWithPlace); err != nil {
			return context.Cause(ctx)
		}
	}

	p.ctx, p.rows = ctx, 0
	if !p.takeAs(rank) {
		p.ctx = nil
		return context.Cause(ctx)
	}

	return nil
}

// takeAs waits for a place. It returns false if the context ended before.
func (p *place) takeAs(rank tick.Tick) bool {
	if !p.places.enter(p.ctx, rank) {
		return false
	}

	p.mu.Lock()
	p.held, p.since = true, time.Now()
	p.mu.Unlock()

	return true
}

// end ends the poll and gives the place back, if it is held.
func (p *place) end() {
	p.ctx = nil

	p.release()
}

// release gives the place back, if it is held.
func (p *place) release() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.giveBack()
}

// giveBack is release for a caller that holds p.mu.
func (p *place) giveBack() {
	if p.held {
		p.held = false
		p.places.leave()
	}
}

// yield gives the place back while the unit waits for room in the outbox. The function
// that it returns takes one again.
func (p *place) yield() func() {
	p.release()
	return func() { p.takeAs(rankAgain) }
}

// wait is called when the unit begins to wait for the network, a sign-in or a limiter.
// The function that it returns is called when the wait is over, and takes a place again
// if the unit has lost its own. wait can be passed to defender.WithWaiting.
func (p *place) wait() (done func()) {
	p.waitBegan = time.Now()

	p.mu.Lock()
	defer p.mu.Unlock()

	p.waiting = true
	if p.waitLeft <= 0 {
		p.leave()
	} else {
		p.arm(p.waitLeft)
	}

	return p.endWait
}

// arm makes the timer call leave after d; p.mu must be held.
func (p *place) arm(d time.Duration) {
	if p.timer != nil {
		p.timer.Reset(d)
		return
	}

	p.timer = time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()

		p.leave()
	})
}

// leave gives the place of a unit that waits back, or tries again later if too many units
// wait without a place; p.mu must be held.
func (p *place) leave() {
	if !p.waiting || !p.held {
		return
	}

	if !p.places.goAway() {
		p.arm(waitWithPlace)
		return
	}

	p.away = true
	p.giveBack()
}

// waited ends the wait that began with wait.
func (p *place) waited() {
	p.waitLeft = max(0, p.waitLeft-time.Since(p.waitBegan))

	p.mu.Lock()
	if p.timer != nil {
		p.timer.Stop()
	}

	p.waiting = false
	away := p.away
	p.away = false
	p.mu.Unlock()

	if away {
		p.places.comeBack()
		p.takeAs(rankAgain)
	}
}

// row notes that a row was read. A unit that has read for longestTurn lets others have
// its place: otherwise a unit with a long backlog would keep it to the end of that.
func (p *place) row() {
	if p.waitLeft < waitWithPlace {
		p.waitLeft += rowsWorth
	}

	if p.rows++; p.rows%rowsPerCheck == 0 && p.tookLong() && p.places.wanted() {
		p.release()
		p.takeAs(rankAgain)
	}
}

// tookLong reports whether the place was held for longer than longestTurn.
func (p *place) tookLong() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.held && time.Since(p.since) > longestTurn
}
