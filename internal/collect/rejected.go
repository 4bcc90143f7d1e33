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
	"fluent-bit-defender/internal/store"
)

// An event that Fluent Bit rejects is offered again after offerAgain. At most
// offersAtOnce entries are in the outbox for that at a time.
const (
	offerAgain   = 5 * time.Minute
	offersAtOnce = 16
)

// rejectedReason is what the store says of such an entry, for people.
const rejectedReason = "refused by Fluent Bit"

// rejected handles the events of a unit that Fluent Bit refuses while it accepts others.
// They are put into the store, so that the unit's progress can go past them, and offered
// again until they are delivered. Memory holds only when each is due. A goroutine does
// this as long as there are such events.
type rejected struct {
	u *Unit

	mu      sync.Mutex
	fresh   []*delivery.Batch // not in the store yet
	entries []rejectedEntry   // in the store, in the order in which they are due
	running bool              // the goroutine runs
	wake    chan struct{}

	// Only the goroutine uses these.

	fault     faultLog // there are rejected events
	recovered faultLog // some were delivered at last
	delivered int      // how many, since that was logged
}

// rejectedEntry is an entry of the store. It has one event, or several if an earlier
// version of this program wrote it.
type rejectedEntry struct {
	id     int64
	due    time.Time
	replay bool // its events are marked as possible repeats when they are offered
}

// add adds an event. It is called on Fluent Bit's thread.
func (r *rejected) add(b *delivery.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.fresh = append(r.fresh, b)
	r.start()
}

// continueAll goes on with the entries that an earlier run put into the store. None is
// due later than offerAgain from now, even if the clock was ahead when it was written.
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

// start starts the goroutine, or wakes it if it runs; r.mu must be held.
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

// idle reports whether the goroutine does not run, since there is nothing to do.
func (r *rejected) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	return !r.running
}

// run is the goroutine. It ends when no event is left, or when the unit ends. Before that
// it waits for the answers to its offers: otherwise the next unit with the same key would
// offer the same events again.
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

// next returns how long there is nothing to do. more is false if the goroutine ends.
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

// storeFresh puts the events that were rejected lately into the store. Until then they
// count as not delivered.
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

		put := func() (err error) {
			d.ID, err = r.u.in.cfg.Store.PutDeferred(ctx, r.u.cfg.Key, d)
			return err
		}

		if !r.untilStored(ctx, put) {
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

// firstFresh returns the first event that is not in the store yet, nil if there is none.
func (r *rejected) firstFresh() *delivery.Batch {
	r.mu.Lock()
	defer r.mu.Unlock()

	if len(r.fresh) == 0 {
		r.fresh = nil
		return nil
	}

	return r.fresh[0]
}

// forgetFresh removes b, the first event that was not in the store, and releases it.
func (r *rejected) forgetFresh(b *delivery.Batch) {
	r.mu.Lock()
	r.fresh = r.fresh[1:]
	r.mu.Unlock()

	r.u.in.outbox.Release(b)
}

// log logs that there are rejected events, one line every reminder: a processor that
// fails may refuse every second event.
func (r *rejected) log(ctx context.Context) {
	r.u.log.Log(ctx, r.fault.level(r.u.now(), slog.LevelError), fmt.Sprintf(
		"Fluent Bit rejects an alert although it takes others (a processor that fails?); "+
			"it is deferred and offered again every %v. Deferred at present: %d",
		offerAgain, r.u.status.get().Deferred))
}

// untilStored repeats a change of the store until it succeeds. It returns false if ctx
// ended before, or if the unit was abandoned.
func (r *rejected) untilStored(ctx context.Context, change func() error) bool {
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
