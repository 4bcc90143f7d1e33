package tokens

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// redeemInBubble takes a place, is answered after a while, and notes when the service saw
// the request: at any moment in between.
func redeemInBubble(t *testing.T, s *spread, how urgency, written bool, latency time.Duration) (seen time.Time) {
	p, ok, err := s.enter(t.Context(), how)
	if err != nil || !ok {
		t.Errorf("no place: %v, %v", ok, err)
		return time.Now()
	}

	if written {
		p.written()
	}

	at := min(time.Duration(rand.Int64N(int64(latency)+1)), 2*time.Second)
	time.Sleep(at)

	seen = time.Now()

	time.Sleep(latency - at)
	p.answered()

	return seen
}

// TestNoSecondSeesMoreThanFiveRedemptions, whenever within its time each request reaches
// the service.
func TestNoSecondSeesMoreThanFiveRedemptions(t *testing.T) {
	for name, c := range map[string]struct {
		latency time.Duration
		written bool
		most    time.Duration // for 100 redemptions
	}{
		"at once":            {0, false, 20 * time.Second},
		"a fast service":     {50 * time.Millisecond, true, 22 * time.Second},
		"a slow service":     {900 * time.Millisecond, true, 39 * time.Second},
		"one that hangs":     {30 * time.Second, true, 100 * time.Second},
		"hung before a byte": {2 * time.Second, false, 61 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(Redemptions).of(ChainKey{TenantID: "home"})
				start := time.Now()

				var (
					wg   sync.WaitGroup
					mu   sync.Mutex
					seen []time.Time
				)

				for range 100 {
					wg.Go(func() {
						at := redeemInBubble(t, s, usual, c.written, c.latency)

						mu.Lock()
						defer mu.Unlock()

						seen = append(seen, at)
					})
				}

				wg.Wait()
				slices.SortFunc(seen, time.Time.Compare)

				for i := perSecond; i < len(seen); i++ {
					if d := seen[i].Sub(seen[i-perSecond]); d < time.Second {
						t.Fatalf("%d redemptions within %v", perSecond+1, d)
					}
				}

				if took := time.Since(start); took > c.most {
					t.Errorf("100 redemptions took %v", took)
				}
			})
		})
	}
}

// TestWhoWaitsForARedemptionIsServedInTurn: home first, then in order; one that was
// refused lately does not wait, and one that stops waiting takes nobody's place.
func TestWhoWaitsForARedemptionIsServedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Redemptions).of(ChainKey{})

		for range perSecond {
			redeemInBubble(t, s, usual, false, 0)
		}

		var (
			mu    sync.Mutex
			order []string
		)

		wait := func(ctx context.Context, name string, how urgency) {
			p, ok, err := s.enter(ctx, how)

			mu.Lock()
			defer mu.Unlock()

			switch {
			case err != nil:
				name += " gave up"
			case !ok:
				name += " yielded"
			default:
				p.answered()
			}

			order = append(order, name)
		}

		impatient, cancel := context.WithCancel(t.Context())

		for _, w := range []struct {
			ctx  context.Context
			name string
			how  urgency
		}{
			{t.Context(), "a", usual},
			{impatient, "impatient", usual},
			{t.Context(), "home", urgent},
			{t.Context(), "b", usual},
			{t.Context(), "home again", urgent},
			{t.Context(), "refused", yielding},
		} {
			go wait(w.ctx, w.name, w.how)

			synctest.Wait()
		}

		cancel()
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()

		const first, then = "refused yielded, impatient gave up", "home, home again, a, b"

		// The four are served within one moment, each by a place of its own.
		got := strings.Join(order[:2], ", ")
		slices.Sort(order[2:])

		want := strings.Split(then, ", ")
		if got != first || !slices.Equal(order[2:], slices.Sorted(slices.Values(want))) {
			t.Errorf("served: %v", order)
		}

		if s.free != perSecond || len(s.waiting) != 0 || s.urgent != 0 {
			t.Errorf("%d free, %d wait, %d of them urgent", s.free, len(s.waiting), s.urgent)
		}
	})
}

// TestHomeGoesFirst of all that wait.
func TestHomeGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spread{free: 1}
		redeemInBubble(t, s, usual, false, 0)

		var order []string // one place: one at a time

		for i, how := range []urgency{usual, usual, urgent, usual, urgent} {
			go func() {
				p, _, err := s.enter(t.Context(), how)
				if err != nil {
					t.Error(err)
					return
				}

				order = append(order, fmt.Sprint(i))

				p.answered()
			}()

			synctest.Wait()
		}

		time.Sleep(time.Minute)
		synctest.Wait()

		if got := strings.Join(order, " "); got != "2 4 0 1 3" {
			t.Errorf("served in the order %s", got)
		}
	})
}

// TestAChainIsStoppedForAsLongAsTheServiceAsks, and no longer.
func TestAChainIsStoppedForAsLongAsTheServiceAsks(t *testing.T) {
	var s spread

	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if s.refuse(now) != nil {
		t.Error("stopped from the start")
	}

	e := &Error{Code: loopCode}

	e.RetryAfter = time.Minute
	s.stop(e, now)

	if got := s.refuse(now.Add(20 * time.Second)); got == nil || got.RetryAfter != 40*time.Second ||
		got.Code != loopCode {
		t.Errorf("got %v", got)
	}

	if got := s.refuse(now.Add(time.Minute)); got != nil {
		t.Errorf("still stopped: %v", got)
	}

	var target *Error
	if errors.As(error(e), &target) && target.RetryAfter != time.Minute {
		t.Error("the refusal itself was changed")
	}
}
