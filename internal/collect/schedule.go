package collect

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"fluent-bit-defender/internal/store"
)

// Pauses after failures.
const (
	// While a person has to fix something, a poll is tried after firstProbe and then
	// every probe, so that the person soon sees whether the fix works. A dead refresh
	// token is not sent at all, so such a try costs no request.
	firstProbe = 30 * time.Second
	probe      = 50 * time.Second
	// Otherwise the first quickTries pauses have the length firstPause, and each later
	// one is twice as long as the one before, up to longestPause. If nothing could be
	// reached, it is quickPause instead: the unit works again within a minute.
	firstPause   = time.Second
	quickTries   = 3
	longestPause = 5 * time.Minute
	quickPause   = 45 * time.Second
)

// interval returns the time from one poll to the next: the configured one, or a longer
// one if the call budget does not allow that. It logs a change.
func (p *poller) interval() time.Duration {
	sharers := 1
	if p.cfg.SharedBy != nil {
		sharers = p.cfg.SharedBy()
	}

	effective := max(p.cfg.PollInterval, p.cfg.Limiter.Interval(sharers))
	changed := false

	p.status.update(func(s *store.Status) {
		changed = s.EffectiveInterval != effective
		s.EffectiveInterval = effective
	})

	switch {
	case changed && effective > p.cfg.PollInterval:
		shared := ""
		if sharers > 1 {
			shared = fmt.Sprintf(", shared by %d inputs of this application and tenant,", sharers)
		}

		p.log.Info(fmt.Sprintf("polls every %v: the call budget of the API%s allows no more", effective, shared))
	case changed:
		p.log.Info(fmt.Sprintf("polls every %v again", effective))
	}

	return effective
}

// nextTurn returns when a poll is due after one that began at started and was read to
// its end: an interval later, or less, since each unit has its own moment in an interval.
// This spreads units that began together over the interval again, after a start or an
// outage of all.
func (p *poller) nextTurn(started time.Time, interval time.Duration) time.Time {
	latest := started.Add(interval)
	first := p.in.began.Add(inStep(time.Duration(p.turn * float64(interval))))
	turn := latest.Add(-(latest.Sub(first) % interval))

	if turn.After(latest) || turn.Sub(started) < min(time.Second, interval/2) {
		return latest
	}

	return turn
}

// step is the time between the moments at which polls may be due. Polls of several units
// that are due at the same moment wake the process once.
const step = 100 * time.Millisecond

// inStep rounds d down to such a moment.
func inStep(d time.Duration) time.Duration { return d.Truncate(step) }

// turnOf returns the moment in an interval, from 0 to 1, at which the n-th unit of an
// input is polled. Multiples of the golden ratio spread any number of consecutive units
// evenly, even if units are added and removed.
func turnOf(n int) float64 {
	_, turn := math.Modf(float64(n) * (math.Phi - 1))
	return turn
}

// pauseAfter returns how long to wait after a failure with this verdict.
func (p *poller) pauseAfter(v verdict) time.Duration {
	switch {
	case v.asked:
		return min(v.retryAfter, time.Hour) + time.Duration(rand.Int64N(int64(time.Second)))
	case v.kind.needsPerson() && p.failures == 1:
		return firstProbe
	case v.kind.needsPerson():
		return probe
	}

	longest := longestPause
	if v.quick {
		longest = quickPause
	}

	ceiling := min(firstPause<<min(max(0, p.failures-quickTries), 10), longest)

	return ceiling/2 + time.Duration(rand.Int64N(int64(ceiling/2)+1))
}

// changeCheck is the time between two looks of a unit that waits for a person whether the
// cause of its failure may be gone.
const changeCheck = 5 * time.Second

// toRest returns how long the unit rests until there is something to do. If that is 0 or
// less, a poll is due. rested says that the unit has just rested. While it waits for a
// person it then looks whether something has changed that makes a poll worthwhile.
func (p *poller) toRest(ctx context.Context, rested bool) time.Duration {
	if p.alarm.woken() {
		return 0
	}

	p.emitHealth(ctx, false)

	waits := p.verdict.kind.needsPerson()
	if rested && waits && p.cfg.Changed != nil && p.cfg.Changed(ctx) {
		return 0
	}

	now := p.now()
	rest := p.due.Sub(now)

	if waits {
		rest = min(rest, changeCheck)
	}

	if p.cfg.HealthInterval > 0 {
		rest = min(rest, p.health.due.Sub(now))
	}

	return rest
}
