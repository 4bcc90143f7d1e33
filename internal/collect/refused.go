package collect

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
)

// refusedRetry is when an event that Fluent Bit refused is offered again; offeredAtOnce
// how many entries are in the outbox for that at a time.
const (
	refusedRetry  = 5 * time.Minute
	offeredAtOnce = 16
)

// refusals are the events of a tenant that Fluent Bit refuses although it takes others.
// They are written down, which lets the tenant's progress go on past them, and offered
// again until they are taken. Memory holds only when that is due. A goroutine does it,
// while there are any.
type refusals struct {
	t *Tenant

	mu      sync.Mutex
	fresh   []*delivery.Batch // not written down yet
	kept    []keptEntry       // written down, in the order in which they are due
	running bool
	said    time.Time
	through int       // of run: events taken at last since that was said
	told    time.Time // of run: when it was
	wake    chan struct{}
}

// keptEntry is an entry of the store: one event, or several in stores of earlier
// versions.
type keptEntry struct {
	id  int64
	due time.Time
}

// keep is told, on Fluent Bit's thread, of an event that is at fault: delivery.Owner.
func (r *refusals) keep(b *delivery.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.fresh = append(r.fresh, b)
	r.start()
}

// takeUp goes on with what an earlier run wrote down. A time written while the clock
// was ahead is not waited for.
func (r *refusals) takeUp(list []store.Deferred) {
	latest := r.t.now().Add(refusedRetry)
	r.mu.Lock()
	defer r.mu.Unlock()

	for _, a := range list {
		if a.Kind != store.RejectedEvent {
			continue
		}

		r.t.update(func(s *store.Status) { s.Deferred++ })

		if a.NextTry.After(latest) {
			a.NextTry = latest
		}

		r.kept = append(r.kept, keptEntry{a.ID, a.NextTry})
	}

	slices.SortStableFunc(r.kept, func(a, b keptEntry) int { return a.due.Compare(b.due) })

	if len(r.kept) > 0 {
		r.start()
	}
}

// start sees to it that the goroutine runs and looks; r.mu must be held.
func (r *refusals) start() {
	if !r.running {
		r.running, r.wake = true, make(chan struct{}, 1)
		r.t.in.run(r.t.in.ctx, r.t.cfg.Name, r.run)

		return
	}

	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// idle tells whether nothing is under way.
func (r *refusals) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	return !r.running
}

// run ends when nothing is left, and with the tenant, but not before what it has in the
// outbox is answered for: the tenant's successor would offer the same again.
func (r *refusals) run(ctx context.Context) {
	defer r.t.in.dirty()

	for ctx.Err() == nil {
		r.writeDown(ctx)

		if r.t.ctx.Err() == nil {
			r.offerDue(ctx)
		}

		pause, more := r.next()
		if !more {
			return
		}

		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-r.wake:
		case <-r.t.ctx.Done():
		}

		timer.Stop()
	}
}

// next tells how long there is nothing to do. more is false when that is for good.
func (r *refusals) next() (pause time.Duration, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	switch {
	case len(r.fresh) > 0:
		return 0, true
	case len(r.kept) == 0 || r.t.ctx.Err() != nil:
		r.running = false
		return 0, false
	}

	return max(0, r.kept[0].due.Sub(r.t.now())), true
}

// writeDown puts into the store what was refused. Until that has worked it counts as
// waiting.
func (r *refusals) writeDown(ctx context.Context) {
	t := r.t
	for {
		r.mu.Lock()
		if len(r.fresh) == 0 {
			r.fresh = nil
			r.mu.Unlock()

			return
		}

		b := r.fresh[0]
		r.mu.Unlock()

		a := store.Deferred{
			Kind:    store.RejectedEvent,
			Events:  b.Events(),
			Reason:  refusedReason,
			NextTry: t.now().Add(refusedRetry),
		}

		if !r.insist(ctx, func() (err error) { a.ID, err = t.in.cfg.Store.PutDeferred(ctx, t.cfg.Key, a); return err }) {
			return
		}

		r.mu.Lock()
		r.fresh = r.fresh[1:]
		r.kept = append(r.kept, keptEntry{a.ID, a.NextTry})
		r.mu.Unlock()
		t.in.outbox.Release(b)
		t.update(func(s *store.Status) { s.Deferred++ })
		r.say()
	}
}

const refusedReason = "refused by Fluent Bit"

// say reports refused events, one line in a while: a processor that fails may refuse
// every second one.
func (r *refusals) say() {
	t, level := r.t, Debug
	if now := t.now(); r.said.IsZero() || now.Sub(r.said) >= reminder {
		r.said, level = now, Error
	}

	t.in.log(
		level,
		t.cfg.Name,
		fmt.Sprintf(
			"Fluent Bit refuses an alert although it takes others (a processor that fails?); it is set aside and offered again every %v. Set aside at present: %d",
			refusedRetry,
			t.snapshot().Deferred,
		),
	)
}

