package defender

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Budget is how many requests a service allows in a span of time.
type Budget struct {
	// Calls is the published limit; the Gate keeps some of it back, for other programs
	// of the same application and for clocks that do not tick as one.
	Calls int
	// Per is the span that the limit is for: a minute, an hour.
	Per time.Duration
}

// usable is what we allow ourselves of a limit: 90 % of a short one, where a few calls
// more make the difference, 93 % of a long one.
func (b Budget) usable() int {
	share := 90
	if b.Per >= time.Hour {
		share = 93
	}

	return max(1, b.Calls*share/100)
}

// callsPerPoll is what a poll of a quiet tenant takes at most: a page, the same again
// from its last row on, and a look behind it.
const callsPerPoll = 3

const (
	// shortWait is how long a reader waits for its turn itself; longer waits are the
	// caller's, who has other tenants to poll.
	shortWait = 5 * time.Second
	// longWait is how long it waits where going away would mean to begin anew: in the
	// middle of pages that only count together.
	longWait = 65 * time.Second
	// maxHold bounds what a service's Retry-After can do to us: longer waits end in one
	// probe an hour.
	maxHold = time.Hour
	// Pauses for a service that throttles without saying for how long.
	firstHold   = 2 * time.Second
	longestHold = 5 * time.Minute
)

// Gate holds back the requests of everybody who shares a quota: one application, in one
// tenant, at one API. It keeps them within the published call budgets, and away while
// the service has asked to wait. It is used from any goroutine; a nil Gate is always
// open.
type Gate struct {
	now     func() time.Time
	sleep   func(context.Context, time.Duration)
	budgets []Budget // longest last

	mu        sync.Mutex
	not       time.Time
	throttled int         // refusals in a row that named no time
	calls     []time.Time // within the longest budget's span, oldest first
}

// NewGate makes an open gate that keeps within all budgets; those without calls or span
// count as none. now is the clock.
func NewGate(now func() time.Time, budgets ...Budget) *Gate {
	g := &Gate{now: now, sleep: pause}

	for _, b := range budgets {
		if b.Calls > 0 && b.Per > 0 {
			g.budgets = append(g.budgets, b)
		}
	}

	return g
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Hold closes the gate until t, for an hour at most. An earlier time than one already
// set changes nothing.
func (g *Gate) Hold(t time.Time) {
	if g == nil {
		return
	}

	g.mu.Lock()
	defer g.mu.Unlock()

	g.hold(t)
}

func (g *Gate) hold(t time.Time) {
	if limit := g.now().Add(maxHold); t.After(limit) {
		t = limit
	}

	if t.After(g.not) {
		g.not = t
	}
}

// refused closes the gate for as long as the service asked, or for longer and longer
// where it throttles without a word.
func (g *Gate) refused(e *Error) {
	if g == nil {
		return
	}

	g.mu.Lock()
	defer g.mu.Unlock()

	switch {
	case e.HasRetryAfter:
		g.hold(g.now().Add(e.RetryAfter))
	case e.Status == 429:
		most := min(firstHold<<min(g.throttled, 20), longestHold)
		g.throttled++
		g.hold(g.now().Add(most/2 + rand.N(most/2)))
	}
}

// answered notes that the service does not throttle.
func (g *Gate) answered() {
	if g == nil {
		return
	}

	g.mu.Lock()
	defer g.mu.Unlock()

	g.throttled = 0
}

// Until tells when the gate opens; a time that has passed means that it is open.
// Budgets do not count here.
func (g *Gate) Until() time.Time {
	if g == nil {
		return time.Time{}
	}

	g.mu.Lock()
	defer g.mu.Unlock()

	return g.not
}

// Interval is the shortest time between two polls of a feed when so many feeds share
// the gate; 0 where there is no budget.
func (g *Gate) Interval(feeds int) time.Duration {
	if g == nil {
		return 0
	}

	var longest time.Duration

	for _, b := range g.budgets {
		each := b.Per * time.Duration(max(1, feeds)*callsPerPoll) / time.Duration(b.usable())
		longest = max(longest, (each + time.Second - 1).Truncate(time.Second))
	}

	return longest
}

// Wait takes a place in the budgets, for one request. It waits itself if that is a
// matter of seconds; else, and while the service has asked to wait, it fails with an
// *Error that says when to come back, rather than hold a place in the queue of tenants.
func (g *Gate) Wait(ctx context.Context) error { return g.wait(ctx, shortWait) }

func (g *Gate) wait(ctx context.Context, waitMax time.Duration) error {
	if g == nil {
		return ctx.Err()
	}

	for {
		if err := ctx.Err(); err != nil {
			return err
		}

		g.mu.Lock()

		now := g.now()
		if left := g.not.Sub(now); left > 0 {
			g.mu.Unlock()

			return &Error{
				Op:            "waiting",
				Fate:          TryAgain,
				Problem:       "the service asked to wait",
				RetryAfter:    left,
				HasRetryAfter: true,
			}
		}

		left := g.due(now)
		if left <= 0 {
			if len(g.budgets) > 0 {
				g.calls = append(g.calls, now)
			}
			g.mu.Unlock()

			return nil
		}
		g.mu.Unlock()

		if left > waitMax {
			return &Error{
				Op:            "waiting",
				Fate:          TryAgain,
				Budget:        true,
				RetryAfter:    left,
				HasRetryAfter: true,
				Problem:       "the call budget of this API is used up for the moment",
			}
		}

		g.sleep(ctx, left)
	}
}

// due tells how long to wait before the next call. Two rules for each budget: never
// more calls in a span than it allows; and when half of them are used, spread the rest
// over the time until the first ones fall out, so that a backlog slows down instead of
// shutting out new alerts for the better part of an hour.
func (g *Gate) due(now time.Time) time.Duration {
	longest := time.Duration(0)
	for _, b := range g.budgets {
		longest = max(longest, b.Per)
	}

	for len(g.calls) > 0 && now.Sub(g.calls[0]) >= longest {
		g.calls = g.calls[1:]
	}

	var wait time.Duration

	for _, b := range g.budgets {
		first := len(g.calls)
		for first > 0 && now.Sub(g.calls[first-1]) < b.Per {
			first--
		}

		used, limit := len(g.calls)-first, b.usable()
		if used == 0 {
			continue
		}

		frees := b.Per - now.Sub(g.calls[first])
		switch {
		case used >= limit:
			wait = max(wait, b.Per-now.Sub(g.calls[len(g.calls)-limit]))
		case used >= limit/2 && b.Per >= time.Hour:
			gap := frees / time.Duration(limit-used)
			wait = max(wait, gap-now.Sub(g.calls[len(g.calls)-1]))
		}
	}

	return wait
}
