package collect

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// Lane is one tenant's way through the outbox. Its events are numbered 1, 2, 3… as they
// are added. They may leave in another order.
type Lane struct {
	tag string
	// keep is told, on Fluent Bit's thread, of an event that Fluent Bit refuses
	// although it takes others; it must not wait. The event counts as waiting until
	// Outbox.settle.
	keep  func(*batch)
	taken atomic.Uint64

	// What follows is guarded by Outbox.mu.
	added   uint64
	waiting []*batch // what is not settled, by number
	open    *batch   // the batch at the end of the queue that more events of this lane may join
	busy    bool     // it fills its batches
}

// NewLane makes a lane whose events carry tag; an empty tag stands for the input's own.
func NewLane(tag string, keep func(*batch)) *Lane { return &Lane{tag: tag, keep: keep} }

// Taken tells that every event up to this number was taken in by Fluent Bit or is
// safely set aside.
func (l *Lane) Taken() uint64 { return l.taken.Load() }

// batch is what is handed over at once.
type batch struct {
	lane   *Lane
	events []byte
	first  uint64 // numbers of its first event and its last
	last   uint64
	kept   bool      // found at fault, see Outbox.keep
	answer chan bool // for an event that is offered again, see Outbox.Offer
}

// close lets no further event join the batch.
func (b *batch) close() {
	if b.lane.open == b {
		b.lane.open = nil
		b.lane.busy = len(b.events) > MaxBatch/2
	}
}

func (l *Lane) find(b *batch) int {
	i, _ := slices.BinarySearchFunc(
		l.waiting,
		b.first,
		func(x *batch, n uint64) int { return cmp.Compare(x.first, n) },
	)

	return i
}

// settle lets go of a batch.
func (l *Lane) settle(b *batch) {
	if i := l.find(b); i == 0 { // as nearly always
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
	} else {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}

	if len(l.waiting) == 0 {
		l.waiting = nil
		l.taken.Store(l.added)
	} else {
		l.taken.Store(l.waiting[0].first - 1)
	}
}
