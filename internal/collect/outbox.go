package collect

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"fluent-bit-defender/internal/record"
)

// MaxBatch is the size in bytes above which no further event is added to a batch:
// Fluent Bit's chunks close at 2 MB, and an output such as Splunk's HEC refuses large
// bodies. A single larger event goes alone.
const MaxBatch = 1 << 20

// ErrRefused is returned by Add, AddBack and Offer once the outbox is closed: the input
// is stopping, and the events were not queued.
var ErrRefused = errors.New("the input is stopping")

// Outbox is where encoded events wait for Fluent Bit: bounded, first in first out, many
// writers, one reader that never waits. All its methods may be called at the same time;
// its lock is held for a few instructions and a copy of one event or batch only, never
// across an append, since Fluent Bit may call Pause from inside one.
type Outbox struct {
	limit int
	taken func() // called after each batch that is done with, from any goroutine; must not wait

	mu     sync.Mutex
	queue  []*batch
	bytes  int
	kept   int       // of bytes, what was found at fault and waits for the store only
	line   []*waiter // who waits for room, first come first served: a large event is not overtaken by small ones for ever
	closed bool
	spare  [][]byte // buffers of MaxBatch
}

// waiter is an Add that waits for room.
type waiter struct {
	size int
	turn chan struct{} // holds one when it is to look again
}

// NewOutbox makes an outbox for limit bytes. taken is called whenever a batch is done
// with: on Fluent Bit's thread when it was delivered, on another goroutine when it was
// written to the store.
func NewOutbox(limit int, taken func()) *Outbox {
	return &Outbox{limit: limit, taken: taken}
}

// Add puts one encoded event at the end of its lane and returns its number. At the
// limit it waits until there is room or ctx ends; wait, if not nil, is called before it
// starts to wait and the function it returns when it has ended. An event larger than
// the whole limit passes when nothing else is queued.
func (o *Outbox) Add(ctx context.Context, l *Lane, event []byte, wait func() func()) (n uint64, err error) {
	err = o.enter(ctx, len(event), wait, func() { n = o.put(l, event) })
	return n, err
}

// AddBack adds the events of a batch that waited when the input ended, all of them or
// none, and gives the number of the last.
func (o *Outbox) AddBack(ctx context.Context, l *Lane, events []byte) (n uint64, err error) {
	err = o.enter(ctx, len(events), nil, func() {
		for rest := events; len(rest) > 0; {
			event, more, err := record.Next(rest)
			if err != nil {
				event, more = rest, nil
			}

			n, rest = o.put(l, event), more
		}
	})

	return n, err
}

// Offer puts an event that Fluent Bit refused before into the queue, as a batch of its
// own. The answer tells once whether it was taken in now; if not, it is no longer here.
func (o *Outbox) Offer(ctx context.Context, tag string, event []byte) (answer <-chan bool, err error) {
	b := &batch{
		lane:   NewLane(tag, nil),
		events: event,
		first:  1,
		last:   1,
		answer: make(chan bool, 1),
	}
	err = o.enter(ctx, len(event), nil, func() {
		b.lane.added, b.lane.waiting = 1, []*batch{b}
		o.queue = append(o.queue, b)
		o.bytes += len(event)
	})

	return b.answer, err
}

// enter runs put, under the lock, when there is room for size bytes.
func (o *Outbox) enter(ctx context.Context, size int, wait func() func(), put func()) error {
	o.mu.Lock()
	if !o.closed && len(o.line) == 0 && o.fits(size) {
		put()
		o.mu.Unlock()

		return nil
	}

	w := &waiter{size, make(chan struct{}, 1)}
	o.line = append(o.line, w)
	o.mu.Unlock()

	if wait != nil && ctx.Err() == nil {
		defer wait()()
	}

	for {
		o.mu.Lock()

		err := context.Cause(ctx)
		if o.closed {
			err = ErrRefused
		}

		if err != nil || o.line[0] == w && o.fits(size) {
			if err == nil {
				put()
			}

			o.line = slices.DeleteFunc(o.line, func(x *waiter) bool { return x == w })
			o.callNext()
			o.mu.Unlock()

			return err
		}
		o.mu.Unlock()

		select {
		case <-w.turn:
		case <-ctx.Done():
		}
	}
}

// fits tells whether there is room; o.mu must be held. What is in doubt, outside the
// queue, keeps out no more than makes up the limit: one event always finds its way to
// Fluent Bit, or nothing would ever show whether others are accepted. What was found at
// fault waits for the store alone, and does keep others out.
func (o *Outbox) fits(size int) bool {
	return len(o.queue) == 0 && o.kept < o.limit || o.bytes+size <= o.limit
}

// callNext wakes who is first in the line if there is room for it; o.mu must be held.
func (o *Outbox) callNext() {
	if len(o.line) > 0 && (o.closed || o.fits(o.line[0].size)) {
		select {
		case o.line[0].turn <- struct{}{}:
		default:
		}
	}
}

