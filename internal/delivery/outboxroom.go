package delivery

import (
	"context"
	"slices"
)

// waiter is a call that waits for room.
type waiter struct {
	stream *Stream
	size   int
	woken  chan struct{} // holds one when there may be room
}

// wake makes the waiter look whether there is room.
func (w *waiter) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// enter waits until there is room for size bytes of a stream, and then runs put with the
// lock held. It calls wait like Add does.
func (o *Outbox) enter(ctx context.Context, s *Stream, size int, wait func() func(), put func()) error {
	o.mu.Lock()
	if !o.closed && !s.dropped.Load() && o.nextWaiter() == nil && !o.beyondShare(s) && o.fits(size) {
		put()
		o.mu.Unlock()

		return nil
	}

	w := &waiter{s, size, make(chan struct{}, 1)}
	o.waiters = append(o.waiters, w)
	o.mu.Unlock()

	if wait != nil && ctx.Err() == nil {
		defer wait()()
	}

	for {
		if entered, err := o.tryEnter(ctx, w, put); entered || err != nil {
			return err
		}

		select {
		case <-w.woken:
		case <-ctx.Done():
		}
	}
}

// tryEnter runs put if there is room and w comes first. When it has run put, and when it
// returns an error, it has removed w from the waiters.
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
		if o.nextWaiter() != w || !o.fits(w.size) {
			return false, nil
		}

		put()
	}

	o.waiters = slices.DeleteFunc(o.waiters, func(x *waiter) bool { return x == w })
	o.wakeNext()

	return err == nil, err
}

// fits reports whether there is room; o.mu must be held. One event always fits into an
// empty queue, even if suspects take up all room: otherwise it would never show whether
// Fluent Bit accepts other events. If rejected events take up all room, it does not fit:
// they only wait for a store.
func (o *Outbox) fits(size int) bool {
	return len(o.queue) == 0 && o.rejected < o.limit || o.bytes+size <= o.limit
}

// shareOfFree is how many times the free room a stream may take up.
const shareOfFree = 3

// beyondShare reports whether a stream takes up so much room that others come first; o.mu
// must be held. The share shrinks with the free room: of two streams with a backlog each
// gets three sevenths of the limit, of ten each gets nearly a tenth, and some room always
// stays free for streams that have only a few events. A stream that is alone may take up
// all of it.
func (o *Outbox) beyondShare(s *Stream) bool {
	return s.bytes < o.bytes && len(o.queue) > 0 && s.bytes > shareOfFree*max(0, o.limit-o.bytes)
}

// nextWaiter returns the waiter that comes first, nil if none may enter; o.mu must be
// held. It is the earliest one whose stream is within its share. Small events do not
// overtake a large one for ever: a stream that has nothing queued is always within its
// share.
func (o *Outbox) nextWaiter() *waiter {
	for _, w := range o.waiters {
		if !o.beyondShare(w.stream) {
			return w
		}
	}

	return nil
}

// wakeNext wakes the waiter that comes first, if there is room for it; o.mu must be held.
// When the outbox is closed it wakes any one, which leaves with ErrClosed and wakes the
// next.
func (o *Outbox) wakeNext() {
	if o.closed {
		if len(o.waiters) > 0 {
			o.waiters[0].wake()
		}

		return
	}

	if w := o.nextWaiter(); w != nil && o.fits(w.size) {
		w.wake()
	}
}
