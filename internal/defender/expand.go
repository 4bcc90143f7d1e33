package defender

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/tick"
)

// Graph's list of incidents has their alerts only with $expand, and with that it can fail
// for good: an incident with very many alerts times out or is answered with a 500, and so
// is every page that holds it (trap 29 in doc.go). Such a page is read without $expand,
// and then each of its incidents again with its alerts: from its own address with
// $expand, or else put together with what the list of alerts has for it.

const (
	// mostInnerPages bounds the pages of alerts of one incident.
	mostInnerPages = 200
	// mostReadings is how often an incident is read again, at most, because it changes
	// while its alerts are listed. After the last time it counts as read.
	mostReadings = 3
	// mostInnerFailures bounds how many incidents are remembered whose $expand fails.
	mostInnerFailures = 1000
	// mostInnerEmitted bounds how many emitted rows of failed pages are remembered.
	mostInnerEmitted = 10_000
	// mostPlainBytes bounds a page of incidents without their alerts, which is held in
	// memory: 50 incidents with all their texts.
	mostPlainBytes = 64 << 20
)

// fetch reads one page and passes its rows on to sink. If the API fails with $expand, it
// puts the rows together. Rows in known are not fresh; known may be nil.
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
		r.inner.succeeded(q.from)
	}

	if !soft(failure) || linked || !r.suspectsExpand(q.from) || !r.pieces.answering(ctx, r, q.from) {
		return a, failure
	}

	return r.fetchInstead(ctx, q, known, sink, failure)
}

// fetchInstead reads a page without $expand, after it failed with failure, and remembers
// its window if that works.
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

// suspectsExpand reports whether $expand may be the reason why a request failed. It is
// suspected at the second failure in a row, and later only now and then: a single failure
// most likely has another cause, and so have many in a row.
func (r *odata) suspectsExpand(from tick.Tick) bool {
	before := r.pieces.failures // in a row, without this one
	if before == 1 || before > 0 && before%(2*orderSuspect) == 0 {
		return true
	}

	return holds(r.inner.failedOnce, from) || r.inner.troubled(r.client.Now())
}

// fetchWhole reads one page without $expand and passes its rows on to sink, each put
// together with its alerts. If the alerts of a row cannot be read, the page fails. A row
// that was asked for alone, because nothing larger can be read, is then passed on without
// its alerts.
func (r *odata) fetchWhole(ctx context.Context, q query, known keys, sink Sink) (answer, error) {
	q.plain = true
	rows := heldRows{host: r.client.host}

	a, err := r.fetchPage(ctx, q, known, &rows)
	if err != nil {
		return a, err
	}

	var missing error

	for _, raw := range rows.list {
		err := r.passWhole(ctx, raw, q.top == 1, sink)
		if !soft(err) && err != nil {
			return a, err
		}

		missing = cmp.Or(missing, err)
	}

	if missing == nil {
		for key := range a.keys {
			delete(r.inner.emitted, key)
		}
	}

	return a, missing
}

// passWhole passes a row on to sink, put together with its alerts, unless it was passed
// on at an earlier try at its page. If the alerts cannot be read, it returns a soft
// error; before that it passes on the row without them if it was asked for alone.
func (r *odata) passWhole(ctx context.Context, raw []byte, alone bool, sink Sink) error {
	identity, at := r.finder.Find(raw)

	key := r.key(raw, identity, at)
	if _, done := r.inner.emitted[key]; done {
		return nil
	}

	ctx, done := sharePermit(ctx)
	defer done()

	whole, err := r.compose(ctx, raw)

	switch {
	case (soft(err) || refused(err)) && alone:
		if err := passRow(ctx, sink, raw); err != nil {
			return err
		}

		return r.withoutAlerts(err)
	case soft(err), refused(err):
		return r.withoutAlerts(err)
	case err != nil:
		return err
	}

	if err := passRow(ctx, sink, whole); err != nil {
		return err
	}

	if r.inner.emitted == nil || len(r.inner.emitted) > mostInnerEmitted {
		r.inner.emitted = keys{}
	}

	r.inner.emitted[key] = struct{}{}

	return nil
}

// withoutAlerts returns the error for an incident whose alerts cannot be read because of
// cause.
func (r *odata) withoutAlerts(cause error) error {
	return &Error{
		Fault: advice.Fault{
			Reason:  advice.BadAnswer,
			Problem: r.client.host + " lists an incident, but not its alerts",
			Remedy: "they are asked for again; if it lasts, the incident is emitted without them: " +
				"open it in the portal",
			Err: cause,
		},
		Op:      r.facts.Reading,
		Smaller: true,
	}
}

// passRow passes a row on to sink. A large row needs the permit.
func passRow(ctx context.Context, sink Sink, raw []byte) error {
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
