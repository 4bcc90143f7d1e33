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

// Outbox is the queue of encoded events that wait for Fluent Bit. It is bounded, and has
// many writers and one Sender, which never waits. All its methods may be called at the
// same time. Its lock is held for a few instructions and a copy of one event or batch
// only, and never across an append, since Fluent Bit may call Pause from inside one.
type Outbox struct {
	limit int

	mu       sync.Mutex
	queue    []*Batch  // ascending by round
	round    uint64    // of the batch that left the queue last
	bytes    int       // of all events that are not delivered
	events   int       // how many these are
	rejected int       // bytes of events that were rejected and wait for their owner's store
	waiters  []*waiter // calls that wait for room, in order of arrival: see nextWaiter
	closed   bool
	spare    [][]byte // buffers of MaxBatch
}

// NewOutbox returns an outbox for limit bytes.
func NewOutbox(limit int) *Outbox { return &Outbox{limit: limit} }

// Add puts one encoded event at the end of its stream and returns its number. At the
// limit it waits until there is room or ctx ends. If wait is not nil, it is called before
// the waiting begins, and the function that it returns is called when the waiting has
// ended. An event larger than the whole limit is added when nothing else is queued.
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
// channel receives once whether the event was delivered. If it was not, it is no longer
// in the outbox.
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

// firstEvent returns the first of some events, and the events behind it. If the bytes
// cannot be split, they are one event.
func firstEvent(events []byte) (event, rest []byte) {
	event, rest, err := record.Next(events)
	if err != nil {
		return events, nil
	}

	return event, rest
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
	o.wakeNext()
}

// Undelivered returns the batches of a stream that are not delivered, by number. It is
// for the end of an input, when the sender ticks no more.
func (o *Outbox) Undelivered(s *Stream) []*Batch {
	o.mu.Lock()
	defer o.mu.Unlock()

	return slices.Clone(s.undelivered)
}
