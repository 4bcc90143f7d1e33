package collect

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/tick"
)

func TestPlacesFollowTheNumberOfUnits(t *testing.T) {
	for _, c := range []struct{ fixed, units, want int }{
		{0, 0, 8},
		{0, 1, 8},
		{0, 128, 8},
		{0, 144, 9},
		{0, 1000, 62},
		{0, 2048, 128},
		{0, 10000, 128},
		{3, 10000, 3},
		{1024, 1, 1024},
	} {
		p := newPlaces(c.fixed)
		p.adaptTo(c.units)

		if p.number != c.want {
			t.Errorf("%d places for %d units with max_concurrency %d, want %d", p.number, c.units, c.fixed, c.want)
		}
	}
}

func TestPlacesFollowTheTenantSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 0)
		number := func() int {
			c.in.places.mu.Lock()
			defer c.in.places.mu.Unlock()

			return c.in.places.number
		}
		quiet := func(context.Context, defender.Window, defender.Sink) error { return nil }

		c.run(t, func() {
			for i := range 199 { // with the healthy one 200
				c.add(fmt.Sprintf("tenant%03d", i), readerFunc(quiet))
			}

			if n := number(); n != 12 {
				t.Errorf("%d places for 200 units", n)
			}

			time.Sleep(time.Minute)

			for _, u := range c.in.all()[:150] {
				c.in.Retire(u.cfg.Key, nil)
			}

			time.Sleep(time.Minute)

			if n := number(); n != 8 {
				t.Errorf("%d places for 50 units", n)
			}
		})
	})
}

func TestThePlaceGoesToTheUnitFurthestBehind(t *testing.T) {
	var q placeQueue
	for _, rank := range []tick.Tick{50, 10, rankAgain, 40, 20, rankAgain, 60, 30} {
		q.add(rank)
	}

	var got []tick.Tick
	for !q.empty() {
		got = append(got, q.next().rank)
	}
	// Each fourth goes to the one that has waited longest.
	want := []tick.Tick{50, 10, 20, 30, rankAgain, 40, 60, rankAgain}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWhoLeavesTheQueueGetsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(1)
		if !p.enter(t.Context(), 1) {
			t.Fatal("no place although one is free")
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		if p.enter(ctx, 1) {
			t.Error("a place although none is free")
		}

		p.leave()

		if p.taken != 0 || !p.queue.empty() {
			t.Errorf("%d taken", p.taken)
		}
	})
}

// Readers that have a long backlog, and never wait for others, hold all places.
func TestALongBacklogLetsOthersHaveItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2)

		backlog := func(ctx context.Context, w defender.Window, sink defender.Sink) error {
			row := padded("known", w.Now.Time().Add(-24*time.Hour), 10) // older than the floor
			for range 4000 {
				if err := sink.Row(row); err != nil {
					return err
				}

				if err := pause.For(ctx, 25*time.Millisecond); err != nil { // it works
					return err
				}
			}

			return nil
		}
		for i := range 6 {
			c.add(fmt.Sprintf("backlog%d", i), readerFunc(backlog))
		}

		c.run(t, func() {
			time.Sleep(time.Minute)

			for i := range 60 {
				c.healthy.add(fmt.Sprint(i), time.Now(), time.Now())
				time.Sleep(20 * time.Second)

				if len(c.chunk.counts()) != i+1 {
					t.Errorf("alert %d is not there after two intervals", i)
				}
			}
		})
	})
}
