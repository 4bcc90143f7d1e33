package delivery

import (
	"context"
	"errors"
	"slices"
	"sync"

	"fluent-bit-defender/internal/record"
)

// MaxBatch is the size in bytes above which no further event is added to a batch:
// Fluent Bit's chunks close at 2 MB, and an output such as Splunk's HEC refuses large
// bodies. A single larger event is a batch of its own.
const MaxBatch = 1 << 20

// ErrClosed is returned by Add, AddBatch and Offer once the outbox is closed: the input
// is stopping, and the events were not queued.
var ErrClosed = errors.New("the input is stopping")

// ErrDropped is returned by them once the stream was dropped.
var ErrDropped = errors.New("another node polls the unit now")

// Outbox is where encoded events wait for Fluent Bit: bounded, first in first out, with
// many writers and one Sender that never waits. All its methods may be called at the
// same time. Its lock is held for a few instructions and a copy of one event or batch
// only, and never across an append, since Fluent Bit may call Pause from inside one.
type Outbox struct {
	limit int

	mu       sync.Mutex
	queue    []*Batch  // ascending by round
	round    uint64    // of the batch that left the queue last
	bytes    int       // of all events that are not delivered
	events   int       // how many these are
	rejected int       // of bytes, what was rejected and waits for its owner's store
	line     []*waiter // who waits for room, in order of arrival: see next
	closed   bool
	spare    [][]byte // buffers of MaxBatch
}

// waiter is a call that waits for room.
type waiter struct {
	stream *Stream
	size   int
	turn   chan struct{} // holds one when there may be room
}

// NewOutbox returns an outbox for limit bytes.
func NewOutbox(limit int) *Outbox { return &Outbox{limit: limit} }

// Add puts one encoded event at the end of its stream and returns its number. At the
// limit it waits until there is room or ctx ends. If wait is not nil, it is called before
// the waiting begins, and the function that it returns when it has ended. An event larger
// than the whole limit is added when nothing else is queued.
func (o *Outbox) Add(ctx context.Context, s *Stream, event []byte, wait func() func()) (n uint64, err error) {
	err = o.enter(ctx, s, len(event), wait, func() { n = o.put(s, event) })
	return n, err
}

// AddBatch adds several events, all of them or none, and returns the number of the last.
func (o *Outbox) AddBatch(ctx context.Context, s *Stream, events []byte) (n uint64, err error) {
	err = o.enter(ctx, s, len(events), nil, func() {
		for rest := events; len(rest) > 0; {
			var event []byte

			event, rest = firstEvent(rest)
			n = o.put(s, event)
		}
	})

	return n, err
}

// Offer queues an event of a stream that was rejected before, as a batch of its own. The
// channel receives once whether it was delivered now. If not, the outbox has let go of
// it.
func (o *Outbox) Offer(ctx context.Context, of *Stream, event []byte) (delivered <-chan bool, err error) {
	b := &Batch{
		stream: &Stream{tag: of.tag, dropped: of.dropped},
		events: event,
		first:  1,
		last:   1,
		answer: make(chan bool, 1),
	}
	err = o.enter(ctx, b.stream, len(event), nil, func() {
		b.stream.added, b.stream.undelivered = 1, []*Batch{b}
		o.push(b)
		o.grow(b.stream, len(event))
		o.events++
	})

	return b.answer, err
}

// firstEvent cuts the first event off. What cannot be cut is one event.
func firstEvent(events []byte) (event, rest []byte) {
	event, rest, err := record.Next(events)
	if err != nil {
		return events, nil
	}

	return event, rest
}

// enter runs put, with the lock held, when there is room for size bytes of a stream.
func (o *Outbox) enter(ctx context.Context, s *Stream, size int, wait func() func(), put func()) error {
	o.mu.Lock()
	if !o.closed && !s.dropped.Load() && o.next() == nil && !o.beyondShare(s) && o.fits(size) {
		put()
		o.mu.Unlock()

		return nil
	}

	w := &waiter{s, size, make(chan struct{}, 1)}
	o.line = append(o.line, w)
	o.mu.Unlock()

	if wait != nil && ctx.Err() == nil {
		defer wait()()
	}

	for {
		if entered, err := o.tryEnter(ctx, w, put); entered || err != nil {
			return err
		}

		select {
		case <-w.turn:
		case <-ctx.Done():
		}
	}
}

