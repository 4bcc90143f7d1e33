package defender

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/tick"
)

// Graph's list of incidents has their alerts only with $expand, and with that it can fail
// for good: an incident with very many alerts times out or is answered with a 500, and so
// is every page that holds it (elastic/integrations issue 18144). Such a page is read
// without $expand, and then each of its incidents again with its alerts: from its own
// address with $expand, or else put together with what the list of alerts has for it.

const (
	// mostInnerPages bounds the pages of alerts of one incident.
	mostInnerPages = 200
	// mostReadings is how often an incident is read whose alerts are listed, until it
	// does not change meanwhile. The last time, that counts as read.
	mostReadings = 3
	// mostInnerFailures bounds how many incidents are remembered whose $expand fails.
	mostInnerFailures = 1000
	// mostInnerGiven bounds how many rows are remembered that a page has given already.
	mostInnerGiven = 10_000
	// mostPlainBytes bounds a page of incidents without their alerts, which is held in
	// memory: 50 incidents with all their texts.
	mostPlainBytes = 64 << 20
)

// inner is what a reader knows about an API that fails with $expand.
type inner struct {
	// plain are windows that failed with $expand, ascending. Until plainUntil they are
	// read without it.
	plain      []Window
	plainUntil time.Time
	// once are windows that failed with $expand although each of their incidents could be
	// read with it. Their next request decides: most likely the failure was an accident.
	once []Window
	// failed are the identities of incidents whose own request with $expand failed, and
	// until when they are not asked for it.
	failed map[string]time.Time
	// given are the rows that were put together and given to the sink from pages that
	// could not be read whole: what is left of such a page is read at the next try.
	given keys
}

// troubled reports whether a window failed with $expand within the last hour.
func (i *inner) troubled(now time.Time) bool {
	if len(i.plain) > 0 && !now.Before(i.plainUntil) {
		i.plain = nil
	}

	return len(i.plain) > 0
}

// covers reports whether a request from that time on is better made without $expand.
func (i *inner) covers(from tick.Tick, now time.Time) bool {
	return i.troubled(now) && holds(i.plain, from)
}

// holds reports whether one of the windows has the time in it.
func holds(windows []Window, at tick.Tick) bool {
	return slices.ContainsFunc(windows, func(w Window) bool { return w.From <= at && at < w.To })
}

// mostPlain bounds the windows of each kind that are remembered.
const mostPlain = 64

// avoid remembers a window that failed with $expand. accident says that it may have been
// one: then the window counts only when it fails again. It reports whether it counts.
func (i *inner) avoid(w Window, accident bool, now time.Time) bool {
	again := i.worked(w.From)
	if accident && !again {
		i.once = append(i.once[max(0, len(i.once)-mostPlain+1):], w)
		return false
	}

	if !i.troubled(now) {
		i.plainUntil = now.Add(expandAgain)
	}

	i.plain = append(i.plain[max(0, len(i.plain)-mostPlain+1):], w)

	return true
}

// worked forgets the windows that had failed once and have that time in them. It reports
// whether there was one.
func (i *inner) worked(from tick.Tick) bool {
	n := len(i.once)
	i.once = slices.DeleteFunc(i.once, func(w Window) bool { return holds([]Window{w}, from) })

	return len(i.once) < n
}

// fails reports whether an incident's own request with $expand failed lately.
func (i *inner) fails(id string, now time.Time) bool { return now.Before(i.failed[id]) }

// failedNow remembers that an incident's own request with $expand has failed.
func (i *inner) failedNow(id string, now time.Time) {
	if i.failed == nil || len(i.failed) >= mostInnerFailures {
		i.failed = map[string]time.Time{}
	}

	i.failed[id] = now.Add(expandAgain)
}

// fetch requests one page and gives its rows to sink, put together where the API fails
// with $expand. Rows in known are not fresh; known may be nil.
func (r *odata) fetch(ctx context.Context, q query, known keys, sink Sink) (answer, error) {
	if _, probe := sink.(discard); probe || r.facts.Inner.Path == "" {
		return r.fetchPage(ctx, q, known, sink)
	}

	linked := q.link != ""
	if q.plain || linked && !strings.Contains(q.link, "expand=") ||
		!linked && r.inner.covers(q.from, r.client.Now()) {
		return r.fetchWhole(ctx, q, known, sink)
	}

	a, failure := r.fetchPage(ctx, q, known, sink)
	if failure == nil && a.rows > 0 && !linked {
		r.inner.worked(q.from)
	}

	if !soft(failure) || linked || !r.suspectsExpand(q.from) || !r.pieces.answering(ctx, r, q.from) {
		return a, failure
	}

	return r.fetchInstead(ctx, q, known, sink, failure)
}

