package collect

import (
	"context"
	"fmt"
	"slices"

	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
)

// offerDue offers the entries that are due, waits for the answers, and commits these.
func (r *rejected) offerDue(ctx context.Context) {
	var offers []*offer

	for range offersAtOnce {
		e, ok := r.takeDue()
		if !ok {
			break
		}

		if o := r.offer(ctx, e); o != nil {
			offers = append(offers, o)
		}
	}

	for _, o := range offers {
		left, ok := o.outcome(ctx)
		if !ok {
			return
		}

		r.storeOutcome(ctx, o, left)
	}

	r.logDelivered()
}

// logDelivered logs how many events have been delivered at last, one line every reminder:
// when the cause of the rejections is repaired, thousands may follow each other.
func (r *rejected) logDelivered() {
	left := r.u.status.get().Deferred
	if r.delivered == 0 {
		return
	}

	if left == 0 {
		r.recovered.over()
	}

	if !r.recovered.due(r.u.now()) {
		return
	}

	r.u.log.Info(fmt.Sprintf("%d alerts that were deferred are delivered; still deferred: %d",
		r.delivered, left))
	r.delivered = 0
}

// takeDue returns the entry that is due, if there is one. The entry stays in the list,
// with the time of the next offer.
func (r *rejected) takeDue() (e rejectedEntry, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	now := r.u.now()
	if len(r.entries) == 0 || r.entries[0].due.After(now) {
		return e, false
	}

	e = r.entries[0]
	r.entries = append(r.entries[1:], rejectedEntry{e.id, now.Add(offerAgain), e.replay})

	return e, true
}

// offer is an entry on its way through the outbox.
type offer struct {
	rejectedEntry

	size    int // of all events
	events  [][]byte
	answers []<-chan bool // for the first of the events, one each
}

// offer puts the events of an entry into the outbox. It returns nil if the store does not
// answer.
func (r *rejected) offer(ctx context.Context, e rejectedEntry) *offer {
	u := r.u

	events, found, err := u.in.cfg.Store.DeferredEvents(ctx, u.cfg.Key, e.id)
	if err != nil {
		u.log.Debug(fmt.Sprintf("a rejected event cannot be read from the store yet: %v", err))
		return nil
	}

	o := &offer{rejectedEntry: e}
	if !found {
		return o // it was removed from the store
	}

	if e.replay {
		events = record.MarkReplays(events)
	}

	o.size = len(events)

	for len(events) > 0 {
		event, rest, err := record.Next(events)
		if err != nil {
			event, rest = events, nil
		}

		o.events, events = append(o.events, event), rest
	}

	for _, event := range o.events {
		answer, err := u.in.outbox.Offer(u.ctx, u.stream, event)
		if err != nil {
			break
		}

		o.answers = append(o.answers, answer)
	}

	return o
}

// outcome waits for all answers and returns the events that were not delivered; ok is
// false if ctx ended before.
func (o *offer) outcome(ctx context.Context) (left []byte, ok bool) {
	for i, event := range o.events {
		delivered := false

		if i < len(o.answers) {
			select {
			case delivered = <-o.answers[i]:
			case <-ctx.Done():
				return nil, false
			}
		}

		if !delivered {
			left = append(left, event...)
		}
	}

	return left, true
}

// storeOutcome removes an entry from the store if all its events were delivered. If some
// were not, which are left, it replaces the entry by these.
func (r *rejected) storeOutcome(ctx context.Context, o *offer, left []byte) {
	u := r.u

	switch {
	case len(left) == 0:
		drop := func() error { return u.in.cfg.Store.DropDeferred(ctx, u.cfg.Key, o.id) }
		if !r.untilStored(ctx, drop) {
			return
		}

		r.forget(o.id)
		u.status.update(func(s *store.Status) { s.Deferred-- })

		r.delivered++
	case len(left) < o.size:
		d := store.Deferred{
			ID:      o.id,
			Kind:    store.RejectedEvent,
			Events:  left,
			Reason:  rejectedReason,
			NextTry: u.now().Add(offerAgain),
			Replay:  o.replay,
		}

		r.untilStored(ctx, func() error {
			_, err := u.in.cfg.Store.PutDeferred(ctx, u.cfg.Key, d)
			return err
		})
	}
}

// forget removes an entry from the list. takeDue has put it near the end.
func (r *rejected) forget(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()

	for i := len(r.entries) - 1; i >= 0; i-- {
		if r.entries[i].id == id {
			r.entries = slices.Delete(r.entries, i, i+1)
			return
		}
	}
}
