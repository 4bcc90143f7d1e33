package defender

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// virtual makes a gate on a virtual clock that waits by moving it on.
func virtual(budgets ...Budget) (*Gate, *clock) {
	c := &clock{now: start}
	g := NewGate(c.Now, budgets...)
	g.sleep = c.Sleep
	return g, c
}

var endpointBudgets = []Budget{{100, time.Minute}, {1500, time.Hour}}

// TestBudgetsAreNeverExceeded: a caller in a hurry, and callers in bursts, stay below
// the published limits in every minute and hour.
func TestBudgetsAreNeverExceeded(t *testing.T) {
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
		g, c := virtual(endpointBudgets...)
		var calls []time.Time
		var longest time.Duration
		for i := 0; c.Now().Before(start.Add(5 * time.Hour)); i++ {
			c.Advance(idle(i))
			before := c.Now()
			for {
				err := g.Wait(t.Context())
				if err == nil {
					break
				}
				var e *Error
				if !errors.As(err, &e) || !e.Budget || e.Fate != TryAgain || e.RetryAfter <= shortWait {
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
	g, c := virtual(Budget{50, time.Minute}, Budget{1500, time.Hour})
	for range 24 * 60 {
		for range callsPerPoll {
			if left := g.due(c.Now()); left > 0 {
				t.Fatalf("waits %v", left)
			}
			if err := g.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		c.Advance(time.Minute)
	}
	if len(g.calls) > 200 {
		t.Errorf("%d calls are remembered", len(g.calls))
	}
}

// TestABudgetIsShared: several readers at the same moment get no more than one.
func TestABudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(time.Now, Budget{10, time.Minute})
		var mu sync.Mutex
		passed, refused := 0, 0
		for range 20 {
			go func() {
				err := g.Wait(t.Context())
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
		if err := g.Wait(t.Context()); err != nil || time.Since(began) != 4*time.Second {
			t.Errorf("a wait of seconds: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 8 {
			_ = g.Wait(ctx)
		}
		time.Sleep(57 * time.Second)
		if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that was told to stop: %v", err)
		}
	})
}

// TestInterval says how often feeds may poll that share a budget.
func TestInterval(t *testing.T) {
	for _, test := range []struct {
		budgets []Budget
		feeds   int
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
		if got := NewGate(time.Now, test.budgets...).Interval(test.feeds); got != test.want {
			t.Errorf("%v, %d feeds: %v, not %v", test.budgets, test.feeds, got, test.want)
		}
	}
	if (*Gate)(nil).Interval(3) != 0 || !(*Gate)(nil).Until().IsZero() || (*Gate)(nil).Wait(t.Context()) != nil {
		t.Error("no gate is an open one")
	}
}

// TestAGateHoldsForAnHourAtMost, and opens no earlier than the longest of several
// requests to wait.
func TestAGateHoldsForAnHourAtMost(t *testing.T) {
	g, c := virtual()
	g.Hold(start.Add(30 * time.Second))
	g.Hold(start.Add(10 * time.Second))
	if got := g.Until(); !got.Equal(start.Add(30 * time.Second)) {
		t.Errorf("until %v", got)
	}
	var e *Error
	if err := g.Wait(
		t.Context(),
	); !errors.As(err, &e) || e.RetryAfter != 30*time.Second || e.Budget ||
		!e.HasRetryAfter {
		t.Errorf("a closed gate: %v", err)
	}
	g.Hold(start.Add(1000 * time.Hour))
	c.Advance(time.Hour)
	if err := g.Wait(t.Context()); err != nil {
		t.Errorf("after an hour: %v", err)
	}
}

// TestThrottlingWithoutATimeHoldsLongerAndLonger, and not any more once an answer came.
func TestThrottlingWithoutATimeHoldsLongerAndLonger(t *testing.T) {
	g, c := virtual()
	most := firstHold
	for range 12 {
		g.refused(&Error{Status: http.StatusTooManyRequests})
		if held := g.Until().Sub(c.Now()); held < most/2 || held > most {
			t.Fatalf("held for %v, not up to %v", held, most)
		}
		c.Advance(longestHold)
		most = min(2*most, longestHold)
	}
	g.answered()
	g.refused(&Error{Status: http.StatusTooManyRequests})
	if held := g.Until().Sub(c.Now()); held > firstHold {
		t.Errorf("after an answer: held for %v", held)
	}
	g.answered()
	g.refused(&Error{Status: http.StatusBadGateway})
	c.Advance(firstHold)
	if g.Until().After(c.Now()) {
		t.Error("a fault of the service is no throttling")
	}
}
