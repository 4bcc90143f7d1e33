package collect

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestAThousandTenantsOfWhichThirtyAreSick: every alert of the healthy ones comes within
// two intervals, and polls begin in time.
func TestAThousandTenantsOfWhichThirtyAreSick(t *testing.T) {
	const tenants, alerts, interval = 1000, 20, time.Minute

	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 0)
		c.interval = interval
		sick := sickReaders(t, 10)

		var healthy []*tenantAPI

		for i := range tenants {
			if i%33 == 0 && len(sick) > 0 {
				c.add(fmt.Sprintf("sick%03d", i), sick[0])
				sick = sick[1:]

				continue
			}

			api := newAPI(uint64(i))
			healthy = append(healthy, api)
			c.add(fmt.Sprintf("healthy%03d", i), answersIn{300 * time.Millisecond, api})
		}

		c.run(t, func() {
			want := 0

			for round := range 3 {
				for i, api := range healthy {
					for k := range alerts {
						api.add(fmt.Sprintf("%d-%d-%d", i, round, k), time.Now(), time.Now())

						want++
					}
				}

				time.Sleep(2 * interval)

				if have := len(c.chunk.counts()); have != want {
					t.Errorf("round %d: %d of %d alerts after two intervals", round, have, want)
				}
			}
		})

		starts := c.in.starts.Read()
		late := uint64(0)

		for i, n := range starts.Counts {
			if i >= len(starts.Bounds) || starts.Bounds[i] > 1 {
				late += n
			}
		}

		if total := starts.Count(); late*100 > total || total < 5*tenants {
			t.Errorf("%d of %d polls began more than a second late", late, total)
		}
	})
}
