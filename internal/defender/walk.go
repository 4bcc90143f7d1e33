package defender

import (
	"context"
	"net/http"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/tick"
)

// mostEmpty is how many empty pages in a row are followed.
const mostEmpty = 100

// walk reads a window in ascending order of time. Each request is anchored at the last
// row's time. A row that is updated meanwhile moves to a later place and is read there
// again; every row behind its old place moves up by one and is still behind the anchor
// (trap 9 in doc.go).
//
// The end is reached when a request, anchored at the last row, brings nothing new.
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
				// One instant fills a page: ask for the largest page.
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
	restUnknown             // the service refused the question
)

// rest finds out whether there are more rows behind a page that leads no further in
// time. If the service does not say that there are, rest asks for the page's last row and
// for what follows it: if that row has moved, another one may have moved from one page to
// the other.
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
	case q.skip < a.rows && b.rows != 1: // one row is the page's last one: nothing has moved
		return restSome, nil
	}

	return restNone, nil
}

// prove checks once that the service keeps the order, before walk relies on that. A page
// with a single time does not show it: that could be the newest one. restNone says that
// there is nothing behind the page.
func (r *odata) prove(ctx context.Context, q query, a answer, sink Sink) (rest, error) {
	r.orderKept = r.orderKept || a.least < a.last
	if r.orderKept {
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

// page reads a page. It follows the links of empty pages: a page without rows is not the
// end of the list.
func (r *odata) page(ctx context.Context, q query, known keys, sink Sink) (a answer, err error) {
	a, err = r.fetch(ctx, q, known, sink)

	for hops := 0; err == nil && a.rows == 0 && a.more; hops++ {
		if a.link == "" || hops == mostEmpty {
			return a, &Error{
				Fault: advice.Fault{
					Reason:  advice.BadAnswer,
					Problem: r.client.host + " sends an empty page and no link to the next one",
				},
				Op:      r.facts.Reading,
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

// cut reports whether there may be more rows than a page has: the service says so, or the
// page has as many rows as were asked for, or as the largest page since the window began.
// Services may list fewer rows than they are asked for and not say so.
func (r *odata) cut(a answer) bool {
	return a.more || a.rows > 0 && a.rows >= min(r.capacity, a.top)
}

// refusedOrder finds out whether a request was refused for its $orderby. If so, the
// service answers the same request without it.
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
