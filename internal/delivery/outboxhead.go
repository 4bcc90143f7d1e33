package delivery

import (
	"bytes"
	"slices"
)

// Release removes a batch that is out of the queue from what is counted: Fluent Bit has
// it, or its owner has committed it.
func (o *Outbox) Release(b *Batch) {
	o.mu.Lock()
	defer o.mu.Unlock()

	if b.stream.dropped.Load() {
		o.forget(b)
	} else {
		b.stream.release(b)
		o.uncount(b)
		o.recycle(b.events)
	}

	o.wakeNext()
}

// uncount subtracts a batch from what is counted; o.mu must be held.
func (o *Outbox) uncount(b *Batch) {
	o.grow(b.stream, -len(b.events))
	o.events -= int(b.last - b.first + 1)

	if b.rejected {
		o.rejected -= len(b.events)
	}
}

// head closes the first batch of the queue and returns it, nil if there is none. The
// batch stays in the queue until removeHead.
func (o *Outbox) head() *Batch {
	o.mu.Lock()
	defer o.mu.Unlock()

	if len(o.queue) == 0 {
		return nil
	}

	b := o.queue[0]
	b.close()

	return b
}

// removeHead takes the first batch out of the queue. It counts as not delivered until
// Release.
func (o *Outbox) removeHead() {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.pop()
	o.wakeNext()
}

// pop takes the first batch out of the queue; o.mu must be held.
func (o *Outbox) pop() *Batch {
	b := o.queue[0]
	o.queue[0] = nil
	o.queue = o.queue[1:]
	o.round = b.round

	return b
}

// splitHead takes the first batch out of the queue and returns its events, a batch each,
// which still count as not delivered. Each has memory of its own, since one of them may
// stay for long.
func (o *Outbox) splitHead() []*Batch {
	o.mu.Lock()
	defer o.mu.Unlock()

	b := o.pop()

	var pieces []*Batch

	for n, rest := b.first, b.events; len(rest) > 0; n++ {
		var event []byte

		event, rest = firstEvent(rest)
		pieces = append(pieces, &Batch{
			stream: b.stream,
			events: bytes.Clone(event),
			first:  n,
			last:   n,
		})
	}

	pieces[len(pieces)-1].last = b.last
	i := b.stream.find(b)
	b.stream.undelivered = slices.Replace(b.stream.undelivered, i, i+1, pieces...)
	o.recycle(b.events)
	o.wakeNext()

	return pieces
}

// alone reports whether nothing is queued but b, and b is one event.
func (o *Outbox) alone(b *Batch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()

	return len(o.queue) == 1 && b.first == b.last
}

// reject passes an event that is out of the queue on to its owner.
func (o *Outbox) reject(b *Batch) {
	o.mu.Lock()
	b.rejected = true
	o.rejected += len(b.events)
	o.mu.Unlock()

	b.stream.owner.Rejected(b)
}
