package collect

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/defender"
)

// TestAllTenantsArePolledTenSecondsAfterAStart: and from then on they are spread over
// the interval.
func TestAllTenantsArePolledTenSecondsAfterAStart(t *testing.T) {
	const n, interval = 60, 5 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		polls := make([][]time.Duration, n)
		c := newCrowd(t, 8)
		for i := range n {
			note := func(context.Context, defender.Window, defender.Sink) error {
				polls[i] = append(polls[i], time.Since(begin))
				return nil
			}
			c.add(fmt.Sprintf("tenant%02d", i), readerFunc(note))
		}
		for _, u := range c.in.units {
			u.cfg.PollInterval = interval
		}
		c.run(t, func() { time.Sleep(4 * interval) })

		in := make([]int, 10) // polls in each tenth of an interval, later on
		for i, at := range polls {
			if len(at) < 4 || at[0] > firstPolls {
				t.Fatalf("tenant %d was polled at %v", i, at)
			}
			for k := 1; k < len(at); k++ {
				if at[k]-at[k-1] > interval+time.Second {
					t.Errorf("tenant %d was polled at %v", i, at)
				}
			}
			in[int(at[2]%interval*10/interval)]++
		}
		for k, count := range in {
			if count < 4 || count > 8 {
				t.Errorf("%d of %d tenants are polled in tenth %d of the interval", count, n, k)
			}
		}
	})
}
