package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// A window that the API cannot answer although it answers others is deferred, so that it
// does not hold these up. It is kept in the store and tried again after firstRetry, then
// after twice as long each time, up to longestRetry.
const (
	firstRetry   = 5 * time.Minute
	longestRetry = time.Hour
)

// deferredWindow is a window that was deferred.
type deferredWindow struct {
	store.Deferred
	// read says that it was read. When event last is committed, it is dropped.
	read bool
	last uint64
}

// window returns the window in the form that a reader takes.
func (w deferredWindow) window() defender.Window { return defender.Window{From: w.From, To: w.To} }

// continueWindow goes on with a window that an earlier run deferred. It is not due later
// than longestRetry from now, even if the clock was ahead when it was written.
func (p *poller) continueWindow(d store.Deferred) {
	if latest := p.now().Add(longestRetry); d.NextTry.After(latest) {
		d.NextTry = latest
	}

	w := p.deferWindow(d)
	if reader, ok := p.cfg.Reader.(defender.DeferringReader); ok {
		reader.Avoid(w.window())
	}
}

// deferWindow adds a window, which is in the store, to those that are tried again.
func (p *poller) deferWindow(d store.Deferred) deferredWindow {
	w := deferredWindow{Deferred: d}

	p.windows = append(p.windows, w)
	p.needSeen()
	p.status.update(func(s *store.Status) { s.Deferred++ })

	return w
}

// needSeen keeps the seen-set from forgetting what was emitted of deferred windows before
// these are read.
func (p *poller) needSeen() {
	oldest := tick.Tick(0)
	for _, w := range p.windows {
		if oldest == 0 || w.From < oldest {
			oldest = w.From
		}
	}

	p.progress.Need(oldest)
}

// Defer implements defender.DeferringSink. If it returns an error, the reader must not go
// on behind the window.
func (s *sink) Defer(w defender.Window, reason string) error {
	p := s.p
	d := store.Deferred{
		Kind:    store.UnreadableWindow,
		From:    w.From,
		To:      w.To,
		Reason:  reason,
		NextTry: p.now().Add(firstRetry),
		Replay:  p.progress.Replay(),
	}

	id, err := p.in.cfg.Store.PutDeferred(s.ctx, p.cfg.Key, d)
	if err != nil {
		return storeError{fmt.Errorf("deferring what cannot be read: %w", err)}
	}

	d.ID = id
	p.deferWindow(d)

	level := slog.LevelError
	if s.deferred++; s.deferred > 1 {
		level = slog.LevelDebug // logDeferred counts them
	}

	p.log.Log(s.ctx, level, fmt.Sprintf("some alerts updated from %v to %v cannot be read (%s), "+
		"while all others can; they are deferred and tried again by themselves", w.From, w.To, reason))

	return nil
}

// logDeferred logs how many windows a poll has deferred, when Defer has named only the
// first of them.
func (s *sink) logDeferred() {
	if s.deferred > 1 {
		s.p.log.Error(fmt.Sprintf("this poll has deferred %d more such windows, "+
			"which are tried again by themselves too", s.deferred-1))
	}
}

// unreadVerdict returns the verdict on a unit with deferred windows, which is shown as
// failing since alerts are missing. found reports that there are such windows.
func (p *poller) unreadVerdict() (v verdict, found bool) {
	n := 0

	var first deferredWindow

	for _, w := range p.windows {
		if w.read {
			continue
		}

		n++
		if n == 1 || w.From < first.From {
			first = w
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
		kind:  fine,
		cause: "deferred",
		trouble: health.Trouble{
			Reason:  advice.BadAnswer,
			Message: what + ": " + first.Reason,
			Remedy: "they are tried again at least every hour; until then look them up in the portal, " +
				"and if it lasts narrow `filter`",
		},
	}, true
}

// retryWindows tries the windows that are due. It is called after a poll that worked, so
// that a general outage does not count against them.
func (p *poller) retryWindows(ctx context.Context) {
	reader, ok := p.cfg.Reader.(defender.DeferringReader)
	if !ok || len(p.windows) == 0 {
		return
	}

	var left, read []deferredWindow
	for _, w := range p.windows {
		if !w.read && !p.now().Before(w.NextTry) {
			p.retryWindow(ctx, reader, &w)
		}

		if w.read && p.progress.Committed(w.last) && p.dropWindow(ctx, w) {
			read = append(read, w)
		} else {
			left = append(left, w)
		}
	}

	p.windows = left
	p.needSeen()
	p.logRead(read)
}

// dropWindow removes a window that was read from the store. It reports whether that
// worked.
func (p *poller) dropWindow(ctx context.Context, w deferredWindow) bool {
	if err := p.in.cfg.Store.DropDeferred(ctx, p.cfg.Key, w.ID); err != nil {
		p.log.Debug(fmt.Sprintf("a deferred window stays listed although it has been read: %v", err))
		return false
	}

	return true
}

// logRead shows and logs, in one line, which deferred windows have been read.
func (p *poller) logRead(read []deferredWindow) {
	if len(read) == 0 {
		return
	}

	p.status.update(func(s *store.Status) { s.Deferred -= len(read) })

	line := fmt.Sprintf("deferred alerts, updated from %v to %v, have been read", read[0].From, read[0].To)
	if more := len(read) - 1; more > 0 {
		line += fmt.Sprintf(", and %d more windows", more)
	}

	p.log.Info(line)
}

// retryWindow tries one window.
func (p *poller) retryWindow(ctx context.Context, reader defender.DeferringReader, w *deferredWindow) {
	end, err := p.enter(ctx)
	if err != nil {
		return
	}
	defer end()

	s := &sink{
		p:      p,
		pass:   &progress.Pass{Started: p.now(), From: w.From, Position: w.From},
		replay: w.Replay,
	}
	s.ctx = defender.WithWaiting(ctx, s.wait)
	s.floor, _ = p.progress.Bounds()

	// A reader rounds outwards: what is older than the window may be forgotten already.
	// What was emitted of the window itself is still known, see needSeen.
	s.since = w.From

	err = reader.ReadDeferred(s.ctx, w.window(), s)
	if err == nil {
		w.read, w.last = true, p.queued
		return
	}

	if errors.Is(err, errUntrusted) {
		return
	}

	var fault *defender.Error
	if !errors.As(err, &fault) || !fault.Budget {
		w.Tries++
	}

	w.NextTry = p.now().Add(min(firstRetry<<min(w.Tries, 10), longestRetry))
	p.log.Debug(fmt.Sprintf("deferred alerts cannot be read yet: %v", err))
}
