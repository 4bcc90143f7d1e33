package defender

import (
	"context"
	"errors"
	"net/http"

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
	// readSingly reads what it can of a window of the length finest that cannot be read
	// as a whole. It returns nil if that was everything.
	readSingly(ctx context.Context, from, to tick.Tick, sink Sink) error
	// following returns the time of the first row in [from, to), where to 0 means no
	// bound; 0 if there is none. ok is false if the service did not say so.
	following(ctx context.Context, from, to tick.Tick) (at tick.Tick, ok bool)
	// finest returns the length of the shortest window.
	finest() tick.Tick
}

const (
	// fewer is the factor by which a window shrinks after a failure, and grows after a
	// success.
	fewer = 4
	// shortWindows is how many windows are read before a length that was too long is
	// tried again. The number doubles, up to mostAgain times, each time it is still too
	// long.
	shortWindows = 5
	mostAgain    = 4
	// mostSteps bounds after how many failures one Read goes on; the rest is for the
	// next.
	mostSteps = 60
	// emptyPieces is how many pieces without a row are read before the service is asked
	// for the time of the next row; twice as many after each time that it does not say.
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
	span         tick.Tick // how long a window may be; 0 is any
	failedEnd    tick.Tick // the end of the window that failed last; growing must not pass it
	tooLong      tick.Tick // a length that was too long lately; 0 if none was
	readSince    int       // pieces read since then
	tooLongAgain int       // how often that length was tried again and was still too long
	failures     int       // in a row
	answers      int       // in a row, since the last failure
	begin        tick.Tick // where the window begins
	empty        int       // pieces without a row, in a row
	deferred     []Window  // windows to step over, ascending

	leapAfter int // how many empty pieces in a row are read before the service is asked for the next row

	retrying  bool          // a deferred window is being read
	added     int           // windows deferred during this Read
	deferring DeferringSink // the sink of this Read; nil if it cannot defer
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
	p.begin = w.From
	p.answers, p.added, p.empty = 0, 0, 0
	p.leapAfter = emptyPieces

	p.deferring, _ = sink.(DeferringSink)
	defer func() { p.deferring = nil }()

	end := w.To
	if end == 0 {
		end = max(w.Now, w.From+1)
	}

	cut := p.span > 0 || w.To != 0 // reading stops at end
	failures := 0

	for from := w.From; ; {
		from = p.skipDeferred(from)
		if cut && from >= end {
			return p.complete(w, end, sink)
		}

		to := p.pieceEnd(from, w.To, end)
		tracked := &tracker{Sink: sink}

		err := r.piece(ctx, from, to, end, tracked)
		if err == nil {
			p.failures = 0
			p.answers++

			if to == 0 || to == w.To {
				return p.complete(w, end, sink)
			}

			from, err = p.goOn(ctx, r, tracked, to, end, w.To)
		} else {
			failures++
			if failures > mostSteps {
				return err
			}

			if tracked.safe > from { // part of the piece was read
				from, p.failures, p.answers = tracked.safe, 0, 1
			}

			from, err = p.failed(ctx, r, from, to, end, err, sink)
			cut = true
		}

		if err != nil {
			return err
		}
	}
}

// complete ends a window that was read up to w.To, or up to the present if it had to be
// cut. Newer alerts come with the next window.
func (p *pieces) complete(w Window, end tick.Tick, sink Sink) error {
	whole := p.span >= end-w.From
	// A short window says nothing about long ones.
	if p.span > longestSpan || whole && end-w.From >= p.tooLong {
		p.span, p.tooLong, p.tooLongAgain = 0, 0, 0
	}

	p.failedEnd = 0

	if w.To != 0 {
		return sink.Safe(w.To)
	}

	return nil
}

// goOn notes a piece that was read up to from, and returns where the next one begins.
// After some empty pieces it asks the service for the next row, and goes on there: pieces
// without rows would use up the call budget, and no alert would come for minutes.
func (p *pieces) goOn(
	ctx context.Context, r piecewise, tracked *tracker, from, end, to tick.Tick,
) (next tick.Tick, err error) {
	if err := tracked.Safe(from); err != nil {
		return 0, err
	}

	p.grow()

	if tracked.rows > 0 {
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

	return next, tracked.Safe(next)
}

// grow makes the next window longer than one that was read: up to the length that was
// too long lately, and beyond it after some more windows.
func (p *pieces) grow() {
	p.readSince++
	if p.tooLong > 0 && p.readSince%(shortWindows<<p.tooLongAgain) == 0 {
		p.tooLong *= 2
	}

	p.span *= fewer
	if p.tooLong > 0 {
		p.span = min(p.span, p.tooLong/2)
	}
}

// pieceEnd returns the end of the piece that begins at from; 0 means no bound.
func (p *pieces) pieceEnd(from, to, end tick.Tick) tick.Tick {
	if p.span > 0 && (from+p.span < end || from < p.failedEnd) {
		to = min(from+p.span, end)
		if from < p.failedEnd {
			to = min(to, p.failedEnd)
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

	searching := p.span > 0 && from < p.failedEnd // what fails lies before failedEnd

	known := p.tooLong > 0 && to-from >= p.tooLong/2
	if p.failures < 2 && !searching && !known {
		return 0, err
	}

	if !p.answering(ctx, r, from) {
		return 0, err
	}

	switch size := to - from; {
	case size <= 0: // beyond the present, which is for the next Read
		p.span, p.failedEnd = longestSpan, 0
		return from, nil
	case size > r.finest():
		if known {
			p.tooLongAgain = min(p.tooLongAgain+1, mostAgain)
		}

		p.span, p.failedEnd = max(size/fewer, r.finest()), to
		p.tooLong, p.readSince = size, 0

		return from, nil
	}

	p.tooLong, p.tooLongAgain = 0, 0 // the length was not the cause
	if err := p.finish(ctx, r, Window{From: from, To: to}, sink); err != nil {
		return 0, err
	}

	return to, sink.Safe(to)
}
