package collect

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A tenant reads while it holds one of max_concurrency places. Waiting needs none: a
// tenant that waits for room in the outbox gives its place back at once, and one that
// waits for the network, for its sign-in or for a limiter when it has waited for
// waitWithPlace, and takes one again when the wait is over. An answer that hangs, or
// that drips, so keeps nobody else from reading.

const (
	// waitWithPlace is how long a tenant may wait while it holds a place. What a poll
	// uses up of it comes back by the rows that are read, rowsWorth for each, and by a
	// poll that is complete: a tenant whose last answers hung or dripped waits without
	// a place from the beginning.
	waitWithPlace = 2 * time.Second
	rowsWorth     = 50 * time.Millisecond
	// fewAway and awayPerPlace bound how many tenants may wait without a place, so that
	// an outage does not open a connection for each of thousands of tenants.
	fewAway      = 64
	awayPerPlace = 8
)

// places are the places of an input.
type places struct {
	taken    chan struct{}
	away     atomic.Int64 // tenants that wait for others without a place
	mostAway int64
}

func newPlaces(n int) *places {
	return &places{
		taken:    make(chan struct{}, n),
		mostAway: int64(max(fewAway, awayPerPlace*n)),
	}
}

// slot is a tenant's place for one poll. Its methods are called on the goroutine that
// polls.
type slot struct {
	places *places
	ctx    context.Context

	began time.Time     // when the wait under way began
	left  time.Duration // how long the tenant may still wait with a place

	mu      sync.Mutex
	timer   *time.Timer // runs out when the tenant has waited for too long with a place
	held    bool
	waiting bool // for others
	away    bool // it waits without a place
}

// slot waits for a place. left is how long the tenant may wait for others while it
// holds it.
func (in *Input) slot(ctx context.Context, left time.Duration) (*slot, error) {
	s := &slot{places: in.places, ctx: ctx, left: left}
	if !s.take() {
		return nil, context.Cause(ctx)
	}

	return s, nil
}

// take waits for a place. It reports false when the context ended before.
func (s *slot) take() bool {
	select {
	case s.places.taken <- struct{}{}:
	case <-s.ctx.Done():
		return false
	}

	s.mu.Lock()
	s.held = true
	s.mu.Unlock()

	return true
}

// release gives the place back, if it is held.
func (s *slot) release() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.giveBack()
}

// giveBack is release for who holds s.mu.
func (s *slot) giveBack() {
	if s.held {
		s.held = false
		<-s.places.taken
	}
}

// yield gives the place away while the tenant waits for room in the outbox.
func (s *slot) yield() func() {
	s.release()
	return func() { s.take() }
}

// wait says that the tenant begins to wait for others; the function that it returns
// says that the wait is over, and waits for a place if there is none any more. It suits
// defender.WithWaiting.
func (s *slot) wait() (done func()) {
	s.began = time.Now()

	s.mu.Lock()
	defer s.mu.Unlock()

	s.waiting = true
	if s.left <= 0 {
		s.leave()
	} else {
		s.arm(s.left)
	}

	return s.waited
}

// arm lets leave be called in a while; s.mu must be held.
func (s *slot) arm(d time.Duration) {
	if s.timer != nil {
		s.timer.Reset(d)
		return
	}

	s.timer = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()

		s.leave()
	})
}

// leave lets the tenant go on waiting without a place, or later if too many do; s.mu
// must be held.
func (s *slot) leave() {
	if !s.waiting || !s.held {
		return
	}

	if s.places.away.Add(1) > s.places.mostAway {
		s.places.away.Add(-1)
		s.arm(waitWithPlace)

		return
	}

	s.away = true
	s.giveBack()
}

// waited ends what wait began.
func (s *slot) waited() {
	s.left = max(0, s.left-time.Since(s.began))

	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}

	s.waiting = false
	away := s.away
	s.away = false
	s.mu.Unlock()

	if away {
		s.places.away.Add(-1)
		s.take()
	}
}

// row says that a row was read.
func (s *slot) row() {
	if s.left < waitWithPlace {
		s.left += rowsWorth
	}
}
