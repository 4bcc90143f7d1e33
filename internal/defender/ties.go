package defender

import (
	"context"
	"errors"

	"fluent-bit-defender/internal/tick"
)

const (
	// mostPasses is how often an answer of several pages is read from its beginning.
	mostPasses = 50
	// barrenPasses is how many passes in a row must bring nothing new if a row comes
	// twice in one pass: then the service has no fixed order among rows of one time, and
	// the content of each page is chance. If no row comes twice, one such pass is enough.
	barrenPasses = 8
)

// instant reads a time with more alerts than fit into the largest page. It returns the
// next time at which there are alerts, 0 if there are no more.
//
// It reads the pages again until a whole pass finds nothing new: rows that are updated
// meanwhile make others move between pages. It defers an instant that cannot be read to
// its end.
func (r *odata) instant(ctx context.Context, at, to tick.Tick, sink Sink) (next tick.Tick, err error) {
	known := keys{}
	q := query{
		from:    at,
		to:      to,
		top:     r.maxTop,
		ordered: true,
		each: func(key uint64, t tick.Tick) {
			if t <= at {
				known[key] = struct{}{}
			}
		},
	}

	next, err = r.passes(ctx, q, true, known, sink)
	if errors.Is(err, errNoEnd) {
		return r.behind(ctx, q, len(known), err, sink)
	}

	return next, err
}

// passes reads an answer of several pages until nothing in it is new. known is the set
// of rows read so far, to which q.each adds.
func (r *odata) passes(ctx context.Context, q query, first bool, known keys, sink Sink) (next tick.Tick, err error) {
	barren := 0

	for range mostPasses {
		found := len(known)

		result, err := r.newCursor(q, first).pass(ctx, sink)
		if err != nil {
			return 0, err
		}

		barren++
		if len(known) > found {
			barren = 0
		}

		if barren > 0 && result.disjoint || barren == barrenPasses {
			return result.next, nil
		}

		if len(known) > maxRows {
			break
		}
	}

	return 0, r.noEnd(q.from, "lists other alerts each time it is asked for the same", errNoEnd)
}

// behind goes on behind the instant q.from, of which met alerts were read, and which
// cannot be read to its end because of cause. It returns the next time at which there are
// alerts, 0 if there are no more.
func (r *odata) behind(ctx context.Context, q query, met int, cause error, sink Sink) (next tick.Tick, err error) {
	at, after := q.from, q.from+1
	if q.to != 0 && after >= q.to {
		return 0, r.deferUnlessWhole(Window{From: at, To: q.to}, met, cause)
	}

	q.each = nil
	anew := q
	anew.from = after

	a, err := r.page(ctx, anew, keys{}, sink)
	switch {
	case err != nil:
		return 0, err
	case a.rows > 0 && a.timed == 0: // rows without a time are in every page, and hide later ones
		return 0, cause
	case a.rows > 0 && a.least <= at:
		return r.finer(ctx, at, q.to, sink)
	case a.rows == 0:
		return 0, r.deferUnlessWhole(Window{From: at, To: after}, met, cause)
	}

	next, err = r.laterTime(ctx, q, cause, sink)
	if next != 0 || err != nil {
		return next, err
	}

	return a.least, r.pieces.deferWindow(Window{From: at, To: after}, cause)
}

// finer reads an instant that does not fit into one answer in smaller steps. The service
// compares times more exactly than it prints them, so alerts with the same printed time
// may have different times. It returns the time up to which it has read.
func (r *odata) finer(ctx context.Context, at, to tick.Tick, sink Sink) (next tick.Tick, err error) {
	end := at + tick.Second
	if to != 0 && end >= to {
		return 0, r.slices(ctx, at, to, sink)
	}

	return end, r.slices(ctx, at, end, sink)
}

// laterTime asks once more for an instant that is probably whole, now that later alerts
// are known to exist. If the page shows those behind the alerts of the instant, nothing
// is missing, and it returns the first later time; else 0.
func (r *odata) laterTime(ctx context.Context, q query, cause error, sink Sink) (tick.Tick, error) {
	if !errors.Is(cause, errUnproven) {
		return 0, nil
	}

	a, err := r.page(ctx, q, keys{}, sink)

	return a.next, err
}

// deferUnlessWhole defers a window of which met alerts were read and that has nothing
// behind it, unless it counts as whole.
func (r *odata) deferUnlessWhole(w Window, met int, cause error) error {
	if r.countsAsWhole(met, cause) {
		return nil
	}

	return r.pieces.deferWindow(w, cause)
}

// countsAsWhole reports whether met alerts count as all of an instant although cause
// leaves that unproven: no service cuts its pages to so few rows. A window that was
// deferred before never counts as whole.
func (r *odata) countsAsWhole(met int, cause error) bool {
	return errors.Is(cause, errUnproven) && met < leastCut && !r.pieces.retrying
}
