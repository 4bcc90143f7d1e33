package defender

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"fluent-bit-defender/internal/tick"
)

// piecewise is an API that pieces can read.
type piecewise interface {
	// piece reads the window [from, to), where to 0 means no bound. If it has to cut a
	// window without bound, that ends at end.
	piece(ctx context.Context, from, to, end tick.Tick, sink Sink) error
	// canary sends a tiny request, for a time before at, to find out whether the service
	// answers at all.
	canary(ctx context.Context, at tick.Tick) error
	// singly reads what it can of a window of the length finest that cannot be read as a
	// whole. It returns nil if that was everything.
	singly(ctx context.Context, from, to tick.Tick, sink Sink) error
	// following returns the time of the first row in [from, to), where to 0 means no
	// bound; 0 if there is none. ok is false if the service did not say so.
	following(ctx context.Context, from, to tick.Tick) (at tick.Tick, ok bool)
	// finest returns the length of the shortest window.
	finest() tick.Tick
}

const (
	// fewer is the factor by which a window shrinks when it fails, and grows when it was
	// read.
	fewer = 4
	// shortWindows is how many windows are read before a length that was too long is
	// tried again. The number doubles, up to mostAgain times, each time it is still too
	// long.
	shortWindows = 5
	mostAgain    = 4
	// mostSteps bounds how many failures one Read works on; the rest is for the next.
	mostSteps = 60
	// emptyPieces is how many pieces without a row are read before the service is asked
	// where the next row is; twice as many each time it does not say so.
	emptyPieces = 3
	// proof is how many answers in a row prove that a service works.
	proof = 3
	// mostDeferred bounds how many windows may be deferred at a time. If more fail, the
	// windows are not the cause.
	mostDeferred = 64
	// mostDeferredAtOnce bounds how many windows one Read defers, since each takes many
	// requests. The rest is for the next Read.
	mostDeferredAtOnce = 8
	// longestSpan is the length from which on windows are no longer cut.
	longestSpan = 24 * 60 * tick.Minute
)

// pieces cuts a window that cannot be read at once into shorter ones, remembers between
// reads how short they had to be, and defers what cannot be read at all.
//
// It acts at the second failure in a row, or at the first failure of a length that was
// too long lately; and only while the service answers other requests, since a service
// that is down says nothing about the window.
type pieces struct {
	span     tick.Tick // how long a window may be; 0 is any
	hard     tick.Tick // the end of the window that failed last; growing must not pass it
	long     tick.Tick // a length that was too long lately; 0 if none was
	read     int       // pieces read since then
	again    int       // how often that length was tried again and still failed
	failures int       // in a row
	answers  int       // in a row, since the last failure
	begin    tick.Tick // where the window begins
	empty    int       // pieces without a row, in a row
	deferred []Window  // windows to step over, ascending

	leapAfter int // how many empty pieces in a row are read before the service is asked for the next row

	retrying bool          // a deferred window is being read
	added    int           // windows deferred during this Read
	keeper   DeferringSink // the sink of this Read; nil if it cannot defer
}

// soft reports whether a smaller request may succeed where one failed with err.
func soft(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Smaller
}

// maybeWindow reports whether the window that was asked for may be the cause of an
// error. A service that refuses a request may refuse only this window; if it refuses
// every request, the canary fails too.
func maybeWindow(err error) bool {
	return soft(err) || isStatus(err, http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity)
}

// window reads a window, oldest part first, so that each piece that was read counts.
func (p *pieces) window(ctx context.Context, r piecewise, w Window, sink Sink) error {
	p.answers, p.begin = 0, w.From
	p.added = 0
	p.empty, p.leapAfter = 0, emptyPieces

	p.keeper, _ = sink.(DeferringSink)
	defer func() { p.keeper = nil }()

	end := w.To
	if end == 0 {
		end = max(w.Now, w.From+1)
	}

	cut := p.span > 0 || w.To != 0
	for from, steps := w.From, 0; ; {
		from = p.behind(from)
		if cut && from >= end {
			return p.complete(w, end, sink)
		}

		to := p.next(from, w.To, end)
		way := &tracker{Sink: sink}

		err := r.piece(ctx, from, to, end, way)
		if err == nil {
			p.failures = 0

			p.answers++
			if to == 0 || to == w.To {
				return p.complete(w, end, sink)
			}

			if from, err = p.goOn(ctx, r, way, to, end, w.To); err != nil {
				return err
			}

			continue
		}

		steps++
		if steps > mostSteps {
			return err
		}

		if way.safe > from {
			from, p.failures, p.answers = way.safe, 0, 1
		}

		from, err = p.failed(ctx, r, from, to, end, err, sink)
		if err != nil {
			return err
		}

		cut = true
	}
}

// complete ends a window that was read up to w.To, or up to the present if it had to be
// cut. What is newer comes with the next window.
func (p *pieces) complete(w Window, end tick.Tick, sink Sink) error {
	whole := p.span >= end-w.From
	// A short window says nothing about long ones.
	if p.span > longestSpan || whole && end-w.From >= p.long {
		p.span, p.long, p.again = 0, 0, 0
	}

	p.hard = 0

	if w.To != 0 {
		return sink.Safe(w.To)
	}

	return nil
}

