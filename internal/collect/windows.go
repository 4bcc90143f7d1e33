package collect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// Two things are deferred, so that they hold up nothing else: windows that the API
// fails to answer while it answers others, here, and events that Fluent Bit refuses
// while it takes others, in refused.go. Both are kept in the store and tried again
// until they are through.

// A window is tried again after asideRetry, then after twice as long each time, up to
// longestAside.
const (
	asideRetry   = 5 * time.Minute
	longestAside = time.Hour
)

// takeUpWindows goes on with the windows that an earlier run deferred. A time written
// while the clock was ahead is not waited for.
func (t *Tenant) takeUpWindows(list []store.Deferred) {
	latest := t.now().Add(longestAside)

	for _, a := range list {
		if a.Kind != store.UnreadableWindow {
			continue
		}

		if a.NextTry.After(latest) {
			a.NextTry = latest
		}

		t.hold(a)
		t.update(func(s *store.Status) { s.Deferred++ })

		if reader, ok := t.cfg.Reader.(defender.DeferringReader); ok {
			reader.Avoid(windowOf(a))
		}
	}
}

// asideWindow is a window that was deferred.
type asideWindow struct {
	store.Deferred
	// read says that it has been read; it is through when event last is written down.
	read bool
	last uint64
}

// hold notes a window that is deferred. What was emitted of it is not forgotten
// meanwhile.
func (t *Tenant) hold(a store.Deferred) {
	t.asides = append(t.asides, asideWindow{Deferred: a})
	t.remember()
}

// remember keeps what was emitted of deferred windows from being forgotten before they
// are read.
func (t *Tenant) remember() {
	oldest := tick.Tick(0)
	for _, w := range t.asides {
		if oldest == 0 || w.From < oldest {
			oldest = w.From
		}
	}

	t.progress.Need(oldest)
}

func windowOf(a store.Deferred) defender.Window { return defender.Window{From: a.From, To: a.To} }

// Defer implements defender.DeferringSink.
func (s *sink) Defer(w defender.Window, reason string) error {
	t := s.t
	a := store.Deferred{
		Kind:    store.UnreadableWindow,
		From:    w.From,
		To:      w.To,
		Reason:  reason,
		NextTry: t.now().Add(asideRetry),
	}

	id, err := t.in.cfg.Store.PutDeferred(s.ctx, t.cfg.Key, a)
	if err != nil {
		return fmt.Errorf("deferring what cannot be read: %w", err) // then the walk does not go on behind it
	}

	a.ID = id
	t.hold(a)
	t.update(func(st *store.Status) { st.Deferred++ })

	level := Error
	if s.aside++; s.aside > 1 {
		level = Debug // sayAside counts them
	}

	t.in.log(level, t.cfg.Name, fmt.Sprintf("some alerts updated from %v to %v cannot be read (%s), "+
		"while all others can; they are deferred and tried again by themselves", w.From, w.To, reason))

	return nil
}

// unread describes the windows that are still deferred, since a tenant that lacks
// alerts is not well. ok says that there are some.
func (t *Tenant) unread() (v verdict, ok bool) {
	n := 0

	var first asideWindow

	for _, a := range t.asides {
		if a.read {
			continue
		}

		n++
		if n == 1 || a.From < first.From {
			first = a
		}
	}

	if n == 0 {
		return verdict{}, false
	}

	what := fmt.Sprintf("some alerts updated at %v cannot be read and are deferred", first.From)
	if n > 1 {
		what = fmt.Sprintf("some alerts of %d different times cannot be read and are deferred, "+
			"the first updated at %v", n, first.From)
	}

	return verdict{
		kind:   fine,
		cause:  "deferred",
		reason: what + ": " + first.Reason,
		remedy: "they are tried again at least every hour; until then look them up in the portal, " +
			"and if it lasts narrow `filter`",
	}, true
}

// sayAside says how many windows a poll has deferred, when Defer has named only the
// first of them.
func (s *sink) sayAside() {
	if s.aside > 1 {
		s.t.in.log(Error, s.t.cfg.Name, fmt.Sprintf("this poll has deferred %d more such windows, "+
			"which are tried again by themselves too", s.aside-1))
	}
}

// retryAsides tries the windows that are due again; after a poll that worked, so that a
// general outage does not count against them.
func (t *Tenant) retryAsides(ctx context.Context) {
	reader, ok := t.cfg.Reader.(defender.DeferringReader)
	if !ok || len(t.asides) == 0 {
		return
	}

	var left, read []asideWindow
	for _, a := range t.asides {
		if !a.read && !t.now().Before(a.NextTry) {
			t.retryAside(ctx, reader, &a)
		}

		if !a.read || !t.progress.Committed(a.last) {
			left = append(left, a)
			continue
		}

		if err := t.in.cfg.Store.DropDeferred(ctx, t.cfg.Key, a.ID); err != nil {
			t.in.log(
				Debug,
				t.cfg.Name,
				fmt.Sprintf("a deferred window stays listed although it has been read: %v", err),
			)

			left = append(left, a)

			continue
		}

		read = append(read, a)
	}

	t.asides = left
	t.remember()
	t.sayRead(read)
}

// sayRead shows and says, in one line, which windows that were set aside have been read.
func (t *Tenant) sayRead(read []asideWindow) {
	if len(read) == 0 {
		return
	}

	t.update(func(s *store.Status) { s.Deferred -= len(read) })

	line := fmt.Sprintf("deferred alerts, updated from %v to %v, have been read", read[0].From, read[0].To)
	if more := len(read) - 1; more > 0 {
		line += fmt.Sprintf(", and %d more windows", more)
	}

	t.in.log(Info, t.cfg.Name, line)
}

// retryAside tries one window.
func (t *Tenant) retryAside(ctx context.Context, reader defender.DeferringReader, a *asideWindow) {
	end, err := t.enter(ctx)
	if err != nil {
		return
	}
	defer end()

	s := &sink{t: t, pass: &progress.Pass{Started: t.now(), From: a.From, Position: a.From}}
	s.ctx = defender.WithWaiting(ctx, s.wait)
	s.floor, _ = t.progress.Bounds()

	// A reader rounds outwards; what is older may be forgotten already. What was
	// emitted of the window is still known, see progress.Need.
	s.since = a.From

	err = reader.ReadDeferred(s.ctx, windowOf(a.Deferred), s)
	if err == nil {
		a.read, a.last = true, t.added
		return
	}

	var refused *defender.Error
	if !errors.As(err, &refused) || !refused.Budget {
		a.Tries++
	}

	a.NextTry = t.now().Add(min(asideRetry<<min(a.Tries, 10), longestAside))
	t.in.log(Debug, t.cfg.Name, fmt.Sprintf("deferred alerts cannot be read yet: %v", err))
}