// tryEnter runs put if there is room and it is w's turn. With that, or with an error, w
// has left the line.
func (o *Outbox) tryEnter(ctx context.Context, w *waiter, put func()) (entered bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()

	err = context.Cause(ctx)
	if w.stream.dropped.Load() {
		err = ErrDropped
	}

	if o.closed {
		err = ErrClosed
	}

	if err == nil {
		if o.next() != w || !o.fits(w.size) {
			return false, nil
		}

		put()
	}

	o.line = slices.DeleteFunc(o.line, func(x *waiter) bool { return x == w })
	o.callNext()

	return err == nil, err
}

// fits reports whether there is room; o.mu must be held. One event always fits into an
// empty queue, whatever the suspects take up: otherwise nothing would ever show whether
// Fluent Bit accepts others. Rejected events, which wait for a store alone, do keep
// others out.
func (o *Outbox) fits(size int) bool {
	return len(o.queue) == 0 && o.rejected < o.limit || o.bytes+size <= o.limit
}

// shareOfFree is how many times the free room a stream may take up.
const shareOfFree = 3

// beyondShare reports whether a stream takes up so much that others come first; o.mu
// must be held. The share shrinks with the free room: of two streams with a backlog each
// gets three sevenths of the limit, of ten nearly a tenth, and some room always stays
// free for streams that have a few events only. A stream that is alone may fill it all.
func (o *Outbox) beyondShare(s *Stream) bool {
	return s.bytes < o.bytes && len(o.queue) > 0 && s.bytes > shareOfFree*max(0, o.limit-o.bytes)
}

// next returns who is to enter next, nil if nobody is; o.mu must be held. It is the first
// in the line whose stream is within its share. Small events do not overtake a large one
// for ever: a stream that has nothing queued is always within.
func (o *Outbox) next() *waiter {
	for _, w := range o.line {
		if !o.beyondShare(w.stream) {
			return w
		}
	}

	return nil
}

// callNext wakes who is to enter next if there is room; o.mu must be held. When the
// outbox is closed, whoever leaves the line calls the next one.
func (o *Outbox) callNext() {
	w := o.next()
	if o.closed && len(o.line) > 0 {
		w = o.line[0]
	}

	if w != nil && (o.closed || o.fits(w.size)) {
		select {
		case w.turn <- struct{}{}:
		default:
		}
	}
}

// Added returns the number of the stream's newest event.
func (o *Outbox) Added(s *Stream) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()

	return s.added
}

// Bytes returns the size of all events that are not delivered.
func (o *Outbox) Bytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.bytes
}

// Events returns how many events are not delivered.
func (o *Outbox) Events() int {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.events
}

// Close makes every later Add fail. What is queued stays where it is.
func (o *Outbox) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.closed = true
	o.callNext() // whoever leaves the line calls the next one
}

// Drop gives up what is queued of a stream: nothing of it is delivered any more, and no
// later Add succeeds. Its owner is not told that it was delivered. What the sender holds
// itself it lets go of at its next tick. An append that has begun is not stopped.
func (o *Outbox) Drop(s *Stream) {
	o.mu.Lock()
	defer o.mu.Unlock()

	s.dropped.Store(true)
	s.open = nil

	for _, w := range o.line {
		if w.stream.dropped == s.dropped {
			select {
			case w.turn <- struct{}{}:
			default:
			}
		}
	}

	if len(o.queue) == 0 {
		return
	}

	// The head may be on its way to Fluent Bit: the sender lets go of it.
	o.queue = append(o.queue[:1], slices.DeleteFunc(o.queue[1:], func(b *Batch) bool {
		if b.stream.dropped != s.dropped {
			return false
		}

		o.forget(b)

		return true
	})...)

	o.callNext()
}

// forget lets go of a batch of a dropped stream, which is out of the queue; o.mu must be
// held.
func (o *Outbox) forget(b *Batch) {
	if i := b.stream.find(b); i < len(b.stream.undelivered) && b.stream.undelivered[i] == b {
		b.stream.undelivered = slices.Delete(b.stream.undelivered, i, i+1)
	}

	o.uncount(b)

	if b.answer != nil {
		b.answer <- false
	}
}

// dropHead lets go of the head of the queue, which is of a dropped stream.
func (o *Outbox) dropHead() {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.forget(o.pop())
	o.callNext()
}

// Undelivered returns the batches of a stream that are not delivered, by number. It is
// for the end of an input, when the sender ticks no more.
func (o *Outbox) Undelivered(s *Stream) []*Batch {
	o.mu.Lock()
	defer o.mu.Unlock()

	return slices.Clone(s.undelivered)
}
