package delivery

import (
	"cmp"
	"slices"
)

// push puts a batch into the queue; o.mu must be held. Streams take turns, so that the
// backlog of one does not hold up the others: in each round a stream delivers one batch.
// The head of the queue stays where it is, since it may be on its way to Fluent Bit.
func (o *Outbox) push(b *Batch) {
	b.round = max(b.stream.round+1, o.round)
	b.stream.round = b.round
	i := 0

	if len(o.queue) > 0 {
		later := func(x *Batch, round uint64) int { return cmp.Compare(x.round, round+1) }
		i, _ = slices.BinarySearchFunc(o.queue[1:], b.round, later)
		i++
	}

	o.queue = slices.Insert(o.queue, i, b)
}

// grow adds size bytes to what is counted of a stream; o.mu must be held.
func (o *Outbox) grow(s *Stream, size int) {
	o.bytes += size
	s.bytes += size
}

// put adds an event to the open batch of its stream, or to a new one; o.mu must be held.
func (o *Outbox) put(s *Stream, event []byte) uint64 {
	b := s.open
	if b == nil || len(b.events)+len(event) > MaxBatch {
		s.busy = s.busy || b != nil
		b = &Batch{stream: s, first: s.added + 1, events: o.buffer(s, len(event))}
		o.push(b)
		s.undelivered = append(s.undelivered, b)
		s.open = b
	}

	b.events = append(b.events, event...)
	s.added++
	b.last = s.added
	o.grow(s, len(event))
	o.events++

	return s.added
}

// buffer returns an empty buffer for a new batch whose first event has this size. A
// stream that fills its batches gets a buffer of the size of a batch, if possible a used
// one: a backlog then neither copies its events to make a buffer grow nor keeps the
// garbage collector busy. For all other streams, of which there may be thousands, the
// buffer is nil and grows as needed.
func (o *Outbox) buffer(s *Stream, size int) []byte {
	if !s.busy || size > MaxBatch {
		return nil
	}

	if n := len(o.spare); n > 0 {
		b := o.spare[n-1]
		o.spare = o.spare[:n-1]

		return b[:0]
	}

	return make([]byte, 0, MaxBatch)
}

// fewSpare is how many buffers are kept when nothing is queued.
const fewSpare = 2

// recycle keeps the buffer of a batch for the next one. Queued events and spare buffers
// stay within the limit together.
func (o *Outbox) recycle(buf []byte) {
	if cap(buf) == MaxBatch && o.bytes+(len(o.spare)+1)*MaxBatch <= o.limit {
		o.spare = append(o.spare, buf)
	}
}

// shrink frees the memory that a backlog needed. It is called by each tick that finds
// nothing to deliver.
func (o *Outbox) shrink() {
	o.mu.Lock()
	defer o.mu.Unlock()

	if len(o.spare) > fewSpare {
		o.spare = append([][]byte(nil), o.spare[:fewSpare]...)
	}
}
