package collect

import (
	"cmp"
	"context"
	"sync"
	"time"

	"fluent-bit-defender/internal/tick"
)

// A unit reads while it holds one of max_concurrency places. It does not keep its place
// while it waits: a unit that waits for room in the outbox gives it back at once, and one
// that waits for the network, for its sign-in or for a limiter gives it back after
// waitWithPlace. When the wait is over it takes a place again. So an answer that hangs,
// or that comes byte by byte, keeps no other unit from reading.

const (
	// waitWithPlace is how long a unit may wait while it holds a place. The time that a
	// poll uses up is given back by each row that is read, rowsWorth for a row, and by a
	// poll that is complete. A unit whose last answers were slow therefore waits without
	// a place from the beginning.
	waitWithPlace = 2 * time.Second
	rowsWorth     = 50 * time.Millisecond
	// As many units may wait without a place as there are places, times awayPerPlace, and
	// at least minAway: an outage must not open a connection for each of thousands of
	// units.
	minAway      = 64
	awayPerPlace = 8
	// longestTurn is how long a unit may read while others wait for a place. It looks at
	// that once in rowsPerCheck rows.
	longestTurn  = 500 * time.Millisecond
	rowsPerCheck = 64
)

// places are the places of an input. All methods may be called at the same time.
type places struct {
	fixed int // how many there are by configuration; 0: it depends on the number of units

	mu     sync.Mutex
	number int // how many there are now
	taken  int // may be above number for a while after number has become smaller
	queue  placeQueue
	away   int // units that wait for something else, without a place
}

// Bounds for the number of places where max_concurrency is not set.
const (
	minPlaces     = 8
	maxPlaces     = 128
	unitsPerPlace = 16
)

// newPlaces returns n places. If n is 0, their number is units/unitsPerPlace, between
// minPlaces and maxPlaces.
func newPlaces(n int) *places { return &places{fixed: n, number: cmp.Or(n, minPlaces)} }

// adaptTo changes the number of places for a number of units, unless it is fixed.
func (p *places) adaptTo(units int) {
	if p.fixed > 0 {
		return
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	p.number = min(max(minPlaces, units/unitsPerPlace), maxPlaces)
	p.grant()
}

// crowded reports whether no more units may wait without a place.
func (p *places) crowded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.away >= p.mostAway()
}

// mostAway returns how many units may wait without a place; p.mu must be held.
func (p *places) mostAway() int { return max(minAway, awayPerPlace*p.number) }

// goAway counts a unit that waits without a place from now on. It returns false if too
// many do already.
func (p *places) goAway() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.away >= p.mostAway() {
		return false
	}

	p.away++

	return true
}

// comeBack is called when a unit that went away has waited.
func (p *places) comeBack() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.away--
}

// enter waits for a place. It returns false if the context ended before.
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
