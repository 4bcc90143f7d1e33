package collect

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"fluent-bit-defender/internal/store"
)

// Pauses after failures. A person who fixes something wants to see it work: while one is
// needed a poll is tried as often as an ordinary poll would come, within these bounds. A
// dead refresh token is not sent at all, so such a try costs no request.
const (
	firstProbe   = 30 * time.Second
	probe        = 50 * time.Second
	firstPause   = time.Second
	quickTries   = 3 // how many pauses have that length; from then on each is twice as long
	longestPause = 5 * time.Minute
	quickPause   = 45 * time.Second // unreachable: back within a minute of the cause being gone
)

// interval returns the time from one poll to the next: what is configured, or longer
// where the call budget allows less.
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
// its end: an interval later, or less, since each unit has a turn of its own in an
// interval. Units that began together, after a start or because an outage ended for all
// of them, are so spread over the interval again.
func (p *poller) nextTurn(started time.Time, interval time.Duration) time.Time {
	latest := started.Add(interval)
	first := p.in.began.Add(inStep(time.Duration(p.turn * float64(interval))))
	turn := latest.Add(-(latest.Sub(first) % interval))

	if turn.After(latest) || turn.Sub(started) < min(time.Second, interval/2) {
		return latest
	}

	return turn
}

// step is the distance of the moments at which polls are due. Polls of many units that
// begin in one moment wake the process once.
const step = 100 * time.Millisecond

// inStep returns the last such moment up to d after the start.
func inStep(d time.Duration) time.Duration { return d.Truncate(step) }

// turnOf returns the turn in an interval of the n-th unit of an input, from 0 to 1. By
// the golden ratio any number of units in a row are spread evenly, whoever comes and
// goes.
func turnOf(n int) float64 {
	_, turn := math.Modf(float64(n) * (math.Phi - 1))
	return turn
}

// pause returns how long to wait after a failure.
func (p *poller) pause(v verdict) time.Duration {
	switch {
	case v.asked:
		return min(v.retryAfter, time.Hour) + time.Duration(rand.Int64N(int64(time.Second)))
	case v.kind >= human && p.failures == 1:
		return firstProbe
	case v.kind >= human:
		return probe
	}

	longest := longestPause
	if v.quick {
		longest = quickPause
	}

	ceiling := min(firstPause<<min(max(0, p.failures-quickTries), 10), longest)

	return ceiling/2 + time.Duration(rand.Int64N(int64(ceiling/2)+1))
}

// changeCheck is how often a unit that waits for a person looks whether the cause of its
// failure has gone.
const changeCheck = 5 * time.Second

// toRest returns how long the unit rests until there is something to do; a poll is due if
// that is 0 or less. While the unit waits for a person it looks after each rest, every
// few seconds, whether something has changed that makes a poll worthwhile.
func (p *poller) toRest(ctx context.Context, rested bool) time.Duration {
	if p.alarm.woken() {
		return 0
	}

	p.emitHealth(ctx, false)

	waits := p.verdict.kind >= human
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