// insist repeats a change of the store until it has worked; false if ctx ended before.
func (r *refusals) insist(ctx context.Context, change func() error) bool {
	for {
		err := change()
		if err == nil {
			return true
		}

		r.t.in.log(Debug, r.t.cfg.Name, fmt.Sprintf("what Fluent Bit refused cannot be written down yet: %v", err))

		if !sleep(ctx, retryPause) {
			return false
		}
	}
}

// offerDue offers the entries that are due, and waits until it is known what became of
// them.
func (r *refusals) offerDue(ctx context.Context) {
	var offers []*offer

	for range offeredAtOnce {
		id, ok := r.takeDue()
		if !ok {
			break
		}

		if o := r.offer(ctx, id); o != nil {
			offers = append(offers, o)
		}
	}

	for _, o := range offers {
		left, ok := o.outcome(ctx)
		if !ok {
			return
		}

		r.settle(ctx, o, left)
	}

	r.sayThrough()
}

// sayThrough says how many events Fluent Bit has taken at last, one line in a while:
// thousands may follow each other when what refused them is repaired.
func (r *refusals) sayThrough() {
	t := r.t

	now, left := t.now(), t.snapshot().Deferred
	if r.through == 0 || left > 0 && now.Sub(r.told) < reminder {
		return
	}

	t.in.log(
		Info,
		t.cfg.Name,
		fmt.Sprintf("Fluent Bit has taken %d alerts that were set aside; set aside at present: %d",
			r.through, left),
	)
	r.through, r.told = 0, now
}

// takeDue gives the entry that is due, if there is one. It stays listed, for the next
// time.
func (r *refusals) takeDue() (id int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	now := r.t.now()
	if len(r.kept) == 0 || r.kept[0].due.After(now) {
		return 0, false
	}

	e := r.kept[0]
	r.kept = append(r.kept[1:], keptEntry{e.id, now.Add(refusedRetry)})

	return e.id, true
}

// offer is an entry on its way through the outbox.
type offer struct {
	id      int64
	events  [][]byte
	answers []<-chan bool
}

// offer puts the events of an entry into the outbox.
func (r *refusals) offer(ctx context.Context, id int64) *offer {
	t := r.t

	row, ok, err := t.in.cfg.Store.DeferredEvents(ctx, t.cfg.Key, id)
	if err != nil {
		t.in.log(Debug, t.cfg.Name, fmt.Sprintf("what Fluent Bit refused cannot be read from the store yet: %v", err))
		return nil
	}

	o := &offer{id: id}
	if !ok {
		return o // somebody has dropped it
	}

	for len(row) > 0 {
		event, rest, err := record.Next(row)
		if err != nil {
			event, rest = row, nil
		}

		o.events, row = append(o.events, event), rest
	}

	for _, event := range o.events {
		answer, err := t.in.outbox.Offer(t.ctx, t.cfg.Tag, event)
		if err != nil {
			break
		}

		o.answers = append(o.answers, answer)
	}

	return o
}

// outcome waits for all answers and gives the events that were not taken; ok is false
// if ctx ended before.
func (o *offer) outcome(ctx context.Context) (left []byte, ok bool) {
	for i, event := range o.events {
		taken := false

		if i < len(o.answers) {
			select {
			case taken = <-o.answers[i]:
			case <-ctx.Done():
				return nil, false
			}
		}

		if !taken {
			left = append(left, event...)
		}
	}

	return left, true
}

// settle writes down what became of an entry of which left was not taken.
func (r *refusals) settle(ctx context.Context, o *offer, left []byte) {
	t := r.t

	size := 0
	for _, event := range o.events {
		size += len(event)
	}

	switch {
	case len(left) == 0:
		if !r.insist(ctx, func() error { return t.in.cfg.Store.DropDeferred(ctx, t.cfg.Key, o.id) }) {
			return
		}

		r.forget(o.id)
		t.update(func(s *store.Status) { s.Deferred-- })

		r.through++
	case len(left) < size:
		a := store.Deferred{
			ID:      o.id,
			Kind:    store.RejectedEvent,
			Events:  left,
			Reason:  refusedReason,
			NextTry: t.now().Add(refusedRetry),
		}

		r.insist(ctx, func() error { _, err := t.in.cfg.Store.PutDeferred(ctx, t.cfg.Key, a); return err })
	}
}

// forget takes an entry off the list. It was put at the end when it was offered.
func (r *refusals) forget(id int64) {
	r.mu.Lock()
	defer r.mu.Unlock()

	for i := len(r.kept) - 1; i >= 0; i-- {
		if r.kept[i].id == id {
			r.kept = slices.Delete(r.kept, i, i+1)
			return
		}
	}
}
