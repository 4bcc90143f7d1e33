package defender

import (
	"context"
	"net/http"

	"fluent-bit-defender/internal/tick"
)

// mostStill bounds how many empty pages in a row are followed.
const mostStill = 100

// walk reads a window in ascending order of time, each request anchored anew at the last row's time: a row that is updated meanwhile leaves its
// place for a later one and is met there again, and every row behind it, which moves up by one, is still behind the anchor
// (trap T9). The end is a request that brings nothing new.
func (r *odata) walk(ctx context.Context, from, to tick.Tick, sink Sink) error {
	at, known, top := from, keys{}, r.top
	for {
		q := query{from: at, to: to, top: top, ordered: true}
		a, err := r.page(ctx, q, known, sink)
		if isStatus(err, http.StatusBadRequest) {
			return r.refusedOrder(ctx, q, err, sink)
		}
		if err != nil {
			return err
		}
		if a.last > at {
			if done, err := r.prove(ctx, q, a, sink); done || err != nil {
				return err
			}
			at, known, top = a.last, a.keys, r.top
			if err := sink.Safe(at); err != nil {
				return err
			}
			continue
		}
		switch more, err := r.further(ctx, q, a, sink); {
		case err != nil || !more:
			return err
		case top < r.maxTop:
			top = r.maxTop // more alerts of one instant than a page holds: ask for as many as there may be
			known.union(a.keys)
		default:
			next, err := r.instant(ctx, at, to, sink)
			if err != nil || next == 0 {
				return err
			}
			at, known, top = next, keys{}, r.top
			if err := sink.Safe(at); err != nil {
				return err
			}
		}
	}
}

// prove makes sure, before it is relied on, that the service keeps the order. A page of one time alone does not show it: it could be the newest
// instant. done says that nothing is behind the page.
func (r *odata) prove(ctx context.Context, q query, a answer, sink Sink) (done bool, err error) {
	if r.proven = r.proven || a.least < a.last; r.proven {
		return false, nil
	}
	if more, err := r.further(ctx, q, a, sink); err != nil || !more {
		return true, err
	}
	b, err := r.fetch(ctx, query{from: q.from, to: a.last, top: 1, ordered: true}, nil, sink)
	if err == nil && b.rows > 0 {
		err = errOrder
	}
	return false, err
}

// page fetches a page. An empty one may be followed by others (trap 14 of other collectors).
func (r *odata) page(ctx context.Context, q query, known keys, sink Sink) (a answer, err error) {
	a, err = r.fetch(ctx, q, known, sink)
	for hops := 0; err == nil && a.rows == 0 && a.more; hops++ {
		if a.link == "" || hops == mostStill {
			return a, &Error{Op: r.op, Problem: r.client.service.host + " gives an empty page and no way on", Smaller: true}
		}
		next := q
		next.link = a.link
		if a, err = r.fetch(ctx, next, known, sink); linkRefused(err) {
			a, err = r.fetch(ctx, q, known, sink)
		}
	}
	if err == nil && a.disordered && q.ordered {
		return a, errOrder
	}
	return a, err
}

// linkRefused tells whether an error is the answer to a link that the service does not accept, though it gave it (trap T11).
func linkRefused(err error) bool {
	return isStatus(err, http.StatusBadRequest, http.StatusNotFound, http.StatusGone)
}

// cut tells whether a page may not be all: the service says so, or it has as many rows as were asked for, or as any page since the window
// began: services give less than they are asked for without a word.
func (r *odata) cut(a answer) bool { return a.more || a.rows > 0 && a.rows >= min(r.capacity, a.top) }

// further tells whether there is more behind a page that leads no further in time. Where the service does not say so it is asked for
// what follows, and for the last row too: if that has left its place, so has another one, maybe across the border of the page.
func (r *odata) further(ctx context.Context, q query, a answer, sink Sink) (bool, error) {
	switch {
	case a.more || a.rows >= q.top:
		return true, nil
	case a.rows == 0 || a.fresh == 0 && a.rows < r.capacity:
		return false, nil
	}
	q.skip = max(a.rows-1, 1)
	b, err := r.fetch(ctx, q, a.keys, sink)
	switch {
	case isStatus(err, http.StatusBadRequest):
		return !r.links, nil // beyond the farthest $skip: there may be more, unless there would be a link
	case q.skip == a.rows:
		return b.fresh > 0, err
	}
	return b.rows != 1 || b.fresh > 0, err // the last row alone: nothing has moved, and nothing follows
}

// refusedOrder finds out whether a request was refused for its $orderby: then the same without it is answered.
func (r *odata) refusedOrder(ctx context.Context, q query, refusal error, sink Sink) error {
	q.ordered = false
	switch _, err := r.fetch(ctx, q, nil, sink); {
	case err == nil:
		return errOrder
	case isStatus(err, http.StatusBadRequest):
		return refusal
	default:
		return err
	}
}
