package collect

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
)

// An event that Fluent Bit rejects is offered again after offerAgain; offersAtOnce
// entries are in the outbox for that at a time.
const (
	offerAgain   = 5 * time.Minute
	offersAtOnce = 16
)

// rejectedReason is what the store says of such an entry, for people.
const rejectedReason = "refused by Fluent Bit"

// rejected are the events of a unit that Fluent Bit refuses while it accepts others. They
// are put into the store, which lets the unit's progress go past them, and offered again
// until they are delivered. Only when each is due is kept in memory. A goroutine does
// this, while there are any.
type rejected struct {
	u *Unit

	mu      sync.Mutex
	fresh   []*delivery.Batch // not in the store yet
	entries []rejectedEntry   // in the store, in the order in which they are due
	running bool
	wake    chan struct{}

	// What follows belongs to the goroutine.
	fault     notice // there are rejected events
	through   notice // some have been delivered at last
	delivered int    // how many since that was logged
}

// rejectedEntry is an entry of the store: one event, or several in stores of earlier
// versions.
type rejectedEntry struct {
	id     int64
	due    time.Time
	replay bool // its events are marked when they are offered
}

// add takes an event. It is called on Fluent Bit's thread.
func (r *rejected) add(b *delivery.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.fresh = append(r.fresh, b)
	r.start()
}

// continueAll goes on with what an earlier run put into the store. A time that was
// written while the clock was ahead is not waited for.
func (r *rejected) continueAll(list []store.Deferred) {
	if len(list) == 0 {
		return
	}

	r.u.status.update(func(s *store.Status) { s.Deferred += len(list) })

	latest := r.u.now().Add(offerAgain)

	r.mu.Lock()
	defer r.mu.Unlock()

	for _, d := range list {
		if d.NextTry.After(latest) {
			d.NextTry = latest
		}

		r.entries = append(r.entries, rejectedEntry{d.ID, d.NextTry, d.Replay})
	}

	slices.SortStableFunc(r.entries, func(a, b rejectedEntry) int { return a.due.Compare(b.due) })
	r.start()
}

// start sees to it that the goroutine runs and looks at what there is; r.mu must be held.
func (r *rejected) start() {
	if !r.running {
		r.running, r.wake = true, make(chan struct{}, 1)
		r.u.in.run(r.u.in.ctx, r.u.log, r.run)

		return
	}

	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// idle reports whether nothing is under way.
func (r *rejected) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	return !r.running
}

// run ends when nothing is left, and with the unit. Before that it waits for the answers
// to what it has in the outbox: the unit's successor would offer the same again.
func (r *rejected) run(ctx context.Context) {
	defer r.u.in.wakeCommitter()

	for ctx.Err() == nil {
		r.storeFresh(ctx)

		if r.u.ctx.Err() == nil {
			r.offerDue(ctx)
		}

		wait, more := r.next()
		if !more {
			return
		}

		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-r.wake:
		case <-r.u.ctx.Done():
		}

		timer.Stop()
	}
}

// next returns how long there is nothing to do. more is false when that is for good.
func (r *rejected) next() (wait time.Duration, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	switch {
	case len(r.fresh) > 0:
		return 0, true
	case len(r.entries) == 0 || r.u.ctx.Err() != nil:
		r.running = false
		return 0, false
	}

	return max(0, r.entries[0].due.Sub(r.u.now())), true
}

// storeFresh puts the events that were rejected lately into the store. Until that has
// worked they count as not delivered.
func (r *rejected) storeFresh(ctx context.Context) {
	for {
		b := r.firstFresh()
		if b == nil {
			return
		}

		if r.u.abandoned.Load() {
			r.forgetFresh(b)
			continue
		}

		d := store.Deferred{
			Kind:    store.RejectedEvent,
			Events:  b.Events(),
			Reason:  rejectedReason,
			NextTry: r.u.now().Add(offerAgain),
		}

		if !r.insist(ctx, func() (err error) {
			d.ID, err = r.u.in.cfg.Store.PutDeferred(ctx, r.u.cfg.Key, d)
			return err
		}) {
			if r.u.abandoned.Load() {
				continue
			}

			return
		}

		r.mu.Lock()
		r.entries = append(r.entries, rejectedEntry{d.ID, d.NextTry, false})
		r.mu.Unlock()

		r.forgetFresh(b)
		r.u.status.update(func(s *store.Status) { s.Deferred++ })
		r.log(ctx)
	}
}

// firstFresh returns the first event that is not in the store yet, nil for none.
func (r *rejected) firstFresh() *delivery.Batch {
	r.mu.Lock()
	defer r.mu.Unlock()

	if len(r.fresh) == 0 {
		r.fresh = nil
		return nil
	}

	return r.fresh[0]
}

// forgetFresh lets go of the first event that is not in the store yet.
func (r *rejected) forgetFresh(b *delivery.Batch) {
	r.mu.Lock()
	r.fresh = r.fresh[1:]
	r.mu.Unlock()

	r.u.in.outbox.Release(b)
}

// log reports rejected events, one line in a while: a processor that fails may refuse
// every second one.
func (r *rejected) log(ctx context.Context) {
	r.u.log.Log(ctx, r.fault.level(r.u.now(), slog.LevelError), fmt.Sprintf(
		"Fluent Bit rejects an alert although it takes others (a processor that fails?); "+
			"it is deferred and offered again every %v. Deferred at present: %d",
		offerAgain, r.u.status.get().Deferred))
}

// insist repeats a change of the store until it has worked. It reports false if ctx ended
// before, or the unit was abandoned.
func (r *rejected) insist(ctx context.Context, change func() error) bool {
	for {
		err := change()
		if err == nil {
			return true
		}

		if r.u.abandoned.Load() {
			return false
		}

		r.u.log.Debug(fmt.Sprintf("a rejected event cannot be written to the store yet: %v", err))

		if pause.For(ctx, retryPause) != nil {
			return false
		}
	}
}

// offerDue offers the entries that are due, and waits until it is known what became of
// them.
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

// logDelivered logs how many events have been delivered at last, one line in a while:
// thousands may follow each other when what made Fluent Bit reject them is repaired.
func (r *rejected) logDelivered() {
	left := r.u.status.get().Deferred
	if r.delivered == 0 {
		return
	}

	if left == 0 {
		r.through.over()
	}

	if !r.through.due(r.u.now()) {
		return
	}

	r.u.log.Info(fmt.Sprintf("%d alerts that were deferred are delivered; still deferred: %d",
		r.delivered, left))
	r.delivered = 0
}

// takeDue returns the entry that is due, if there is one. It stays listed, for the next
// time.
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

	size    int
	events  [][]byte
	answers []<-chan bool // of the first events, one each
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
		return o // somebody has dropped it
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

// storeOutcome commits what became of an entry of which left was not delivered.
func (r *rejected) storeOutcome(ctx context.Context, o *offer, left []byte) {
	u := r.u

	switch {
	case len(left) == 0:
		if !r.insist(ctx, func() error { return u.in.cfg.Store.DropDeferred(ctx, u.cfg.Key, o.id) }) {
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

		r.insist(ctx, func() error { _, err := u.in.cfg.Store.PutDeferred(ctx, u.cfg.Key, d); return err })
	}
}

// forget takes an entry off the list. It was put at the end when it was offered.
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