// put adds an event to the open batch of its lane, or to a new one; o.mu must be held.
func (o *Outbox) put(l *Lane, event []byte) uint64 {
	b := l.open
	if b == nil || len(b.events)+len(event) > MaxBatch {
		l.busy = l.busy || b != nil
		b = &batch{lane: l, first: l.added + 1, events: o.buffer(l, len(event))}
		o.queue = append(o.queue, b)
		l.waiting = append(l.waiting, b)
		l.open = b
	}

	b.events = append(b.events, event...)
	l.added++
	b.last = l.added
	o.bytes += len(event)

	return l.added
}

// buffer is where a batch begins. A lane that fills its batches gets one that is as
// large as a batch may be, if possible a used one: a backlog neither copies what it
// has, to make it grow, nor feeds the garbage collector. All others grow as they need:
// there may be thousands.
func (o *Outbox) buffer(l *Lane, size int) []byte {
	if !l.busy || size > MaxBatch {
		return nil
	}

	if n := len(o.spare); n > 0 {
		b := o.spare[n-1]
		o.spare = o.spare[:n-1]

		return b[:0]
	}

	return make([]byte, 0, MaxBatch)
}

// fewSpare is how many buffers are kept when nothing is waiting.
const fewSpare = 2

// recycle keeps the buffer of a batch for the next one. What waits and what is spare
// stay within the limit together.
func (o *Outbox) recycle(buf []byte) {
	if cap(buf) == MaxBatch && o.bytes+(len(o.spare)+1)*MaxBatch <= o.limit {
		o.spare = append(o.spare, buf)
	}
}

// quiet is told by each tick that finds nothing: what a backlog needed is given back.
func (o *Outbox) quiet() {
	o.mu.Lock()
	defer o.mu.Unlock()

	if len(o.spare) > fewSpare {
		o.spare = append([][]byte(nil), o.spare[:fewSpare]...)
	}
}

// Added is the number of the lane's newest event.
func (o *Outbox) Added(l *Lane) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()

	return l.added
}

// Bytes is how much is waiting.
func (o *Outbox) Bytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()

	return o.bytes
}

// Close makes every later Add fail. What is waiting stays, and is not taken in.
func (o *Outbox) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.closed = true
	o.callNext() // who leaves the line calls the next one
}

// first takes the batch at the head of the queue out of the hands of its writers; it
// stays in the queue until detach.
func (o *Outbox) first() *batch {
	o.mu.Lock()
	defer o.mu.Unlock()

	if len(o.queue) == 0 {
		return nil
	}

	b := o.queue[0]
	b.close()

	return b
}

// detach takes the first batch out of the queue. It still counts as waiting, until
// settle.
func (o *Outbox) detach() {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.queue[0] = nil
	o.queue = o.queue[1:]
	o.callNext()
}

// split takes the first batch out of the queue and gives its events, a batch each,
// which still count as waiting. They have memory of their own: one of them may stay for
// long.
func (o *Outbox) split() []*batch {
	o.mu.Lock()
	defer o.mu.Unlock()

	b := o.queue[0]
	o.queue[0] = nil
	o.queue = o.queue[1:]

	var pieces []*batch

	for n, rest := b.first, b.events; len(rest) > 0; n++ {
		event, more, err := record.Next(rest)
		if err != nil {
			event, more = rest, nil
		}

		pieces = append(pieces, &batch{
			lane:   b.lane,
			events: bytes.Clone(event),
			first:  n,
			last:   n,
		})
		rest = more
	}

	pieces[len(pieces)-1].last = b.last
	i := b.lane.find(b)
	b.lane.waiting = slices.Replace(b.lane.waiting, i, i+1, pieces...)
	o.recycle(b.events)
	o.callNext()

	return pieces
}

// remains lists what of a lane is not settled, by number. It is for the very end.
func (o *Outbox) remains(l *Lane) []*batch {
	o.mu.Lock()
	defer o.mu.Unlock()

	return slices.Clone(l.waiting)
}

// alone tells whether nothing is queued but this one event.
func (o *Outbox) alone(b *batch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()

	return len(o.queue) == 1 && b.first == b.last
}

// settle says that nothing more is to be done for a detached batch: Fluent Bit has it,
// or it is written down.
func (o *Outbox) settle(b *batch) {
	o.mu.Lock()
	b.lane.settle(b)

	o.bytes -= len(b.events)
	if b.kept {
		o.kept -= len(b.events)
	}

	o.recycle(b.events)
	o.callNext()
	o.mu.Unlock()
	o.taken()
}

// keep hands over, to its lane, a detached batch that was found at fault.
func (o *Outbox) keep(b *batch) {
	o.mu.Lock()
	b.kept = true
	o.kept += len(b.events)
	o.mu.Unlock()
	b.lane.keep(b)
}
