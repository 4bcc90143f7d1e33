package store_test

import (
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

func TestTheNewestStatusOfARunVouchesForTheOthers(t *testing.T) {
	noon := time.Date(2027, 1, 2, 12, 0, 0, 0, time.UTC)

	for name, c := range map[string]struct {
		status store.Status
		age    time.Duration // after Freshen, at noon
		lag    float64
	}{
		"the newest": {store.Status{Run: "a", UpdatedAt: noon, LagSeconds: 5}, 0, 5},
		"unchanged":  {store.Status{Run: "a", UpdatedAt: noon.Add(-time.Minute), LagSeconds: 5}, 0, 65},
		"failing": {store.Status{
			Run:       "a",
			UpdatedAt: noon.Add(-time.Hour),
			State:     health.Failing,
		}, 0, 3600},
		"stopped": {store.Status{
			Run:       "a",
			UpdatedAt: noon.Add(-time.Minute),
			State:     health.Stopped,
		}, time.Minute, 0},
		"of another run":      {store.Status{Run: "b", UpdatedAt: noon.Add(-time.Minute)}, time.Minute, 0},
		"of an older version": {store.Status{UpdatedAt: noon.Add(-time.Minute)}, time.Minute, 0},
	} {
		key := alert.UnitKey{TenantID: alert.TenantID(name)}
		statuses := map[alert.UnitKey]store.Status{
			key:                    c.status,
			{TenantID: "newest a"}: {Run: "a", UpdatedAt: noon},
			{TenantID: "old"}:      {UpdatedAt: noon},
		}
		store.Freshen(statuses)

		if s := statuses[key]; noon.Sub(s.UpdatedAt) != c.age || s.LagSeconds != c.lag {
			t.Errorf("%s: %v old, lag %v; want %v and %v", name, noon.Sub(s.UpdatedAt), s.LagSeconds, c.age, c.lag)
		}
	}
}
