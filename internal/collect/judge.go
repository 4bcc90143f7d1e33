package collect

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// judge notes how a poll ended, logs a change of state, and returns when the next poll is
// due.
func (p *poller) judge(ctx context.Context, started time.Time, err error) time.Time {
	v := verdictOf(err)

	switch v.kind {
	case postponed:
		return p.pollPostponed(ctx, v)
	case fine:
		p.pollEnded(ctx)
		return p.nextTurn(started, p.interval())
	}

	return p.pollFailed(ctx, v)
}

// pollPostponed notes a poll that ended because the call budget is used up. That is
// logged once until a poll reads to its end. A unit that was failing shows this instead
// of its last failure, which is over.
func (p *poller) pollPostponed(ctx context.Context, v verdict) time.Time {
	p.log.Log(ctx, p.overBudget.level(p.now(), slog.LevelInfo), fmt.Sprintf(
		"there is more to read than the call budget of the API allows at a time; goes on in %v",
		v.retryAfter.Round(time.Second)))
	p.status.update(func(s *store.Status) {
		if s.State != health.OK {
			s.Trouble = budgetUsedUp
		}
	})
	p.emitHealth(ctx, false)

	return p.now().Add(v.retryAfter)
}

// budgetUsedUp is what a unit shows while it waits for the call budget.
var budgetUsedUp = health.Trouble{
	Reason:  advice.Budget,
	Message: "there is more to read than the call budget of the API allows at a time",
	Remedy:  "nothing, reading goes on by itself; if it lasts, narrow `filter` or poll less often",
}

// endedVerdict returns the verdict on a poll that was read to its end. Its cause is empty
// unless something is wrong all the same.
func (p *poller) endedVerdict() verdict {
	if foreign := p.status.foreignTenant(); foreign != "" {
		return verdict{
			kind:  fine,
			cause: "foreign",
			trouble: health.Trouble{
				Reason:  advice.CredentialWrong,
				Message: "the API lists alerts of another tenant, " + string(foreign),
				Remedy:  "check tenant_id and whose account signed in",
			},
		}
	}

	if unread, found := p.unreadVerdict(); found {
		return unread
	}

	if trouble := p.cfg.relationship().Trouble; trouble.Reason != "" {
		return verdict{
			kind:    fine,
			cause:   "relationship " + string(trouble.Reason),
			trouble: trouble,
		}
	}

	return verdict{kind: fine}
}

// pollEnded notes a poll that was read to its end.
func (p *poller) pollEnded(ctx context.Context) {
	v := p.endedVerdict()

	slow := p.status.wasSlow()
	ownFault := p.failure.over()

	if slow || ownFault || p.verdict.kind != fine && !p.verdict.ofStore() {
		p.log.Info("works again")
	}

	p.storeFaultOver()

	state := health.OK
	if v.cause != "" {
		state = health.Failing
	}

	if !p.firstPollLogged {
		p.firstPollLogged = true
		p.in.firstPolls.polled(ctx, p.Unit, p.alerts)
	}

	now := p.now()
	p.status.update(func(s *store.Status) {
		setState(s, state, now)

		s.Polls++
		s.Trouble, s.LastSuccess = v.trouble, now
	})

	changed := slow || p.verdict.kind != fine || p.verdict.cause != v.cause
	p.failures, p.verdict = 0, v
	p.overBudget.over()
	p.emitHealth(ctx, changed || !p.health.emitted)
}

// pollFailed notes a poll that failed.
func (p *poller) pollFailed(ctx context.Context, v verdict) time.Time {
	p.status.wasSlow() // forget it: the next poll is a new one

	if p.movedFurther {
		p.failures = 0 // after a poll that moved on, the pauses begin with the first again
	}

	p.failures++

	changed := p.verdict.kind != v.kind || p.verdict.cause != v.cause
	if changed && !v.ofStore() { // the tenant's own fault is not over because the store fails too
		p.failure.over()
	}

	p.verdict = v

	if !v.ofStore() {
		p.storeFaultOver()
	}

	now := p.now()
	p.logFailed(ctx, v, now)
	p.cfg.Counters.Failed(v.trouble.Reason)
	p.status.fail(v.trouble, now, func(s *store.Status) {
		s.Polls++
		s.Errors++
	})
	p.emitHealth(ctx, changed || !p.health.emitted)

	due := now.Add(p.pauseAfter(v))
	if until := p.cfg.Limiter.Until(); until.After(due) {
		due = until
	}

	return due
}
