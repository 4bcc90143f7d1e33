package ocsf

import (
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/tick"
)

// activity returns what has happened to the finding: it was closed, or this is its first
// version, or a later one. If it is not known whether there was an earlier version, the
// times decide: an alert that was changed later than some minutes after its creation has
// had others.
func (e *event) activity() activity {
	const young = 5 * tick.Minute

	switch {
	case e.source.once:
		return created
	case e.isClosed(e.text(e.row[inStatus])):
		return closed
	case e.version.History == alert.FirstVersion:
		return created
	case e.version.History == alert.LaterVersion:
		return updated
	}

	if e.made > 0 && e.changed > e.made+young {
		return updated
	}

	return created
}

// isClosed reports whether a state is one of a closed finding.
func (e *event) isClosed(state []byte) bool {
	return equalFold(state, "resolved") || e.source.incident && equalFold(state, "redirected")
}

// time returns the event's time in milliseconds since 1970: when the finding was made, or
// last changed.
func (e *event) time(a activity) int64 {
	at := e.changed
	if a == created && e.made > 0 || at == 0 {
		at = e.made
	}

	if at == 0 {
		at = max(0, e.version.Time)
	}

	return int64(at / tick.Millisecond)
}

// span returns the times of the first and the last activity of an alert, or of all alerts
// of an incident. A time is 0 if there is none.
func (e *event) span() (first, last tick.Tick) {
	if e.source.inside == nil {
		return timeOf(e.text(e.row[inFirst])), timeOf(e.text(e.row[inLast]))
	}

	e.each(e.row[inAlerts], func(i int) int {
		end := e.readInner(i)
		if end == 0 {
			return 0
		}

		if at := timeOf(e.text(e.inner[inFirst])); at > 0 && (first == 0 || at < first) {
			first = at
		}

		last = max(last, timeOf(e.text(e.inner[inLast])))

		return end
	})

	return first, last
}