// fetchInstead requests a page that failed with $expand without it, and remembers its
// window if that works. failure is how it failed.
func (r *odata) fetchInstead(ctx context.Context, q query, known keys, sink Sink, failure error) (answer, error) {
	failed := len(r.inner.failed)

	a, err := r.fetchWhole(ctx, q, known, sink)
	if err != nil {
		if soft(err) {
			err = failure // the service fails without $expand too
		}

		return a, err
	}

	w := Window{From: q.from, To: max(a.last, q.from+1)}
	accident := len(r.inner.failed) == failed && a.rows > 1

	if a.rows == 0 || !r.inner.avoid(w, accident, r.client.Now()) {
		return a, nil
	}

	r.logOnce("whole", slog.LevelWarn, fmt.Sprintf("%s fails with $expand=%s; the incidents concerned are "+
		"put together from their alerts, and $expand is tried again every hour (%v)",
		r.client.host, r.facts.Expand, failure))

	return a, nil
}

// suspectsExpand reports whether $expand may be why a request failed. A single failure is
// most likely the network's or the service's, and so are many in a row.
func (r *odata) suspectsExpand(from tick.Tick) bool {
	n := r.pieces.failures

	return n == 1 || holds(r.inner.once, from) || n > 0 && n%(2*orderSuspect) == 0 || r.inner.troubled(r.client.Now())
}

// fetchWhole requests one page without $expand and gives its rows to sink, each put
// together with its alerts. A row whose alerts cannot be read makes the page fail; one
// that was asked for alone, because nothing larger can be read, is given without them.
func (r *odata) fetchWhole(ctx context.Context, q query, known keys, sink Sink) (answer, error) {
	q.plain = true
	rows := heldRows{host: r.client.host}

	a, err := r.fetchPage(ctx, q, known, &rows)
	if err != nil {
		return a, err
	}

	var missing error

	for _, raw := range rows.list {
		err := r.giveWhole(ctx, raw, q.top == 1, sink)
		if !soft(err) && err != nil {
			return a, err
		}

		missing = cmp.Or(missing, err)
	}

	if missing == nil {
		for key := range a.keys {
			delete(r.inner.given, key)
		}
	}

	return a, missing
}

// giveWhole gives a row to sink, put together with its alerts, unless that was done
// before and the page was not read whole then. Where the alerts cannot be read, it
// returns a soft error, after giving the row without them if it was asked for alone.
func (r *odata) giveWhole(ctx context.Context, raw []byte, alone bool, sink Sink) error {
	identity, at := r.finder.Find(raw)

	key := r.key(raw, identity, at)
	if _, done := r.inner.given[key]; done {
		return nil
	}

	ctx, done := sharePermit(ctx)
	defer done()

	whole, err := r.compose(ctx, raw)

	switch {
	case (soft(err) || refused(err)) && alone:
		if err := giveRow(ctx, sink, raw); err != nil {
			return err
		}

		return r.withoutAlerts(err)
	case soft(err), refused(err):
		return r.withoutAlerts(err)
	case err != nil:
		return err
	}

	if err := giveRow(ctx, sink, whole); err != nil {
		return err
	}

	if r.inner.given == nil || len(r.inner.given) > mostInnerGiven {
		r.inner.given = keys{}
	}

	r.inner.given[key] = struct{}{}

	return nil
}

// withoutAlerts returns the error for an incident whose alerts cannot be read because of
// cause.
func (r *odata) withoutAlerts(cause error) error {
	return &Error{
		Fault: advice.Fault{
			Reason:  advice.BadAnswer,
			Problem: r.client.host + " gives an incident, but not its alerts",
			Remedy: "they are asked for again; if it lasts, the incident is emitted without them: " +
				"open it in the portal",
			Err: cause,
		},
		Op:      r.facts.Reading,
		Smaller: true,
	}
}

// giveRow gives a row to sink. A large one needs the permit.
func giveRow(ctx context.Context, sink Sink, raw []byte) error {
	if len(raw) > page.LargeRow {
		release, err := permitLarge(ctx)
		if err != nil {
			return err
		}
		defer release()
	}

	return sink.Row(raw)
}

// heldRows is a Sink that keeps the rows of a page.
type heldRows struct {
	host string
	list [][]byte
	size int
}

// Row implements Sink.
func (h *heldRows) Row(raw []byte) error {
	h.size += len(raw)
	if h.size > mostPlainBytes {
		return tooMuch("reading an answer", fmt.Sprintf("%s lists incidents of more than %d MB in one page",
			h.host, mostPlainBytes>>20))
	}

	h.list = append(h.list, bytes.Clone(raw))

	return nil
}

// Safe implements Sink.
func (*heldRows) Safe(tick.Tick) error { return nil }
