package postgres

import (
	"testing"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/tick"
)

// BenchmarkIdleUnits commits the progress of 1,000 units without alerts, and writes their
// statuses.
func BenchmarkIdleUnits(b *testing.B) {
	keys := unitKeys(0, 1000)
	s := joined(b, pgtest.New(b), "a", keys...)
	commits := make([]store.Commit, len(keys))
	statuses := make(map[alert.UnitKey]store.Status)

	for _, key := range keys {
		statuses[key] = store.Status{TenantName: "x", State: health.OK}
	}

	b.Run("commit", func(b *testing.B) {
		for at := tick.Tick(1); b.Loop(); at++ {
			for i, key := range keys {
				commits[i] = store.Commit{Key: key, Checkpoint: store.Checkpoint{Watermark: at}}
			}

			if err := s.Commit(b.Context(), commits); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("status", func(b *testing.B) {
		for b.Loop() {
			if err := s.SetStatus(b.Context(), statuses); err != nil {
				b.Fatal(err)
			}
		}
	})
}
