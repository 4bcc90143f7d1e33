package collect

import (
	"cmp"
	"context"
	"sync"
	"time"

	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/tick"
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
	// longestTurn is how long a unit may read while others wait for a place;
	// rowsPerCheck is after how many rows it looks.
	longestTurn  = 500 * time.Millisecond
	rowsPerCheck = 64
)

// places are the places of an input. All methods may be called at the same time.
type places struct {
	fixed int // how many there are; 0: it follows from the number of units

	mu     sync.Mutex
	number int // how many there are now
	taken  int // may be above number for a while after that has become smaller
	queue  placeQueue
	away   int // units that wait for others without a place
}

// Bounds for the number of places where max_concurrency is not set.
const (
	fewPlaces     = 8
	manyPlaces    = 128
	unitsPerPlace = 16
)

// newPlaces returns n places; with 0 it is max(fewPlaces, units/unitsPerPlace), at most
// manyPlaces.
func newPlaces(n int) *places { return &places{fixed: n, number: cmp.Or(n, fewPlaces)} }

// follow makes the number of places follow the number of units, unless it is fixed.
func (p *places) follow(units int) {
	if p.fixed > 0 {
		return
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	p.number = min(max(fewPlaces, units/unitsPerPlace), manyPlaces)
	p.grant()
}

// crowded reports whether no more units may wait without a place.
func (p *places) crowded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.away >= p.mostAway()
}

// mostAway returns how many units may wait without a place; p.mu must be held.
func (p *places) mostAway() int { return max(fewAway, awayPerPlace*p.number) }

// goAway counts a unit that waits without a place from now on. It reports false if
// there are too many.
func (p *places) goAway() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.away >= p.mostAway() {
		return false
	}

	p.away++

	return true
}

// comeBack ends what goAway has begun.
func (p *places) comeBack() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.away--
}

// enter waits for a place. It reports false when the context ended before.
func (p *places) enter(ctx context.Context, rank tick.Tick) bool {
	p.mu.Lock()
	if p.taken < p.number && p.queue.empty() {
		p.taken++
		p.mu.Unlock()

		return true
	}

	w := p.queue.add(rank)
	p.mu.Unlock()

	select {
	case <-w.turn:
		return true
	case <-ctx.Done():
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	if !p.queue.remove(w) { // it was granted a place just now
		p.taken--
		p.grant()
	}

	return false
}

// leave gives a place back.
func (p *places) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.taken--
	p.grant()
}

// wanted reports whether units wait for a place.
func (p *places) wanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return !p.queue.empty()
}

// grant gives free places to units that wait for one; p.mu must be held.
func (p *places) grant() {
	for p.taken < p.number && !p.queue.empty() {
		p.taken++
		close(p.queue.next().turn)
	}
}

// place is a unit's place, from poll to poll. Its methods are called on the goroutine
// that polls.
type place struct {
	places *places
	ctx    context.Context // of the poll under way, nil between two

	rows  int           // read since the poll began
	began time.Time     // when the wait under way began
	left  time.Duration // how long the unit may still wait with a place
	done  func()        // waited

	mu      sync.Mutex
	timer   *time.Timer // runs out when the unit has waited too long with a place
	held    bool
	since   time.Time // when it was taken
	waiting bool      // for others
	away    bool      // it waits without a place
}

// newPlace returns the place of a unit that does not poll yet.
func newPlace(among *places) *place {
	p := &place{places: among, left: waitWithPlace}
	p.done = p.waited

	return p
}

// take waits for a place for a poll, which ends with end. rank says whose turn it is.
func (p *place) take(ctx context.Context, rank tick.Tick) error {
	// A unit that is known to be slow would keep its place if it could not leave it.
	for p.left <= 0 && p.places.crowded() {
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

// takeAs waits for a place. It reports false when the context ended before.
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

	return p.done
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

	if !p.places.goAway() {
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
		p.places.comeBack()
		p.takeAs(rankAgain)
	}
}

// row notes that a row was read. A unit that has read for a while lets others have its
// place: a long backlog would otherwise keep it to its end.
func (p *place) row() {
	if p.left < waitWithPlace {
		p.left += rowsWorth
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
