package defender

import (
	"context"
	"errors"

	"fluent-bit-defender/internal/tick"
)

// longestFit bounds how long a slice may become; no window is longer.
const longestFit = 366 * 24 * 60 * tick.Minute

// sliceResult says how a slice was read.
type sliceResult int

const (
	sliceOnePage  sliceResult = iota // one page held it
	slicePages                       // several pages held it
	sliceDeferred                    // its end cannot be found, it cannot be shorter, and was deferred
	sliceTooLong                     // it has to be halved
	sliceNoEnd                       // it has to be halved, since the end of its pages cannot be found
)

// slices reads [from, to) from a service that does not keep an order: in closed slices
// that are so short that each fits into one page. A slice that is too long is halved.
func (r *odata) slices(ctx context.Context, from, to tick.Tick, sink Sink) error {
	if r.fit == 0 {
		r.fit = to - from
	}

	noEnd := false // the slice that was halved to make this one had no end

	for from < to {
		r.fit = min(max(r.fit, 1), longestFit)
		end := min(from+r.fit, to)

		result, err := r.slice(ctx, from, end, noEnd, sink)
		if err != nil {
			return err
		}

		noEnd = result == sliceNoEnd
		switch result {
		case sliceTooLong, sliceNoEnd:
			r.fit = (end - from) / 2
			continue
		case sliceOnePage:
			r.fit *= 2
		case sliceDeferred:
			r.fit = tick.Second
		}

		from = end
		if err := sink.Safe(from); err != nil {
			return err
		}
	}

	return nil
}

// slice reads [from, end). If a second still needs several pages, they are read again
// until a pass finds nothing new. If their end cannot be found, the slice has to be
// halved, down to a single step of the clock, which is deferred.
func (r *odata) slice(ctx context.Context, from, end tick.Tick, noEnd bool, sink Sink) (sliceResult, error) {
	q := query{from: from, to: end, top: r.maxTop}

	a, err := r.page(ctx, q, keys{}, sink)
	if err != nil {
		return sliceTooLong, err
	}

	a.fresh = 0 // a page smaller than others of this window counts as whole

	found, err := r.rest(ctx, q, a, sink)
	if err == nil && found == restSome && a.link != "" {
		found, err = r.leads(ctx, q, a, sink)
	}

	switch {
	case err != nil:
		return sliceTooLong, err
	case found == restNone:
		return sliceOnePage, nil
	case end-from > tick.Second:
		return sliceTooLong, nil
	case noEnd && end-from > 1: // its half most likely has none either
		return sliceNoEnd, nil
	}

	return r.slicePages(ctx, q, sink)
}

// slicePages reads a slice of several pages.
func (r *odata) slicePages(ctx context.Context, q query, sink Sink) (sliceResult, error) {
	known := keys{}
	q.each = func(key uint64, _ tick.Tick) { known[key] = struct{}{} }

	_, err := r.passes(ctx, q, false, known, sink)
	switch {
	case !errors.Is(err, errNoEnd):
		return slicePages, err
	case r.countsAsWhole(len(known), err):
		return slicePages, nil
	case q.to-q.from > 1:
		return sliceNoEnd, nil
	}

	return sliceDeferred, r.pieces.deferWindow(Window{From: q.from, To: q.to}, err)
}

// leads finds out whether the link of a page leads to any rows: the last page of some
// services has a link to an empty one. A page may also be empty because a row was updated
// meanwhile, so that the rows behind it moved up to the page before. So that page is read
// again.
func (r *odata) leads(ctx context.Context, q query, a answer, sink Sink) (rest, error) {
	linked := q
	linked.link = a.link
	b, err := r.fetch(ctx, linked, a.keys, sink)

	switch {
	case refused(err):
		return restUnknown, nil
	case err != nil:
		return restUnknown, err
	case b.rows > 0 || b.more:
		return restSome, nil
	}

	again, err := r.fetch(ctx, q, a.keys, sink)
	if err != nil {
		return restUnknown, err
	}

	if again.fresh > 0 {
		return restSome, nil
	}

	return restNone, nil
}
