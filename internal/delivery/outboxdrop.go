package delivery

import "slices"

// Drop discards the events of a stream that are not delivered, and every later Add fails.
// The owner is not told that they were delivered. The sender drops the batches that it
// holds itself at its next tick. An append that has begun is not stopped.
func (o *Outbox) Drop(s *Stream) {
	o.mu.Lock()
	defer o.mu.Unlock()

	s.dropped.Store(true)
	s.open = nil

	for _, w := range o.waiters {
		if w.stream.dropped == s.dropped {
			w.wake()
		}
	}

	if len(o.queue) == 0 {
		return
	}

	// The head may be on its way to Fluent Bit: the sender drops it.
	o.queue = append(o.queue[:1], slices.DeleteFunc(o.queue[1:], func(b *Batch) bool {
		if b.stream.dropped != s.dropped {
			return false
		}

		o.forget(b)

		return true
	})...)

	o.wakeNext()
}

// forget discards a batch of a dropped stream, which is out of the queue; o.mu must be
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

// dropHead discards the head of the queue, which belongs to a dropped stream.
func (o *Outbox) dropHead() {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.forget(o.pop())
	o.wakeNext()
}
