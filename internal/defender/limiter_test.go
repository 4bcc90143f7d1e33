package defender

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/test/setup"
)

// virtual makes a limiter on a virtual clock that waits by moving it on.
func virtual(budgets ...Budget) (*Limiter, virtualClock) {
	c := newClock()
	l := NewLimiter(c.Now, budgets...)
	l.sleep = c.Sleep

	return l, c
}

var endpointBudgets = []Budget{{100, time.Minute}, {1500, time.Hour}}

// TestBudgetsAreNeverExceeded: a caller in a hurry, and callers in bursts, stay below
// the published limits in every minute and hour.
func TestBudgetsAreNeverExceeded(t *testing.T) {
	setup.OneGoroutine(t)

	for name, idle := range map[string]func(i int) time.Duration{
		"in a hurry":               func(int) time.Duration { return 0 },
		"each takes half a second": func(int) time.Duration { return time.Second / 2 },
		"in bursts": func(i int) time.Duration {
			if i%200 == 0 {
				return 9 * time.Minute
			}

			return 0
		},
	} {
		l, c := virtual(endpointBudgets...)

		var (
			calls   []time.Time
			longest time.Duration
		)

		for i := 0; c.Now().Before(start.Add(5 * time.Hour)); i++ {
			c.Advance(idle(i))
			before := c.Now()

			for {
				err := l.Wait(t.Context())
				if err == nil {
					break
				}

				var e *Error
				if !errors.As(err, &e) || !e.Budget || e.Fate != advice.TryAgain || e.RetryAfter <= shortWait {
					t.Fatalf("%s: %v (%+v)", name, err, e)
				}

				c.Advance(e.RetryAfter)
			}

			longest = max(longest, c.Now().Sub(before))
			calls = append(calls, c.Now())
		}

		for _, b := range endpointBudgets {
			for i := range calls {
				if n := i + b.usable(); n < len(calls) && calls[n].Sub(calls[i]) < b.Per {
					t.Errorf("%s: more than %d calls in %v", name, b.usable(), b.Per)
					break
				}
			}
		}

		if longest > 2*time.Minute {
			t.Errorf("%s: a call waited %v: new alerts would too", name, longest)
		}

		if rate := float64(len(calls)) / 5; name == "in a hurry" && rate < 1000 {
			t.Errorf("only %.0f calls an hour", rate)
		}
	}
}

// TestAQuietTenantNeverWaits: polls every minute with all the calls that they may take.
func TestAQuietTenantNeverWaits(t *testing.T) {
	l, c := virtual(Budget{50, time.Minute}, Budget{1500, time.Hour})

	for range 24 * 60 {
		for range callsPerPoll {
			if left := l.due(c.Now()); left > 0 {
				t.Fatalf("waits %v", left)
			}

			if err := l.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}

		c.Advance(time.Minute)
	}

	if len(l.calls) > 200 {
		t.Errorf("%d calls are remembered", len(l.calls))
	}
}

// TestABudgetIsShared: several readers at the same moment get no more than one.
func TestABudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(time.Now, Budget{10, time.Minute})

		var mu sync.Mutex

		passed, refused := 0, 0

		for range 20 {
			go func() {
				err := l.Wait(t.Context())

				mu.Lock()
				defer mu.Unlock()

				if err == nil {
					passed++
				} else {
					refused++
				}
			}()
		}

		synctest.Wait()

		if passed != 9 || refused != 11 {
			t.Errorf("%d passed, %d were sent away", passed, refused)
		}

		time.Sleep(56 * time.Second)

		began := time.Now()
		if err := l.Wait(t.Context()); err != nil || time.Since(began) != 4*time.Second {
			t.Errorf("a wait of seconds: %v after %v", err, time.Since(began))
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		for range 8 {
			_ = l.Wait(ctx)
		}

		time.Sleep(57 * time.Second)

		if err := l.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that was told to stop: %v", err)
		}
	})
}

