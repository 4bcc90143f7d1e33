package collect

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A unit reads while it holds one of max_concurrency places. Waiting needs none: a unit
// that waits for room in the outbox gives its place back at once. One that waits for
// the network, for its sign-in or for a limiter gives it back when it has waited for
// waitWithPlace. When the wait is over it takes a place again. So an answer that hangs,
// or that comes byte by byte, keeps no other unit from reading.

const (
	// waitWithPlace is how long a unit may wait while it holds a place. What a poll
	// uses up of it comes back with the rows that are read, rowsWorth for each, and
	// with a poll that is complete. So a unit whose last answers were slow waits
	// without a place from the beginning.
	waitWithPlace = 2 * time.Second
	rowsWorth     = 50 * time.Millisecond
	// fewAway and awayPerPlace bound how many units may wait without a place, so that
	// an outage does not open a connection for each of thousands of units.
	fewAway      = 64
	awayPerPlace = 8
)

// places are the places of an input. All methods may be called at the same time.
type places struct {
	taken    chan struct{}
	away     atomic.Int64 // units that wait for others without a place
	mostAway int64
}

// newPlaces returns n places.
func newPlaces(n int) *places {
	return &places{
		taken:    make(chan struct{}, n),
		mostAway: int64(max(fewAway, awayPerPlace*n)),
	}
}

// place is a unit's place for one poll. Its methods are called on the goroutine that
// polls.
type place struct {
	places *places
	ctx    context.Context

	began time.Time     // when the wait under way began
	left  time.Duration // how long the unit may still wait with a place

	mu      sync.Mutex
	timer   *time.Timer // runs out when the unit has waited too long with a place
	held    bool
	waiting bool // for others
	away    bool // it waits without a place
}

// take waits for a place. left is how long the unit may wait for others while it holds
// it.
func (p *places) take(ctx context.Context, left time.Duration) (*place, error) {
	one := &place{places: p, ctx: ctx, left: left}
	if !one.takeAgain() {
		return nil, context.Cause(ctx)
	}

	return one, nil
}

// takeAgain waits for a place. It reports false when the context ended before.
func (p *place) takeAgain() bool {
	select {
	case p.places.taken <- struct{}{}:
	case <-p.ctx.Done():
		return false
	}

	p.mu.Lock()
	p.held = true
	p.mu.Unlock()

	return true
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
		<-p.places.taken
	}
}

// yield gives the place back while the unit waits for room in the outbox. The function
// that it returns takes one again.
func (p *place) yield() func() {
	p.release()
	return func() { p.takeAgain() }
}

// wait says that the unit begins to wait for others; the function that it returns
// says that the wait is over, and takes a place again if the unit has none any more. It
// fits defender.WithWaiting.
func (p *place) wait() (done func()) {
	p.began = time.Now()

	p.mu.Lock()
	defer p.mu.Unlock()

	p.waiting = true
	if p.left <= 0 {
		p.leave()
	} else {
		p.arm(p.left)
	}

	return p.waited
}

// arm lets leave be called after d; p.mu must be held.
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

// leave lets the unit go on waiting without a place, or tries again later if too many
// units do; p.mu must be held.
func (p *place) leave() {
	if !p.waiting || !p.held {
		return
	}

	if p.places.away.Add(1) > p.places.mostAway {
		p.places.away.Add(-1)
		p.arm(waitWithPlace)

		return
	}

	p.away = true
	p.giveBack()
}

// waited ends what wait began.
func (p *place) waited() {
	p.left = max(0, p.left-time.Since(p.began))

	p.mu.Lock()
	if p.timer != nil {
		p.timer.Stop()
	}

	p.waiting = false
	away := p.away
	p.away = false
	p.mu.Unlock()

	if away {
		p.places.away.Add(-1)
		p.takeAgain()
	}
}

// row notes that a row was read.
func (p *place) row() {
	if p.left < waitWithPlace {
		p.left += rowsWorth
	}
}
