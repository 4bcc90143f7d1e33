package store

import (
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/health"
)

// Change is a moment at which the state of a unit, or the reason for it, changed.
type Change struct {
	At      time.Time
	State   health.State
	Reason  advice.Reason `json:",omitempty"`
	Message string        `json:",omitempty"`
	Trace   string        `json:",omitempty"`
}

// Limits of Status.History: the changes of a day, and no more than fit into a row that
// is written every few seconds.
const (
	historySpan = 24 * time.Hour
	maxChanges  = 16
	maxMessage  = 300
)

// Note adds the present state and reason to the history, unless its newest entry has
// the same. The slice is not changed in place: a copy of the status may be in use.
func (s *Status) Note(now time.Time) {
	kept := s.History
	for len(kept) > 0 && now.Sub(kept[0].At) > historySpan && len(kept) > 1 {
		kept = kept[1:] // the newest of the old ones stays: it was in force when the day began
	}

	if n := len(kept); n > 0 && kept[n-1].State == s.State && kept[n-1].Reason == s.Reason {
		s.History = kept
		return
	}

	if len(kept) >= maxChanges {
		kept = kept[len(kept)-maxChanges+1:]
	}

	s.History = append(kept[:len(kept):len(kept)], Change{
		At:      now,
		State:   s.State,
		Reason:  s.Reason,
		Message: cut(s.Message, maxMessage),
		Trace:   cut(s.Trace, maxMessage),
	})
}

// cut returns at most the first n bytes of a text, and whole characters only.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}

	for n > 0 && text[n]&0xC0 == 0x80 {
		n--
	}

	return text[:n]
}
