package defender

import "fluent-bit-defender/internal/tick"

// rowsOnly is a Sink without Safe.
type rowsOnly struct{ Sink }

// Safe implements Sink.
func (rowsOnly) Safe(tick.Tick) error { return nil }

// tracker is a Sink that notes up to where a piece was read, and counts its rows.
type tracker struct {
	Sink
	safe tick.Tick
	rows int
}

// Row implements Sink.
func (t *tracker) Row(raw []byte) error {
	t.rows++
	return t.Sink.Row(raw)
}

// Safe implements Sink.
func (t *tracker) Safe(until tick.Tick) error {
	t.safe = max(t.safe, until)
	return t.Sink.Safe(until)
}

// discard is a Sink that ignores everything.
type discard struct{}

// Row implements Sink.
func (discard) Row([]byte) error { return nil }

// Safe implements Sink.
func (discard) Safe(tick.Tick) error { return nil }
