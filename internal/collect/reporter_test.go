package collect

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/health"
)

// TestTheStatusOfManyUnitsIsNeverTenSecondsOld: although not all are written each time;
// and what begins to fail is written at once.
func TestTheStatusOfManyUnitsIsNeverTenSecondsOld(t *testing.T) {
	for _, n := range []int{3, manyUnits + 200} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, 0)
			fails := false
			for i := range n {
				c.add(fmt.Sprintf("tenant%04d", i), readerFunc(func(context.Context, defender.Window, defender.Sink) error {
					if fails && i == 1 {
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
					for key, s := range m.statuses {
						if age := time.Since(s.UpdatedAt); age >= 10*time.Second {
							t.Errorf("the status of %s is %v old", key.TenantID, age)
						}
					}
				}
				fails = true
				time.Sleep(10*time.Second + reportPause) // the poll, and the report
				failing := 0
				for _, s := range m.statuses {
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