// goOn notes a piece that was read up to from, and returns where the next one begins.
// After some empty pieces that is the next row, which the service is asked for: pieces
// without rows would use up the call budget, and no alert would come for minutes.
func (p *pieces) goOn(
	ctx context.Context, r piecewise, way *tracker, from, end, to tick.Tick,
) (next tick.Tick, err error) {
	if err := way.Safe(from); err != nil {
		return 0, err
	}

	p.grow()

	if way.rows > 0 {
		p.empty = 0
		return from, nil
	}

	if p.empty++; p.empty < p.leapAfter || from >= end {
		return from, nil
	}

	p.empty = 0

	next, ok := r.following(ctx, from, to)
	if !ok {
		p.leapAfter *= 2
		return from, nil
	}

	if next == 0 || next > end {
		next = end
	}

	return next, way.Safe(next)
}

// grow makes the next window longer than one that was read: up to the length that was
// too long lately, and beyond it after some more windows.
func (p *pieces) grow() {
	p.read++
	if p.long > 0 && p.read%(shortWindows<<p.again) == 0 {
		p.long *= 2
	}

	p.span *= fewer
	if p.long > 0 {
		p.span = min(p.span, p.long/2)
	}
}

// behind returns the first time at or after from that is not deferred.
func (p *pieces) behind(from tick.Tick) tick.Tick {
	for _, w := range p.deferred {
		if w.From <= from && from < w.To {
			from = w.To
		}
	}

	return from
}

// next returns the end of the piece that begins at from; 0 means no bound.
func (p *pieces) next(from, to, end tick.Tick) tick.Tick {
	if p.span > 0 && (from+p.span < end || from < p.hard) {
		to = min(from+p.span, end)
		if from < p.hard {
			to = min(to, p.hard)
		}
	}

	for _, w := range p.deferred {
		if w.From > from && (to == 0 || w.From < to) {
			return w.From
		}
	}

	return to
}

// failed decides what to do about a piece that failed with err. It returns the time at
// which to go on, or an error if the piece has to be tried again later.
func (p *pieces) failed(
	ctx context.Context,
	r piecewise,
	from, to, end tick.Tick,
	err error,
	sink Sink,
) (tick.Tick, error) {
	if !maybeWindow(err) {
		return 0, err
	}

	p.failures++

	if to == 0 {
		to = end
	}

	searching := p.span > 0 && from < p.hard // what fails lies before hard

	known := p.long > 0 && to-from >= p.long/2
	if p.failures < 2 && !searching && !known {
		return 0, err
	}

	if !p.answering(ctx, r, from) {
		return 0, err
	}

	switch size := to - from; {
	case size <= 0: // beyond the present, which is for the next Read
		p.span, p.hard = longestSpan, 0
		return from, nil
	case size > r.finest():
		if known {
			p.again = min(p.again+1, mostAgain)
		}

		p.span, p.hard = max(size/fewer, r.finest()), to
		p.long, p.read = size, 0

		return from, nil
	}

	p.long, p.again = 0, 0 // the length was not the cause
	if err := p.finish(ctx, r, Window{From: from, To: to}, sink); err != nil {
		return 0, err
	}

	return to, sink.Safe(to)
}

// finish reads what it can of a window of the shortest length that fails, and defers it
// if that is not everything.
func (p *pieces) finish(ctx context.Context, r piecewise, w Window, sink Sink) error {
	err := r.singly(ctx, w.From, w.To, sink)
	switch {
	case err == nil:
		return nil
	case !maybeWindow(err), !p.answering(ctx, r, w.From):
		return err
	}

	if err := p.putOff(w, err); err != nil {
		return err
	}

	p.failures = 0

	return nil
}

// putOff defers a window that cannot be read because of cause. It returns cause if the
// sink cannot defer, or too many windows are deferred already.
func (p *pieces) putOff(w Window, cause error) error {
	if p.keeper == nil || p.added >= mostDeferredAtOnce || p.crowded() {
		return cause
	}

	reason := cause.Error()

	var e *Error
	if errors.As(cause, &e) {
		reason = e.Message()
	}

	if err := p.keeper.Defer(w, reason); err != nil {
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

// crowded reports whether so many windows of what is being read were deferred that the
// windows cannot be the cause.
func (p *pieces) crowded() bool {
	n := 0

	for _, w := range p.deferred {
		if w.To > p.begin {
			n++
		}
	}

	return n >= mostDeferred
}

// avoid adds a window to those that window steps over.
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
		err = r.singly(ctx, w.From, w.To, rowsOnly{sink})
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

// rowsOnly is a Sink without Safe.
type rowsOnly struct{ Sink }

// Safe implements Sink.
func (rowsOnly) Safe(tick.Tick) error { return nil }

// tracker is a Sink that notes up to where a piece was read, and counts its rows.
type tracker struct {
	Sink
	safe tick.Tick
	rows int
}

// Row implements Sink.
func (t *tracker) Row(raw []byte) error {
	t.rows++
	return t.Sink.Row(raw)
}

// Safe implements Sink.
func (t *tracker) Safe(until tick.Tick) error {
	t.safe = max(t.safe, until)
	return t.Sink.Safe(until)
}
