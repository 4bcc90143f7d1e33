package defender

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"fluent-bit-defender/internal/tick"
)

// finish reads what it can of a window of the shortest length that fails, and defers it
// if that is not everything.
func (p *pieces) finish(ctx context.Context, r piecewise, w Window, sink Sink) error {
	err := r.readSingly(ctx, w.From, w.To, sink)
	switch {
	case err == nil:
		return nil
	case !maybeWindow(err), !p.answering(ctx, r, w.From):
		return err
	}

	if err := p.deferWindow(w, err); err != nil {
		return err
	}

	p.failures = 0

	return nil
}

// deferWindow defers a window that cannot be read because of cause. It returns cause if
// the sink cannot defer, or too many windows are deferred already.
func (p *pieces) deferWindow(w Window, cause error) error {
	if p.deferring == nil || p.added >= mostDeferredAtOnce || p.crowded() {
		return cause
	}

	reason := cause.Error()

	var e *Error
	if errors.As(cause, &e) {
		reason = e.Message()
	}

	if err := p.deferring.Defer(w, reason); err != nil {
		return err
	}

	p.avoid(w)
	p.added++

	return nil
}

// answering reports whether the service answers several other requests in a row at this
// moment. A single answer would prove nothing: a service may fail only now and then.
func (p *pieces) answering(ctx context.Context, r piecewise, at tick.Tick) bool {
	for p.answers < proof {
		if r.canary(ctx, at) != nil {
			p.answers = 0
			return false
		}

		p.answers++
	}

	p.answers = 0

	return true
}

// crowded reports whether so many parts of the present window were deferred that these
// cannot be the cause.
func (p *pieces) crowded() bool {
	n := 0

	for _, w := range p.deferred {
		if w.To > p.begin {
			n++
		}
	}

	return n >= mostDeferred
}

// avoid adds a window to those that are stepped over.
func (p *pieces) avoid(w Window) {
	same := func(d Window) bool { return d.From == w.From && d.To == w.To }
	if w.From >= w.To || slices.ContainsFunc(p.deferred, same) {
		return
	}

	p.deferred = append(p.deferred, Window{From: w.From, To: w.To})
	slices.SortFunc(p.deferred, func(a, b Window) int { return cmp.Compare(a.From, b.From) })
}

// readDeferred tries to read a deferred window.
func (p *pieces) readDeferred(ctx context.Context, r piecewise, w Window, sink Sink) error {
	p.retrying = true
	defer func() { p.retrying = false }()

	err := r.piece(ctx, w.From, w.To, w.To, rowsOnly{sink})
	if soft(err) && !errors.Is(err, errNoEnd) && w.To-w.From <= r.finest() {
		err = r.readSingly(ctx, w.From, w.To, rowsOnly{sink})
	}

	if err != nil {
		return err
	}

	p.deferred = slices.DeleteFunc(p.deferred, func(d Window) bool { return d.From == w.From && d.To == w.To })

	return nil
}

// adjoins reports whether a deferred window begins or ends at t.
func (p *pieces) adjoins(t tick.Tick) bool {
	return slices.ContainsFunc(p.deferred, func(d Window) bool { return d.From == t || d.To == t })
}

// skipDeferred returns the first time from which on, beginning with from, nothing is
// deferred.
func (p *pieces) skipDeferred(from tick.Tick) tick.Tick {
	for _, w := range p.deferred {
		if w.From <= from && from < w.To {
			from = w.To
		}
	}

	return from
}
