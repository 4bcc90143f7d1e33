package defender

import (
	"context"
	"errors"
	"net/http"

	"fluent-bit-defender/internal/tick"
)

// longestChain bounds how many pages are followed for one instant.
const longestChain = 10_000

// ties reads an instant with more alerts than the largest page holds: on from page to page by link or $skip, and again until
// a whole pass finds nothing new, since rows that are updated meanwhile make others move between pages. It gives the next time at which there is
// something, 0 if there is nothing more.
func (r *odata) ties(ctx context.Context, q query, sink Sink) (next tick.Tick, err error) {
	known := keys{}
	for before := tick.Tick(-1); ; before = next {
		found := len(known)
		if next, err = r.chain(ctx, q, tally{sink, r, known, q.from}); err != nil {
			return 0, err
		}
		if len(known) == found && next == before {
			return next, nil
		}
	}
}

// settle reads the pages of one small window until nothing new turns up.
func (r *odata) settle(ctx context.Context, q query, sink Sink) error {
	known := keys{}
	for before := -1; len(known) != before; {
		before = len(known)
		if _, err := r.chain(ctx, q, tally{sink, r, known, 0}); err != nil {
			return err
		}
	}
	return nil
}

// tally notes the rows of one instant, or all rows where that is 0, on their way.
type tally struct {
	Sink
	r     *odata
	known keys
	only  tick.Tick
}

// Row implements Sink.
func (t tally) Row(raw []byte) error {
	if t.only == 0 || timeOf(raw, t.r.field) == t.only {
		t.known[t.r.hash(raw)] = struct{}{}
	}
	return t.Sink.Row(raw)
}

// chain follows one answer from page to page until it ends or, where only one instant is wanted, has left that; then it gives the time of what follows.
func (r *odata) chain(ctx context.Context, q query, sink tally) (next tick.Tick, err error) {
	bySkip := !r.links
	for range longestChain {
		a, err := r.fetch(ctx, q, nil, sink)
		switch {
		case err != nil && q.link != "" && isStatus(err, http.StatusBadRequest, http.StatusNotFound, http.StatusGone):
			q.link, bySkip = "", true // links were seen refused for days (trap T11): on by position
			continue
		case err != nil && q.skip > 0 && isStatus(err, http.StatusBadRequest):
			return 0, r.tooMany(q, err)
		case err != nil:
			return 0, err
		case a.disordered && q.ordered:
			return 0, errOrder
		case sink.only != 0 && a.next != 0:
			return a.next, nil
		}
		q.skip += a.rows
		switch {
		case !bySkip && a.link != "":
			q.link = a.link
		case !bySkip, a.rows == 0:
			return 0, nil
		}
	}
	return 0, &Error{Op: r.op, Problem: r.client.service.host + " gives pages without end for one answer"}
}

// tooMany is the error for an instant that cannot be read to its end by any means the API has.
func (r *odata) tooMany(q query, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	return &Error{Op: r.op, Status: e.Status, Code: e.Code, Problem: r.client.service.host + " has more alerts of one instant, " +
		q.from.Text() + ", than it lets be read", Remedy: "narrow `filter`, or read them in the portal"}
}
