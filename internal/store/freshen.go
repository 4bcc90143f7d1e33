package store

import (
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
)

// Freshen brings statuses up to date that Statuses returned. An input writes the status
// of a unit only when it has changed, but that of one unit every time. So the newest
// status of a run says until when all others of that run were still true. A unit that
// has stopped is left as it is, since its input may not have it any more.
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
