package defender

import (
	"context"
	"net/http"
)

// slices reads a window from a service that does not keep an order: in closed pieces so small that one page holds them, halved when they are not.
// Where even the smallest needs several pages it is read again until a pass finds nothing new.
func (r *odata) slices(ctx context.Context, w Window, sink Sink) error {
	end := w.To
	if end == 0 {
		end = max(w.Now, w.From+1)
	}
	if r.span == 0 {
		r.span = end - w.From
	}
	for from := w.From; from < end; {
		to := min(from+r.span, end)
		q := query{from: from, to: to, top: r.top}
		a, err := r.fetch(ctx, q, nil, sink)
		if err != nil {
			r.shrink(err)
			return err
		}
		r.grow()
		switch more, err := r.more(ctx, q, a, sink); {
		case err != nil:
			return err
		case more && to-from > smallestSpan:
			r.span = max((to-from)/2, smallestSpan)
			continue
		case more:
			if err := r.settle(ctx, query{from: from, to: to, top: r.maxTop}, sink); err != nil {
				return err
			}
		default:
			r.span *= 2
		}
		if err := sink.Safe(to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// more tells whether the page was not all.
func (r *odata) more(ctx context.Context, q query, a answer, sink Sink) (bool, error) {
	switch {
	case a.link != "":
		return true, nil
	case !r.full(a):
		return false, nil
	}
	q.skip = a.rows
	b, err := r.fetch(ctx, q, nil, sink)
	if isStatus(err, http.StatusBadRequest) {
		return true, nil // beyond the farthest $skip: there may be more
	}
	return b.rows > 0, err
}
