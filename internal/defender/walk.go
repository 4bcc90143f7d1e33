package defender

import (
	"context"
	"net/http"
)

// walk reads a window in ascending order of time, each request anchored anew at the last row's time: a row that is updated meanwhile leaves its
// place for a later one and is met there again, and every row behind it, which moves up by one, is still behind the anchor
// (trap T9). The end is a request that brings nothing new.
func (r *odata) walk(ctx context.Context, w Window, sink Sink) error {
	at, known := w.From, keys{}
	for {
		q := query{from: at, to: w.To, top: r.top, ordered: true}
		a, err := r.fetch(ctx, q, known, sink)
		if isStatus(err, http.StatusBadRequest) {
			return r.refusedOrder(ctx, q, err, sink)
		}
		if err != nil {
			r.shrink(err)
			return err
		}
		if a.disordered {
			return errOrder
		}
		r.grow()
		for a.rows == 0 && a.link != "" { // an empty page may be followed by others
			q.link = a.link
			if a, err = r.fetch(ctx, q, known, sink); err != nil {
				return err
			}
			if a.disordered {
				return errOrder
			}
		}
		switch {
		case a.rows == 0, a.fresh == 0 && !r.full(a) && a.link == "":
			if w.To != 0 {
				return sink.Safe(w.To)
			}
			return nil
		case a.last > at:
			at, known = a.last, a.lastKeys
			if err := sink.Safe(at); err != nil {
				return err
			}
		case r.top < r.maxTop:
			r.setTop(r.maxTop) // more alerts of one instant than a page holds: ask for as many as there may be
			known.union(a.lastKeys)
		default:
			next, err := r.ties(ctx, query{from: at, to: w.To, top: r.maxTop, ordered: true}, sink)
			if err != nil {
				r.shrink(err)
				return err
			}
			if next == 0 {
				if w.To != 0 {
					return sink.Safe(w.To)
				}
				return nil
			}
			at, known = next, keys{}
			if err := sink.Safe(at); err != nil {
				return err
			}
		}
	}
}

// refusedOrder finds out whether a request was refused for its $orderby: then the same without it is answered.
func (r *odata) refusedOrder(ctx context.Context, q query, refusal error, sink Sink) error {
	q.ordered = false
	if _, err := r.fetch(ctx, q, nil, sink); err != nil {
		return refusal
	}
	return errOrder
}
