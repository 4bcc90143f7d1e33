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

// TestTheStatusOfManyUnitsIsNeverTenSecondsOld: although only what has changed is written;
// and what begins to fail is written at once.
func TestTheStatusOfManyUnitsIsNeverTenSecondsOld(t *testing.T) {
	for _, n := range []int{3, 1200} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, 0)
			var fails atomic.Bool
			for i := range n {
				c.add(fmt.Sprintf("tenant%04d", i), readerFunc(func(context.Context, defender.Window, defender.Sink) error {
					if i == 1 && fails.Load() {
						return &defender.Error{Status: 500}
					}
					return nil
				}))
			}
			m := c.in.cfg.Store.(countedStore).store.(*memory)
			c.run(t, func() {
				time.Sleep(time.Minute)
				for range 20 {
					time.Sleep(time.Second)
					for key, s := range m.allStatuses() {
						if age := time.Since(s.UpdatedAt); age >= 10*time.Second {
							t.Errorf("the status of %s is %v old", key.TenantID, age)
						}
					}
				}
				fails.Store(true)
				time.Sleep(10*time.Second + reportPause) // the poll, and the report
				failing := 0
				for _, s := range m.allStatuses() {
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
