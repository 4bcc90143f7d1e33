package defender

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"fluent-bit-defender/internal/tick"
)

// piecewise is an API as pieces reads it.
type piecewise interface {
	// piece reads the window [from, to), to 0 meaning without a bound; what has to be
	// cut then ends at end.
	piece(ctx context.Context, from, to, end tick.Tick, sink Sink) error
	// canary asks for next to nothing, somewhere before at: whether the service answers
	// at all.
	canary(ctx context.Context, at tick.Tick) error
	// singly reads what it can of a window that is as small as finest says and fails as a
	// whole; nil if that was all.
	singly(ctx context.Context, from, to tick.Tick, sink Sink) error
	// finest is the smallest window.
	finest() tick.Tick
}

const (
	// fewer is by how much a window shrinks when it fails, and grows when it was read.
	fewer = 4
	// shortWindows is how many windows are read before a length is tried again that was
	// too long; twice as many each time it is still too long, up to mostAgain times.
	shortWindows = 5
	mostAgain    = 4
	// mostSteps bounds how many failures one Read takes before it leaves the rest to
	// the next.
	mostSteps = 60
	// proof is how many answers in a row show that a service works.
	proof = 3
	// mostDeferred bounds how many windows may be deferred at a time: where more fail
	// it is not the windows' fault.
	mostDeferred = 64
	// mostDeferredAtOnce bounds how many windows one Read defers. The rest is for the
	// next Read: each of them takes many requests.
	mostDeferredAtOnce = 8
	// longestSpan is from where on a window need not be cut any more.
	longestSpan = 24 * 60 * tick.Minute
)

// pieces cuts a window that cannot be read at once, remembers between reads how far
// down it had to go, and defers what cannot be read at all.
//
// It acts at the second failure in a row, or at the first of a length that was too long
// lately, and only while the service answers something else: a service that is down
// says nothing about the window.
type pieces struct {
	span     tick.Tick // how long a window may be; 0 is any
	hard     tick.Tick // the end of the window that failed last, which growing must not pass
	long     tick.Tick // what was too long lately; 0 if nothing was
	read     int       // pieces read since then
	again    int       // how often it was tried again since, in vain
	failures int       // in a row
	answers  int       // in a row, since the last failure
	begin    tick.Tick // where the window begins
	deferred []Window  // what is stepped over, ascending

	retrying bool          // a deferred window is being read
	added    int           // windows deferred during this Read
	keeper   DeferringSink // takes what is deferred during a Read; nil if its sink does not
}

// soft reports whether an error may be the fault of what was asked for, so that asking
// for less may help.
func soft(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Smaller
}

// maybeWindow reports whether an error may be the fault of the window that was asked
// for. A service that refuses a request may refuse this window only: what is wrong with
// all requests makes the canary fail too.
func maybeWindow(err error) bool {
	return soft(err) || isStatus(err, http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity)
}

// window reads a window, oldest first, so that each complete piece is progress.
func (p *pieces) window(ctx context.Context, r piecewise, w Window, sink Sink) error {
	p.answers, p.begin = 0, w.From
	p.added = 0

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
		way := &progress{Sink: sink}

		err := r.piece(ctx, from, to, end, way)
		if err == nil {
			p.failures = 0

			p.answers++
			if to == 0 || to == w.To {
				return p.complete(w, end, sink)
			}

			if err := sink.Safe(to); err != nil {
				return err
			}

			from = to

			p.grow()

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

// complete ends a window that was read: w.To, or the present where it had to be cut;
// what is younger comes with the next one.
func (p *pieces) complete(w Window, end tick.Tick, sink Sink) error {
	whole := p.span >= end-w.From
	if p.span > longestSpan || whole && end-w.From >= p.long { // a short window says nothing about long ones
		p.span, p.long, p.again = 0, 0, 0
	}

	p.hard = 0

	if w.To != 0 {
		return sink.Safe(w.To)
	}

	return nil
}

// grow lets windows become longer after one that was read, up to what was too long
// lately; and beyond, after some more.
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

// behind steps over what is deferred.
func (p *pieces) behind(from tick.Tick) tick.Tick {
	for _, w := range p.deferred {
		if w.From <= from && from < w.To {
			from = w.To
		}
	}

	return from
}

// next returns where the piece that begins at from ends; 0 is without bound.
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

// failed decides what to do about a piece that was not read. It returns the time to go
// on from, or the error if the piece is to be tried again later.
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
	case size <= 0: // beyond the present: that is for the next read
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

	p.long, p.again = 0, 0 // it was not its length
	if err := p.finish(ctx, r, Window{From: from, To: to}, sink); err != nil {
		return 0, err
	}

	return to, sink.Safe(to)
}

// finish reads what it can of a window that fails and is as small as windows get, and
// defers it if that is not all.
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

// putOff defers a window that cannot be read because of cause. It returns cause where
// nobody takes the window, or too many are deferred already.
func (p *pieces) putOff(w Window, cause error) error {
	if p.keeper == nil || p.added >= mostDeferredAtOnce || p.crowded() {
		return cause
	}

	reason := cause.Error()

	var e *Error
	if errors.As(cause, &e) {
		reason = e.Reason()
	}

	if err := p.keeper.Defer(w, reason); err != nil {
		return err
	}

	p.avoid(w)
	p.added++

	return nil
}

// answering reports whether the service answers other requests of the same moment,
// several in a row: one that fails every now and then proves nothing by an answer.
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

// crowded reports whether so much of what is being read was deferred that it cannot be
// the windows' fault.
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

// readDeferred tries a window that was deferred again.
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

// adjoins reports whether what begins at t is deferred, or ends there.
func (p *pieces) adjoins(t tick.Tick) bool {
	return slices.ContainsFunc(p.deferred, func(d Window) bool { return d.From == t || d.To == t })
}

// rowsOnly keeps a Sink from hearing of progress.
type rowsOnly struct{ Sink }

// Safe implements Sink.
func (rowsOnly) Safe(tick.Tick) error { return nil }

// progress notes how far a piece has come.
type progress struct {
	Sink
	safe tick.Tick
}

// Safe implements Sink.
func (p *progress) Safe(t tick.Tick) error {
	p.safe = max(p.safe, t)
	return p.Sink.Safe(t)
}
