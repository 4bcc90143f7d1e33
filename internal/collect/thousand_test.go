package collect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/defender"
)

// sickReaders are the ways in which tenants fail, hang and drip.
func sickReaders(t *testing.T, of int) (list []defender.Reader) {
	faults := []error{
		&defender.Error{Fault: advice.Fault{Fate: advice.NeedsFix, Problem: "403"}, Status: 403},
		&defender.Error{Fault: advice.Fault{Problem: "503", RetryAfter: 20 * time.Second}, Status: 503},
		&defender.Error{Fault: advice.Fault{Problem: "cut"}, Smaller: true},
		&defender.Error{Fault: advice.Fault{Problem: "unreachable"}, Unreachable: true},
		errors.New("something else"),
	}

	for i := range of {
		fails := func(context.Context, defender.Window, defender.Sink) error { return faults[i%len(faults)] }
		list = append(list, readerFunc(fails), slowly(t, 0), slowly(t, 2*time.Second))
	}

	return list
}

// TestAThousandTenantsOfWhichThirtyAreSick: every alert of the healthy ones comes within
// two intervals, and polls begin in time.
func TestAThousandTenantsOfWhichThirtyAreSick(t *testing.T) {
	const tenants, alerts, interval = 1000, 20, time.Minute

	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 0)
		sick := sickReaders(t, 10)

		var healthy []*tenantAPI

		for i := range tenants {
			if i%33 == 0 && len(sick) > 0 {
				c.add(fmt.Sprintf("sick%03d", i), sick[0])
				sick = sick[1:]

				continue
			}

			api := &tenantAPI{rng: rand.New(rand.NewPCG(uint64(i), 1))}
			healthy = append(healthy, api)
			c.add(fmt.Sprintf("healthy%03d", i), answersIn{300 * time.Millisecond, api})
		}

		for _, u := range c.in.units {
			u.cfg.PollInterval = interval
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

// answersIn is a reader whose service takes its time.
type answersIn struct {
	after time.Duration
	defender.Reader
}

func (a answersIn) Read(ctx context.Context, w defender.Window, sink defender.Sink) error {
	time.Sleep(a.after)
	return a.Reader.Read(ctx, w, sink)
}
