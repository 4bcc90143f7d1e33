package defender

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/pause"
)

// Budget is how many requests a service allows in a span of time.
type Budget struct {
	// Calls is the published limit. The Limiter keeps some of it back: other programs of
	// the same application may call, and two clocks never agree exactly.
	Calls int
	// Per is the span that the limit is for: a minute, an hour.
	Per time.Duration
}

// usable returns how many calls of the limit we use: 90 % of a limit per minute, where a
// few calls more make a difference, and 93 % of one per hour.
func (b Budget) usable() int {
	share := 90
	if b.Per >= time.Hour {
		share = 93
	}

	return max(1, b.Calls*share/100)
}

// callsPerPoll is how many requests a poll of a quiet tenant sends at most: one for a
// page, one from its last row on, and one for what follows that.
const callsPerPoll = 3

const (
	// shortWait is how long a reader itself waits for the call budget. If it would have
	// to wait longer, it returns an error, and the caller can poll other tenants.
	shortWait = 5 * time.Second
	// longWait is how long a reader waits in the middle of pages that it would have to
	// read again from the first one.
	longWait = 65 * time.Second
	// maxHold bounds how long a Retry-After is obeyed: a service that asks for more gets
	// one request an hour.
	maxHold = time.Hour
	// firstHold and longestHold bound the pauses for a service that throttles without
	// saying for how long.
	firstHold   = 2 * time.Second
	longestHold = 5 * time.Minute
)

// Limiter holds back the requests of all readers that share a quota: those of one
// application, in one tenant, at one API. It keeps them within the published call
// budgets, and lets none through while the service has asked to wait.
//
// It may be used from any goroutine. A nil Limiter lets everything through.
type Limiter struct {
	now     func() time.Time
	sleep   func(context.Context, time.Duration) error
	budgets []Budget // longest last

	mu        sync.Mutex
	notBefore time.Time     // the service has asked to wait until then
	held      time.Duration // sum of the times that the service has asked to wait, up to notBefore
	throttled int           // throttling answers in a row that named no time
	calls     []time.Time   // within the longest budget's span, oldest first
}

// NewLimiter returns a limiter that keeps within all budgets. A budget without calls or
// span counts as none. now is the clock.
func NewLimiter(now func() time.Time, budgets ...Budget) *Limiter {
	l := &Limiter{now: now, sleep: pause.For}

	for _, b := range budgets {
		if b.Calls > 0 && b.Per > 0 {
			l.budgets = append(l.budgets, b)
		}
	}

	return l
}

// Hold lets no request through until t, for an hour at most. A time earlier than one
// already set changes nothing.
func (l *Limiter) Hold(t time.Time) {
	if l == nil {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	l.hold(t)
}

// hold is Hold for callers that hold mu.
func (l *Limiter) hold(t time.Time) {
	if limit := l.now().Add(maxHold); t.After(limit) {
		t = limit
	}

	from := l.notBefore
	if now := l.now(); now.After(from) {
		from = now
	}

	if t.After(from) {
		l.held += t.Sub(from)
		l.notBefore = t
	}
}

// Throttled returns how long the service has asked to wait, all together, up to now.
func (l *Limiter) Throttled() time.Duration {
	if l == nil {
		return 0
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	return max(0, l.held-max(0, l.notBefore.Sub(l.now())))
}

// refused notes a refusal. It holds requests back for as long as the service asked, or
// for longer and longer where the service throttles without naming a time.
func (l *Limiter) refused(e *Error) {
	if l == nil {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	switch {
	case e.RetryAfter > 0:
		l.hold(l.now().Add(e.RetryAfter))
	case e.Status == http.StatusTooManyRequests:
		most := min(firstHold<<min(l.throttled, 20), longestHold)
		l.throttled++
		l.hold(l.now().Add(most/2 + rand.N(most/2)))
	}
}

// answered notes that the service does not throttle.
func (l *Limiter) answered() {
	if l == nil {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	l.throttled = 0
}

// Until returns the time until which the service has asked to wait. A time that has
// passed means that requests may be sent. Budgets do not count here.
func (l *Limiter) Until() time.Time {
	if l == nil {
		return time.Time{}
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	return l.notBefore
}

// Interval returns the shortest time between two polls of a unit if this many units share
// the limiter. It returns 0 if there is no budget.
func (l *Limiter) Interval(units int) time.Duration {
	if l == nil {
		return 0
	}

	var longest time.Duration

	for _, b := range l.budgets {
		each := b.Per * time.Duration(max(1, units)*callsPerPoll) / time.Duration(b.usable())
		longest = max(longest, (each + time.Second - 1).Truncate(time.Second))
	}

	return longest
}

// Wait takes one call from the budgets, for one request. It waits for a few seconds at
// most. If it would have to wait longer, and while the service has asked to wait, it
// returns an *Error with the time to wait: the caller can poll another tenant meanwhile.
func (l *Limiter) Wait(ctx context.Context) error { return l.wait(ctx, shortWait) }

// wait is Wait that waits for waitMax at most.
func (l *Limiter) wait(ctx context.Context, waitMax time.Duration) error {
	if l == nil {
		return ctx.Err()
	}

	for {
		if err := ctx.Err(); err != nil {
			return err
		}

		left, err := l.take()
		if err != nil || left <= 0 {
			return err
		}

		if left > waitMax {
			return &Error{
				Fault: advice.Fault{
					Reason:     advice.Budget,
					Fate:       advice.TryAgain,
					RetryAfter: left,
					Problem:    "the call budget of this API is used up for the moment",
				},
				Op:     "waiting",
				Budget: true,
			}
		}

		if err := l.sleep(ctx, left); err != nil {
			return err
		}
	}
}

// take takes one call from the budgets. It returns how long to wait before it can be
// taken, 0 when it was; and an *Error while the service has asked to wait.
func (l *Limiter) take() (left time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	now := l.now()
	if left := l.notBefore.Sub(now); left > 0 {
		return 0, &Error{
			Fault: advice.Fault{
				Reason:     advice.Throttled,
				Fate:       advice.TryAgain,
				Problem:    "the service asked to wait",
				RetryAfter: left,
			},
			Op: "waiting",
		}
	}

	left = l.due(now)
	if left <= 0 && len(l.budgets) > 0 {
		l.calls = append(l.calls, now)
	}

	return max(0, left), nil
}

// due returns how long to wait before the next call. There are two rules for each
// budget: never more calls in a span than it allows; and once half of them are used,
// spread the rest over the time until the first ones leave the span, so that a backlog
// slows down and does not shut out new alerts for most of an hour. The caller holds mu.
func (l *Limiter) due(now time.Time) time.Duration {
	longest := time.Duration(0)
	for _, b := range l.budgets {
		longest = max(longest, b.Per)
	}

	for len(l.calls) > 0 && now.Sub(l.calls[0]) >= longest {
		l.calls = l.calls[1:]
	}

	var wait time.Duration

	for _, b := range l.budgets {
		first := len(l.calls)
		for first > 0 && now.Sub(l.calls[first-1]) < b.Per {
			first--
		}

		used, limit := len(l.calls)-first, b.usable()
		if used == 0 {
			continue
		}

		frees := b.Per - now.Sub(l.calls[first])
		switch {
		case used >= limit:
			wait = max(wait, b.Per-now.Sub(l.calls[len(l.calls)-limit]))
		case used >= limit/2 && b.Per >= time.Hour:
			gap := frees / time.Duration(limit-used)
			wait = max(wait, gap-now.Sub(l.calls[len(l.calls)-1]))
		}
	}

	return wait
}
