package collect

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Pauses after failures. A person who mends something wants to see it work: while
// waiting for one we probe as often as an ordinary poll would come, within these
// bounds. A dead refresh token is not sent at all, so its probe costs no request.
const (
	firstProbe   = 30 * time.Second
	probe        = 50 * time.Second
	firstPause   = time.Second
	quickTries   = 3 // so many pauses have that length, from then on each is twice as long
	longestPause = 5 * time.Minute
	quickPause   = 45 * time.Second // unreachable: back within a minute of the cause being gone
)

// interval is the time from one poll to the next: what is configured, or longer where
// the call budget allows less.
func (t *Tenant) interval() time.Duration {
	feeds := 1
	if t.cfg.Feeds != nil {
		feeds = t.cfg.Feeds()
	}

	effective := max(t.cfg.PollInterval, t.cfg.Limiter.Interval(feeds))
	t.mu.Lock()
	changed := t.status.EffectiveInterval != effective
	t.status.EffectiveInterval = effective
	t.mu.Unlock()

	switch {
	case changed && effective > t.cfg.PollInterval:
		shared := ""
		if feeds > 1 {
			shared = fmt.Sprintf(", shared by %d inputs of this application and tenant,", feeds)
		}

		t.in.log(
			Info,
			t.cfg.Name,
			fmt.Sprintf("polls every %v: the call budget of the API%s allows no more", effective, shared),
		)
	case changed:
		t.in.log(Info, t.cfg.Name, fmt.Sprintf("polls every %v again", effective))
	}

	return effective
}

// pause is how long to wait after a failure.
func (t *Tenant) pause(v verdict) time.Duration {
	switch {
	case v.asked:
		return min(v.retryAfter, time.Hour) + time.Duration(rand.Int64N(int64(time.Second)))
	case v.kind >= human && t.failures == 1:
		return firstProbe
	case v.kind >= human:
		return probe
	}

	longest := longestPause
	if v.quick {
		longest = quickPause
	}

	ceiling := min(firstPause<<min(max(0, t.failures-quickTries), 10), longest)

	return ceiling/2 + time.Duration(rand.Int64N(int64(ceiling/2)+1))
}

// sleep waits for d. It reports false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// changeCheck is how often a waiting tenant looks whether its cause of failure has gone.
const changeCheck = 5 * time.Second

// rest waits until the next poll is due. While it fails, it looks every few seconds
// whether something has changed that makes a try worthwhile.
func (t *Tenant) rest(ctx context.Context, until time.Time) bool {
	for {
		left := until.Sub(t.now())
		if left <= 0 {
			return ctx.Err() == nil
		}

		step := left
		if t.verdict.kind >= human {
			step = min(left, changeCheck)
		}

		if t.cfg.HealthInterval > 0 {
			step = min(step, max(0, t.healthAt.Sub(t.now())))
		}

		timer := time.NewTimer(step)
		select {
		case <-timer.C:
		case <-t.wake:
			timer.Stop()
			return ctx.Err() == nil
		case <-ctx.Done():
			timer.Stop()
			return false
		}

		t.health(ctx, false)

		if t.verdict.kind >= human && t.cfg.Changed != nil && t.cfg.Changed(ctx) {
			return true
		}
	}
}

// Wake makes the tenant poll now.
func (t *Tenant) Wake() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
