package store

import (
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
)

// Freshen brings statuses up to date, as Statuses returns them. An input writes the
// status of a unit when it has changed, and of one unit every time: the newest status of
// a run says until when all others of that run stayed as they are. A unit that has
// stopped is left out, since its input may have let it go.
func Freshen(statuses map[alert.UnitKey]Status) {
	newest := make(map[string]time.Time)

	for _, s := range statuses {
		if s.Run != "" && s.UpdatedAt.After(newest[s.Run]) {
			newest[s.Run] = s.UpdatedAt
		}
	}

	for key, s := range statuses {
		since := newest[s.Run].Sub(s.UpdatedAt)
		if s.Run == "" || s.State == health.Stopped || since <= 0 {
			continue
		}

		s.UpdatedAt = newest[s.Run]
		s.LagSeconds += since.Seconds()
		statuses[key] = s
	}
}
