package defender

import (
	"context"
	"net/http"

	"fluent-bit-defender/internal/tick"
)

// mostEmpty is how many empty pages in a row are followed.
const mostEmpty = 100

// walk reads a window in ascending order of time. Each request is anchored anew at the
// last row's time: a row that is updated meanwhile leaves its place for a later one and
// is met there again, and every row behind it, which moves up by one, is still behind
// the anchor (trap 9 in doc.go).
//
// The end is a request, anchored at the last row, that brings nothing new.
func (r *odata) walk(ctx context.Context, from, to tick.Tick, sink Sink) error {
	at, known, top := from, keys{}, r.top
	for {
		q := query{
			from:    at,
			to:      to,
			top:     top,
			ordered: true,
		}

		a, err := r.page(ctx, q, known, sink)
		if isStatus(err, http.StatusBadRequest) {
			return r.refusedOrder(ctx, q, err, sink)
		}

		if err != nil {
			return err
		}

		var found rest

		next := a.last
		if a.last > at {
			found, err = r.prove(ctx, q, a, sink)
			known = a.keys
		} else {
			found, err = r.rest(ctx, q, a, sink)
			if err == nil && found != restNone && top < r.maxTop {
				// One instant fills a page: ask for as many rows as there may be.
				top = r.maxTop

				known.union(a.keys)

				continue
			}

			if err == nil && found != restNone {
				next, err = r.instant(ctx, at, to, sink)
				known = keys{}
			}
		}

		if err != nil || found == restNone || next == 0 {
			return err
		}

		at, top = next, r.top
		if err := sink.Safe(at); err != nil {
			return err
		}
	}
}

// rest is what is known about rows behind those of a page.
type rest int

const (
	restNone    rest = iota // there are none
	restSome                // there are some
	restUnknown             // the service did not let itself be asked
)

// rest finds out whether there is more behind a page that leads no further in time.
// Where the service does not say so it is asked for what follows, and for the last row
// too: if that has left its place, so has another one, maybe across the border of the
// page.
func (r *odata) rest(ctx context.Context, q query, a answer, sink Sink) (rest, error) {
	switch {
	case a.more || a.rows >= q.top:
		return restSome, nil
	case a.rows == 0 || a.fresh == 0 && a.rows < r.capacity:
		return restNone, nil
	}

	q.skip = max(a.rows-1, 1)

	b, err := r.fetch(ctx, q, a.keys, sink)
	switch {
	case refused(err):
		return restUnknown, nil
	case err != nil:
		return restUnknown, err
	case b.fresh > 0, b.more:
		return restSome, nil
	case q.skip < a.rows && b.rows != 1: // else it is the last row alone, or nothing: nothing has moved
		return restSome, nil
	}

	return restNone, nil
}

// prove makes sure, before it is relied on, that the service keeps the order. A page of
// one time alone does not show it: it could be the newest instant. restNone says that
// nothing is behind the page.
func (r *odata) prove(ctx context.Context, q query, a answer, sink Sink) (rest, error) {
	r.proven = r.proven || a.least < a.last
	if r.proven {
		return restUnknown, nil
	}

	found, err := r.rest(ctx, q, a, sink)
	if err != nil || found == restNone {
		return found, err
	}

	q.to, q.top = a.last, 1

	b, err := r.page(ctx, q, nil, sink)
	if err == nil && b.rows > 0 {
		err = errOrder
	}

	return found, err
}

// page fetches a page. It follows the links of empty pages: a page without rows is not
// the end of the list.
func (r *odata) page(ctx context.Context, q query, known keys, sink Sink) (a answer, err error) {
	a, err = r.fetch(ctx, q, known, sink)

	for hops := 0; err == nil && a.rows == 0 && a.more; hops++ {
		if a.link == "" || hops == mostEmpty {
			return a, &Error{
				Op:      r.op,
				Problem: r.client.service.host + " gives an empty page and no way on",
				Smaller: true,
			}
		}

		next := q
		next.link = a.link

		a, err = r.fetch(ctx, next, known, sink)
		if refused(err) {
			a, err = r.fetch(ctx, q, known, sink)
		}
	}

	if err == nil && a.disordered && q.ordered {
		return a, errOrder
	}

	return a, err
}

// cut reports whether a page may not be all: the service says so, or it has as many
// rows as were asked for, or as any page since the window began: services give less
// than they are asked for without a word.
func (r *odata) cut(a answer) bool {
	return a.more || a.rows > 0 && a.rows >= min(r.capacity, a.top)
}

// refusedOrder finds out whether a request was refused for its $orderby: then the same
// without it is answered.
func (r *odata) refusedOrder(ctx context.Context, q query, refusal error, sink Sink) error {
	q.ordered = false
	_, err := r.fetch(ctx, q, nil, sink)

	switch {
	case err == nil:
		return errOrder
	case isStatus(err, http.StatusBadRequest):
		return refusal
	default:
		return err
	}
}
