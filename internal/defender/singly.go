package defender

import (
	"cmp"
	"context"
	"log/slog"

	"fluent-bit-defender/internal/tick"
)

// mostSingly is how many alerts of the smallest piece are read one by one at most, and
// failedSingly how many of them may fail in a row.
const (
	mostSingly   = 64
	failedSingly = 4
)

// readSingly implements piecewise. It reads one row at a time with $skip, and without
// $expand if the row cannot be read with it.
func (r *odata) readSingly(ctx context.Context, from, to tick.Tick, sink Sink) error {
	var failed error // the last error of a row

	known := keys{}
	failures := 0 // in a row
	stale := 0    // rows that came before

	for place := range mostSingly {
		q := query{
			from:    from,
			to:      to,
			top:     1,
			skip:    place,
			ordered: r.unordered.IsZero(),
		}

		a, err := r.single(ctx, q, known, sink)
		if soft(err) {
			failed = err

			failures++
			if failures == failedSingly {
				return failed
			}

			continue
		}

		switch {
		case place > 0 && refused(err):
			return r.noEnd(from, "refuses $skip", errNoEnd)
		case err != nil:
			return err
		case a.rows == 0:
			if stale > 0 {
				failed = cmp.Or(failed, error(r.noEnd(from, "lists them in another order each time", errNoEnd)))
			}

			return failed
		case a.fresh == 0:
			stale++
		}

		if stale == failedSingly { // it does not honour $skip
			return cmp.Or(failed, error(r.noEnd(from, "ignores $skip", errNoEnd)))
		}

		failures = 0

		known.union(a.keys)
	}

	return cmp.Or(failed, error(r.noEnd(from, "has too many of them to be read one by one", errNoEnd)))
}

// single reads a page of one row, without $expand if it cannot be read with it.
func (r *odata) single(ctx context.Context, q query, known keys, sink Sink) (answer, error) {
	a, err := r.page(ctx, q, known, sink)
	if !soft(err) || r.facts.Expand == "" || r.facts.Inner.Path != "" {
		return a, err // expand.go has tried it without $expand already
	}

	q.plain = true

	a, err = r.page(ctx, q, known, sink)
	if err == nil && a.rows > 0 {
		r.readPlainly()
	}

	return a, err
}

// readPlainly notes an alert that could be read only without $expand. After several in a
// row, all are read without it for a while.
func (r *odata) readPlainly() {
	r.logOnce("plain", slog.LevelWarn,
		"an alert cannot be read with $expand="+r.facts.Expand+" and is emitted without it")

	r.plainly++
	if r.plainly >= expandSuspect {
		r.plainUntil = r.client.Now().Add(expandAgain)
		r.logOnce("all plain", slog.LevelWarn, r.client.host+" fails with $expand="+r.facts.Expand+
			"; alerts are emitted without it, and it is tried again every hour")
	}
}
