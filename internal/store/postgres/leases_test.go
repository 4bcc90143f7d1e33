package postgres

import (
	"slices"
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

// A machine that was replaced is not listed for ever, even if no node joins any more. One
// that still has units is: they wait for somebody.
func TestANodeThatDiedIsListedForADay(t *testing.T) {
	d := pgtest.New(t)
	live := joined(t, d, "live")
	joined(t, d, "replaced")
	joined(t, d, "waiting", storetest.Key(1))

	listed := func(hours int) (ids []string) {
		d.Advance(t, time.Duration(hours)*time.Hour)

		if _, err := live.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}

		nodes, err := live.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		for _, n := range nodes {
			ids = append(ids, n.ID)
		}

		return ids
	}

	if got := listed(20); !slices.Equal(got, []string{"live", "replaced", "waiting"}) {
		t.Errorf("after 20 hours: %v", got)
	}

	if got := listed(10); !slices.Equal(got, []string{"live", "waiting"}) {
		t.Errorf("after 30 hours: %v", got)
	}
}
