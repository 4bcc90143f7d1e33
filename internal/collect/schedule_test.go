package collect

import (
	"context"
	"fmt"
	"sync"
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
		c.interval = interval

		for i := range n {
			note := func(context.Context, defender.Window, defender.Sink) error {
				polls[i] = append(polls[i], time.Since(begin))
				return nil
			}
			c.add(fmt.Sprintf("tenant%02d", i), readerFunc(note))
		}

		c.run(t, func() { time.Sleep(4 * interval) })

		in := make([]int, 10) // polls in each tenth of an interval, later on

		for i, at := range polls {
			if len(at) < 4 || at[0] > firstPollsWithin {
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

// TestPollsOfManyTenantsBeginTogether: within a step, so that they wake the process once.
func TestPollsOfManyTenantsBeginTogether(t *testing.T) {
	const n, interval = 500, 10 * time.Second

	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		moments := make(map[time.Duration]int)

		var mu sync.Mutex

		c := newCrowd(t, n)
		for i := range n {
			c.add(fmt.Sprintf("tenant%03d", i), readerFunc(func(context.Context, defender.Window, defender.Sink) error {
				mu.Lock()
				defer mu.Unlock()

				moments[time.Since(begin)]++

				return nil
			}))
		}

		c.run(t, func() { time.Sleep(10 * interval) })

		polls := 0
		for at, count := range moments {
			polls += count
			if at%step != 0 {
				t.Errorf("%d polls began %v after the start", count, at)
			}
		}

		if most := int(10*interval/step) + 1; len(moments) > most || polls < 9*n {
			t.Errorf("%d polls at %d moments, of which there are %d", polls, len(moments), most)
		}
	})
}

// TestTenantsThatRecoverTogetherSpreadAgain: an outage in which every answer hangs ends
// for all of them at the same moment.
func TestTenantsThatRecoverTogetherSpreadAgain(t *testing.T) {
	const n, interval = 100, time.Minute

	synctest.Test(t, func(t *testing.T) {
		var (
			mu    sync.Mutex
			polls []time.Duration // of the time after the outage
		)

		begin := time.Now()
		outage := make(chan struct{})
		c := newCrowd(t, 0)
		c.interval = interval

		for i := range n {
			read := func(ctx context.Context, _ defender.Window, _ defender.Sink) error {
				select {
				case <-outage:
				case <-ctx.Done():
				}

				mu.Lock()

				polls = append(polls, time.Since(begin))
				mu.Unlock()

				return nil
			}
			c.add(fmt.Sprintf("tenant%02d", i), readerFunc(read))
		}

		c.in.places.fixed, c.in.places.number = n+1, n+1 // all wait with a place

		c.run(t, func() {
			time.Sleep(10 * time.Minute)
			close(outage)
			time.Sleep(5 * interval)
		})

		in := map[int]int{} // polls in each tenth of an interval, from the second one on

		for _, at := range polls {
			if at > 10*time.Minute+2*interval {
				in[int(at*10/interval)]++
			}
		}

		for tenth, count := range in {
			if count > 15 {
				t.Errorf("%d of %d tenants are polled in tenth %d", count, n, tenth)
			}
		}

		if len(in) < 29 {
			t.Errorf("tenants are polled in %d tenths of three intervals", len(in))
		}
	})
}
