package defender

import (
	"context"
	"errors"
	"maps"
	"net/http"

	"fluent-bit-defender/internal/tick"
)

const (
	// longestChain bounds how many pages are followed for one answer, and mostPasses how often an answer of several pages is read.
	longestChain = 1000
	mostPasses   = 50
	// barrenPasses is how many passes in a row must bring nothing new where pages of one pass show the same row twice: the service
	// has no order among equals, and each page is a draw. A pass whose pages are disjoint has seen everything.
	barrenPasses = 8
	// mostIdle is how many pages of a pass may bring nothing new when they are asked for by $skip.
	mostIdle = 10
)

// errTooMany says that an answer has more pages than the service lets be read.
var errTooMany = errors.New("there are more alerts than the service lets be read")

// instant reads a time with more alerts than the largest page holds: on from page to page by link or $skip, and again until
// a whole pass finds nothing new, since rows that are updated meanwhile make others move between pages. It gives the next time at which
// there is something, 0 if there is nothing more.
func (r *odata) instant(ctx context.Context, at, to tick.Tick, sink Sink) (next tick.Tick, err error) {
	known := keys{}
	q := query{from: at, to: to, top: r.maxTop, ordered: true, each: func(key uint64, t tick.Tick) {
		if t <= at {
			known[key] = struct{}{}
		}
	}}
	next, err = r.passes(ctx, q, true, known, sink)
	if errors.Is(err, errTooMany) {
		return r.finer(ctx, at, to, sink)
	}
	return next, err
}

// passes reads an answer of several pages until nothing in it is new; known is what was met so far, which q.each keeps.
func (r *odata) passes(ctx context.Context, q query, first bool, known keys, sink Sink) (next tick.Tick, err error) {
	barren := 0
	for range mostPasses {
		found := len(known)
		var disjoint bool
		if next, disjoint, err = r.chain(ctx, q, first, sink); err != nil {
			return 0, err
		}
		if barren++; len(known) > found {
			barren = 0
		}
		if barren > 0 && disjoint || barren == barrenPasses {
			return next, nil
		}
	}
	return 0, r.restless()
}

// finer reads what is too much for one answer with the resolution that the service compares with, which is finer than the one it prints:
// alerts of one printed time may still be told apart.
func (r *odata) finer(ctx context.Context, at, to tick.Tick, sink Sink) (next tick.Tick, err error) {
	end := at + tick.Second
	if to != 0 && end >= to {
		return 0, r.slices(ctx, at, to, sink)
	}
	return end, r.slices(ctx, at, end, sink)
}

// settle reads the pages of one small closed window until a pass finds nothing new.
func (r *odata) settle(ctx context.Context, from, to tick.Tick, sink Sink) error {
	known := keys{}
	q := query{from: from, to: to, top: r.maxTop, each: func(key uint64, _ tick.Tick) { known[key] = struct{}{} }}
	_, err := r.passes(ctx, q, false, known, sink)
	return err
}

func (r *odata) restless() error {
	return &Error{Op: r.op, Problem: r.client.service.host + " lists other alerts each time it is asked for the same", Smaller: true}
}

// chain follows one answer from page to page until it ends or, where only the first instant is wanted, has left that; then it gives the
// time of what follows. It goes on by $skip where there are no links, or they lead nowhere. disjoint says that no row came twice.
func (r *odata) chain(ctx context.Context, q query, first bool, sink Sink) (next tick.Tick, disjoint bool, err error) {
	defer r.client.patiently()()
	pass, links := keys{}, map[string]bool{}
	bySkip, skip, still, more := !r.links, 0, 0, !r.links
	disjoint = true
	var before keys // of the last page
	idle := 0       // pages by $skip that brought nothing new
	for range longestChain {
		a, err := r.fetch(ctx, q, pass, sink)
		switch {
		case q.link != "" && linkRefused(err):
			bySkip, q.link, q.skip = true, "", skip
			continue
		case q.skip > 0 && isStatus(err, http.StatusBadRequest) && !more:
			return 0, disjoint, nil // we only made sure
		case q.skip > 0 && isStatus(err, http.StatusBadRequest):
			return 0, false, r.tooMany(q)
		case err != nil:
			return 0, false, err
		case a.disordered && q.ordered:
			return 0, false, errOrder
		case first && a.next != 0:
			return a.next, disjoint && a.fresh >= a.rows, nil
		case a.rows > 0 && a.fresh == 0 && bySkip && (idle == mostIdle || maps.Equal(a.keys, before)):
			return 0, false, r.tooMany(q) // $skip is ignored
		case a.rows > 0 && a.fresh == 0 && bySkip: // equals in an order of this request's own, or $skip is ignored
			idle++
		case a.rows > 0 && a.fresh == 0: // round in a circle
			a.link, a.rows = "", 0
		}
		disjoint = disjoint && a.fresh >= a.rows
		before = a.keys
		pass.union(a.keys)
		skip += a.rows
		more = a.more || !r.links
		switch {
		case !bySkip && a.link != "" && !links[a.link]:
			links[a.link], q.link = true, a.link
		case !r.cut(a):
			return 0, disjoint, nil
		case a.rows == 0 && still == mostStill:
			return 0, false, &Error{Op: r.op, Problem: r.client.service.host + " gives an empty page and no way on", Smaller: true}
		default:
			bySkip, q.link, q.skip = true, "", skip
			if a.rows == 0 {
				still++
			}
		}
	}
	return 0, false, &Error{Op: r.op, Problem: r.client.service.host + " gives pages without end for one answer", Smaller: true}
}

// tooMany is the error for an answer that cannot be read to its end by any means the API has.
func (r *odata) tooMany(q query) error {
	return &Error{Op: r.op, Problem: r.client.service.host + " at " + q.from.Text(), Remedy: "narrow `filter`, or read them in the portal",
		Smaller: true, Err: errTooMany}
}
