package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/tick"
)

const maxTick = tick.Tick(math.MaxInt64)

// pullSink prints the records of a window: what the input would emit, each once, oldest
// first. Rows wait until the reader says that nothing older can come any more, so that
// memory is bounded by the pages of an API that sorts.
type pullSink struct {
	identifier *alert.Identifier
	encoder    *record.Encoder
	out        io.Writer
	from, to   tick.Tick
	limit      int
	now        time.Time

	seen    map[alert.Key]bool
	waiting []waitingRow
	skipped []skipped // what could not be read while what is behind it could
	safe    tick.Tick // everything before it has come
	event   []byte
	// read and printed are counted for the progress line too, which looks from another
	// goroutine.
	read, printed atomic.Int64
}

// waitingRow is a record that is not printed yet. Rows of the same time come in the order
// of their ids: the SIEM API has none.
type waitingRow struct {
	at   tick.Tick
	id   alert.ID
	line []byte
}

func newPullSink(
	i *alert.Identifier,
	e *record.Encoder,
	out io.Writer,
	from, to tick.Tick,
	limit int,
	now time.Time,
) *pullSink {
	return &pullSink{
		identifier: i,
		encoder:    e,
		out:        out,
		from:       from,
		to:         to,
		limit:      limit,
		now:        now,
		seen:       map[alert.Key]bool{},
	}
}

// Row implements defender.Sink.
func (s *pullSink) Row(raw []byte) error {
	s.read.Add(1)

	now := tick.FromTime(s.now)
	version := s.identifier.Identify(raw, alert.Moment{Present: now, Now: now})

	at := version.At
	if !version.Undated && (at < s.from || s.to != 0 && at >= s.to) {
		return nil // readers reach a little further than they are asked to
	}

	if s.seen[version.Repeat] {
		return nil
	}

	s.seen[version.Repeat] = true

	// What was listed before this pull is not known: the row's times have to say it.
	if s.seen[version.Alert] {
		version.History = alert.LaterVersion
	} else if version.Alert != (alert.Key{}) {
		s.seen[version.Alert] = true
	}

	var err error
	if s.event, err = s.encoder.Alert(s.event[:0], version, raw); err != nil {
		s.event = s.encoder.Raw(s.event[:0], version.Time, version.ID, raw)
	}

	_, line, err := record.Decode(s.event)
	if err != nil {
		return err
	}

	s.waiting = append(s.waiting, waitingRow{at, version.ID, line})

	return nil
}

// Safe implements defender.Sink: everything before t is there.
func (s *pullSink) Safe(t tick.Tick) error {
	s.safe = max(s.safe, t)
	return s.flush(t)
}

// skipped is a window that could not be read, and why.
type skipped struct {
	window defender.Window
	reason string
}

// Defer implements defender.DeferringSink: the reader goes on, and missing reports the
// gap.
func (s *pullSink) Defer(w defender.Window, reason string) error {
	s.skipped = append(s.skipped, skipped{w, reason})
	return nil
}

// missing returns an error that names the alerts that could not be read, nil if there are
// none.
func (s *pullSink) missing() error {
	if len(s.skipped) == 0 {
		return nil
	}

	first := s.skipped[0]

	more := ""
	if n := len(s.skipped) - 1; n > 0 {
		more = fmt.Sprintf("; so are those of %d more times", n)
	}

	return fmt.Errorf("some alerts updated from %v to %v are missing: %s%s; look them up in the portal, or narrow "+
		"--filter",
		first.window.From, first.window.To, first.reason, more)
}

// flush prints what waits and is older than t.
func (s *pullSink) flush(t tick.Tick) error {
	slices.SortFunc(
		s.waiting,
		func(a, b waitingRow) int { return cmp.Or(cmp.Compare(a.at, b.at), bytes.Compare(a.id[:], b.id[:])) },
	)

	n := 0
	for ; n < len(s.waiting) && s.waiting[n].at < t; n++ {
		if _, err := s.out.Write(append(s.waiting[n].line, '\n')); err != nil {
			return err
		}

		if int(s.printed.Add(1)) == s.limit {
			return errEnough
		}
	}

	s.waiting = slices.Delete(s.waiting, 0, n)

	return nil
}
