package collect

import (
	"container/heap"
	"container/list"
	"math"

	"fluent-bit-defender/internal/tick"
)

// placeQueue has the units that wait for a place. Three of four places go to the unit
// that is furthest behind, so that the longest delays end first. Every fourth goes to the
// unit that has waited longest, so that no unit waits for ever. The zero value is an
// empty queue.
type placeQueue struct {
	byRank    rankHeap
	byArrival list.List // of *placeWaiter
	granted   int
}

// placeWaiter is a unit that waits for a place.
type placeWaiter struct {
	turn    chan struct{} // closed when it has got a place
	rank    tick.Tick
	arrival *list.Element
	index   int // in byRank; -1 when it is not queued any more
}

// rankAgain is the rank of a unit that takes its place again in the middle of a poll:
// polls that are due begin first.
const rankAgain = tick.Tick(math.MaxInt64)

// oldestEvery says which places go to the unit that has waited longest: one in this many.
const oldestEvery = 4

// empty reports whether no unit waits.
func (q *placeQueue) empty() bool { return len(q.byRank) == 0 }

// add queues a unit. The lowest rank comes first.
func (q *placeQueue) add(rank tick.Tick) *placeWaiter {
	w := &placeWaiter{turn: make(chan struct{}), rank: rank}
	w.arrival = q.byArrival.PushBack(w)
	heap.Push(&q.byRank, w)

	return w
}

// remove takes a unit out of the queue, and reports whether it was there.
func (q *placeQueue) remove(w *placeWaiter) bool {
	if w.index < 0 {
		return false
	}

	q.byArrival.Remove(w.arrival)
	heap.Remove(&q.byRank, w.index)

	return true
}

// next removes the unit that comes first from the queue and returns it.
func (q *placeQueue) next() *placeWaiter {
	w := q.byRank[0]
	if oldest := q.byArrival.Front().Value.(*placeWaiter); q.granted%oldestEvery == 0 || w.rank == rankAgain {
		w = oldest
	}

	q.granted++
	q.remove(w)

	return w
}

// rankHeap is a heap of units, lowest rank first.
type rankHeap []*placeWaiter

// Len implements heap.Interface.
func (h rankHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h rankHeap) Less(i, j int) bool { return h[i].rank < h[j].rank }

// Swap implements heap.Interface.
func (h rankHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *rankHeap) Push(x any) {
	w := x.(*placeWaiter)
	w.index = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *rankHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	w.index = -1
	(*h)[last] = nil
	*h = (*h)[:last]

	return w
}
