package collect

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// allStatuses returns what is shown.
func (m *memory) allStatuses() map[alert.UnitKey]store.Status {
	m.mu.Lock()
	defer m.mu.Unlock()

	list := maps.Clone(m.statuses)
	store.Freshen(list)

	return list
}

// TestTheStatusOfManyUnitsIsNeverTenSecondsOld: although only what has changed is
// written; and what begins to fail is written at once.
func TestTheStatusOfManyUnitsIsNeverTenSecondsOld(t *testing.T) {
	for _, n := range []int{3, 1200} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, 0)

			var fails atomic.Bool

			for i := range n {
				c.add(fmt.Sprintf("tenant%04d", i),
					readerFunc(func(context.Context, defender.Window, defender.Sink) error {
						if i == 1 && fails.Load() {
							return &defender.Error{Status: 500}
						}

						return nil
					}))
			}

			c.run(t, func() {
				time.Sleep(time.Minute)

				for range 20 {
					time.Sleep(time.Second)

					for key, s := range c.store.allStatuses() {
						if age := time.Since(s.UpdatedAt); age >= 10*time.Second {
							t.Errorf("the status of %s is %v old", key.TenantID, age)
						}
					}
				}

				fails.Store(true)
				time.Sleep(10*time.Second + reportPause) // the poll, and the report

				failing := 0

				for _, s := range c.store.allStatuses() {
					if s.State == health.Failing {
						failing++
					}
				}

				if failing != 1 {
					t.Errorf("%d of %d units are shown as failing", failing, n)
				}
			})
		})
	}
}

// countingStore counts the statuses that are written.
type countingStore struct {
	*memory
	written atomic.Int64
}

func (s *countingStore) SetStatus(ctx context.Context, statuses map[alert.UnitKey]store.Status) error {
	s.written.Add(int64(len(statuses)))
	return s.memory.SetStatus(ctx, statuses)
}

func TestAStatusThatDoesNotChangeIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 0)
		s := &countingStore{memory: c.store}

		c.in.cfg.Store = countedStore{s, &c.in.storeErrors, nil}
		c.interval = time.Minute

		for i := range 100 {
			c.add(fmt.Sprintf("tenant%03d", i), c.healthy)
		}

		c.run(t, func() {
			time.Sleep(2 * time.Minute)

			before := s.written.Load()

			time.Sleep(10 * time.Minute)
			// A poll changes it, and so does the commit after it.
			if n := s.written.Load() - before; n < 100*10 || n > 100*10*2+200 {
				t.Errorf("%d statuses of 101 units are written in ten minutes", n)
			}
		})
	})
}

func TestNobodyVouchesForATenantThatWasRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 0)
		leaves := c.config("leaves", c.healthy)
		c.in.Add(leaves)
		c.run(t, func() {
			time.Sleep(31 * time.Second) // between two reports
			c.in.Retire(leaves.Key, nil)

			left := time.Now()

			time.Sleep(time.Minute)

			s := c.store.allStatuses()[leaves.Key]
			if s.State != health.Stopped || s.UpdatedAt.Sub(left) > 2*reportPause {
				t.Errorf("a minute after its end it is %s, written %v after that", s.State, s.UpdatedAt.Sub(left))
			}
		})
	})
}