// TestInterval says how often units may poll that share a budget.
func TestInterval(t *testing.T) {
	for _, test := range []struct {
		budgets []Budget
		units   int
		want    time.Duration
	}{
		{nil, 5, 0},
		{[]Budget{{0, time.Minute}, {0, time.Hour}}, 5, 0},
		{endpointBudgets, 0, 8 * time.Second},
		{endpointBudgets, 1, 8 * time.Second},
		{endpointBudgets, 4, 31 * time.Second},
		{[]Budget{{150, time.Minute}, {0, time.Hour}}, 1, 2 * time.Second},
		{[]Budget{{50, time.Minute}, {1500, time.Hour}}, 2, 16 * time.Second},
	} {
		if got := NewLimiter(time.Now, test.budgets...).Interval(test.units); got != test.want {
			t.Errorf("%v, %d units: %v, not %v", test.budgets, test.units, got, test.want)
		}
	}

	if (*Limiter)(nil).Interval(3) != 0 || !(*Limiter)(nil).Until().IsZero() ||
		(*Limiter)(nil).Wait(t.Context()) != nil {
		t.Error("no limiter is an open one")
	}
}

// TestALimiterHoldsForAnHourAtMost, and opens no earlier than the longest of several
// requests to wait.
func TestALimiterHoldsForAnHourAtMost(t *testing.T) {
	l, c := virtual()
	l.Hold(start.Add(30 * time.Second))
	l.Hold(start.Add(10 * time.Second))

	if got := l.Until(); !got.Equal(start.Add(30 * time.Second)) {
		t.Errorf("until %v", got)
	}

	var e *Error
	if err := l.Wait(t.Context()); !errors.As(err, &e) || e.RetryAfter != 30*time.Second || e.Budget ||
		e.RetryAfter == 0 {
		t.Errorf("a closed limiter: %v", err)
	}

	l.Hold(start.Add(1000 * time.Hour))
	c.Advance(time.Hour)

	if err := l.Wait(t.Context()); err != nil {
		t.Errorf("after an hour: %v", err)
	}
}

// TestThrottlingWithoutATimeHoldsLongerAndLonger, and not any more once an answer came.
func TestThrottlingWithoutATimeHoldsLongerAndLonger(t *testing.T) {
	l, c := virtual()
	most := firstHold

	for range 12 {
		l.refused(&Error{Status: http.StatusTooManyRequests})

		if held := l.Until().Sub(c.Now()); held < most/2 || held > most {
			t.Fatalf("held for %v, not up to %v", held, most)
		}

		c.Advance(longestHold)
		most = min(2*most, longestHold)
	}

	l.answered()
	l.refused(&Error{Status: http.StatusTooManyRequests})

	if held := l.Until().Sub(c.Now()); held > firstHold {
		t.Errorf("after an answer: held for %v", held)
	}

	l.answered()
	l.refused(&Error{Status: http.StatusBadGateway})
	c.Advance(firstHold)

	if l.Until().After(c.Now()) {
		t.Error("a fault of the service is no throttling")
	}
}

func TestTheTimeOfThrottlingIsCountedOnce(t *testing.T) {
	l, c := virtual()
	expect := func(want time.Duration) {
		t.Helper()

		if got := l.Throttled(); got != want {
			t.Errorf("throttled for %v, want %v", got, want)
		}
	}

	expect(0)
	l.Hold(c.Now().Add(-time.Minute)) // over already
	expect(0)
	l.Hold(c.Now().Add(10 * time.Second))
	expect(0) // none of it has passed
	c.Advance(4 * time.Second)
	expect(4 * time.Second)
	l.Hold(c.Now().Add(20 * time.Second)) // overlaps with the first
	l.Hold(c.Now().Add(time.Second))      // changes nothing
	c.Advance(time.Minute)
	expect(24 * time.Second)
	l.Hold(c.Now().Add(time.Second))
	c.Advance(time.Minute)
	expect(25 * time.Second)

	if (*Limiter)(nil).Throttled() != 0 {
		t.Error("no limiter throttles")
	}
}
