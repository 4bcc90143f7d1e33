package collect

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// MaxBatch is the size in bytes above which no further event is added to a batch: Fluent Bit's chunks close at 2 MB, and an output such as
// Splunk's HEC refuses large bodies. A single larger event goes alone.
const MaxBatch = 1 << 20

// ErrRefused is returned by Outbox.Add for an event that can never be accepted because the outbox is closed.
var ErrRefused = errors.New("the input is stopping")

// Lane is one tenant's way through the outbox. Its events are numbered 1, 2, 3… as they are added.
type Lane struct {
	tag   string
	added uint64        // guarded by Outbox.mu
	taken atomic.Uint64 // the number of the newest event taken in
	hole  atomic.Uint64 // the oldest event that was set aside and is not written down yet, 0 for none
	again atomic.Bool   // what was offered again was refused again
	open  *batch        // the batch at the end of the queue that more events of this lane may join; guarded by Outbox.mu
	busy  bool          // it fills its batches; guarded by Outbox.mu
}

// NewLane makes a lane whose events carry tag; an empty tag stands for the input's own.
func NewLane(tag string) *Lane { return &Lane{tag: tag} }

// Taken tells that every event up to this number was taken in by Fluent Bit or is safely set aside.
func (l *Lane) Taken() uint64 {
	taken := l.taken.Load() // before the hole: an event is never counted as taken in before its hole is known
	if hole := l.hole.Load(); hole != 0 && hole <= taken {
		return hole - 1
	}
	return taken
}

// Fill says that the event that was set aside is written down now.
func (l *Lane) Fill() { l.hole.Store(0) }

type batch struct {
	lane   *Lane
	events []byte
	first  uint64 // numbers of its first event and its last
	last   uint64
}

// close lets no further event join the batch.
func (b *batch) close() {
	if b.lane.open == b {
		b.lane.open = nil
		b.lane.busy = len(b.events) > MaxBatch/2
	}
}

// Outbox is where encoded events wait for Fluent Bit: bounded, first in first out, many writers, one reader that never waits. All its
// methods may be called at the same time; its lock is held for a few instructions and a copy of one event only, never across an
// append, since Fluent Bit may call Pause from inside one.
type Outbox struct {
	limit int
	taken func() // called after each batch taken in; must not wait

	mu     sync.Mutex
	queue  []*batch
	bytes  int
	closed bool
	room   chan struct{} // closed and replaced when bytes shrinks
	spare  [][]byte      // buffers of MaxBatch
}

// NewOutbox makes an outbox for limit bytes. taken is called, on Fluent Bit's thread, whenever something was taken in.
func NewOutbox(limit int, taken func()) *Outbox {
	return &Outbox{limit: limit, taken: taken, room: make(chan struct{})}
}

// Add puts one encoded event at the end of its lane and returns its number. At the limit it waits until there is room or ctx ends; wait,
// if not nil, is called before it starts to wait and the function it returns when it has ended. An event larger than the whole limit passes when
// the outbox is empty.
func (o *Outbox) Add(ctx context.Context, l *Lane, event []byte, wait func() func()) (uint64, error) {
	var waited func()
	for {
		n, room, err := o.tryAdd(l, event)
		if room == nil {
			if waited != nil {
				waited()
			}
			return n, err
		}
		if waited == nil {
			waited = func() {}
			if wait != nil {
				waited = wait()
			}
		}
		select {
		case <-room:
		case <-ctx.Done():
			waited()
			return 0, context.Cause(ctx)
		}
	}
}

func (o *Outbox) tryAdd(l *Lane, event []byte) (uint64, <-chan struct{}, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, nil, ErrRefused
	}
	if o.bytes > 0 && o.bytes+len(event) > o.limit {
		return 0, o.room, nil
	}
	b := l.open
	if b == nil || len(b.events)+len(event) > MaxBatch {
		l.busy = l.busy || b != nil
		b = &batch{lane: l, first: l.added + 1, events: o.buffer(l, len(event))}
		o.queue = append(o.queue, b)
		l.open = b
	}
	b.events = append(b.events, event...)
	l.added++
	b.last = l.added
	o.bytes += len(event)
	return l.added, nil, nil
}

// buffer is where a batch begins. A lane that fills its batches gets one that is as large as a batch may be, if possible a used one: a
// backlog neither copies what it has, to make it grow, nor feeds the garbage collector. All others grow as they need: there may be thousands.
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

// recycle keeps the buffer of a batch for the next one. What waits and what is spare stay within the limit together.
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
	if !o.closed {
		o.closed = true
		close(o.room)
	}
}

// first takes the batch at the head of the queue out of the hands of its writers; it stays in the queue until done.
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

// second is the batch behind the head of the queue, nil if there is none.
func (o *Outbox) second() *batch {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) < 2 {
		return nil
	}
	b := o.queue[1]
	b.close()
	return b
}

// detach takes a batch, which is the first or the second, out of the queue. It still counts as waiting, until settle.
func (o *Outbox) detach(b *batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queue[0] != b {
		o.queue[1] = o.queue[0]
	}
	o.queue[0] = nil
	o.queue = o.queue[1:]
}

// replace leaves only some of a batch's events in it.
func (o *Outbox) replace(b *batch, events []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes += len(events) - len(b.events)
	b.events = events
}

// settle says that Fluent Bit has a detached batch, or that it was set aside.
func (o *Outbox) settle(b *batch) {
	if b.last > b.lane.taken.Load() {
		b.lane.taken.Store(b.last)
	}
	o.mu.Lock()
	o.bytes -= len(b.events)
	o.recycle(b.events)
	if !o.closed {
		close(o.room)
		o.room = make(chan struct{})
	}
	o.mu.Unlock()
	o.taken()
}
