package defender

import (
	"context"
	"errors"

	"fluent-bit-defender/internal/tick"
)

// longestFit bounds how far spans grow; no window is longer.
const longestFit = 366 * 24 * 60 * tick.Minute

// slices reads [from, to) from a service that does not keep an order: in closed pieces so small that one page holds them, halved when they are
// not. Where a second of it still needs several pages these are read again until a pass finds nothing new, and where that is too
// much for the service, it is halved on, down to a single step of the clock.
func (r *odata) slices(ctx context.Context, from, to tick.Tick, sink Sink) error {
	if r.fit == 0 {
		r.fit = to - from
	}
	for from < to {
		r.fit = min(max(r.fit, 1), longestFit)
		end := min(from+r.fit, to)
		q := query{from: from, to: end, top: r.maxTop}
		a, err := r.page(ctx, q, keys{}, sink)
		if err != nil {
			return err
		}
		a.fresh = 0 // a page smaller than others of this window counts as whole
		more, err := r.further(ctx, q, a, sink)
		if more && err == nil && a.link != "" {
			more, err = r.leads(ctx, q, a, sink)
		}
		switch {
		case err != nil:
			return err
		case more && end-from > tick.Second:
			r.fit = (end - from) / 2
			continue
		case more:
			err := r.settle(ctx, from, end, sink)
			if errors.Is(err, errTooMany) && end-from > 1 {
				r.fit = (end - from) / 2
				continue
			}
			if err != nil {
				return err
			}
		default:
			r.fit *= 2
		}
		from = end
		if err := sink.Safe(from); err != nil {
			return err
		}
	}
	return nil
}

// leads tells whether the link of a page leads to anything: there are services whose last page is linked to an empty one.
func (r *odata) leads(ctx context.Context, q query, a answer, sink Sink) (bool, error) {
	q.link = a.link
	b, err := r.fetch(ctx, q, a.keys, sink)
	if linkRefused(err) {
		return true, nil
	}
	return b.rows > 0 || b.more, err
}
