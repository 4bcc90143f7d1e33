package postgres

import (
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/storetest"
)

// sharedBackend makes a place for several nodes, whose clock a test moves.
func sharedBackend(t *testing.T) storetest.SharedBackend {
	d := pgtest.New(t)

	var ahead atomic.Int64 // of the clocks that only go forward

	return storetest.SharedBackend{
		Open: func(t *testing.T, poll bool, now func() time.Time) store.Shared {
			return openOn(t, d, func(o *Options) {
				o.Inputs = poll
				o.Now = now
				o.Uptime = func() time.Duration { return uptime() + time.Duration(ahead.Load()) }
			})
		},
		Advance: func(by time.Duration) {
			ahead.Add(int64(by))
			d.Advance(t, by)
		},
	}
}

func TestPostgresKeepsThePromisesOfLeases(t *testing.T) {
	storetest.TestLeases(t, sharedBackend)
}
