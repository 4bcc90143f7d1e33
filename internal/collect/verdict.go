package collect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// verdict is what a poll's error means for the tenant.
type verdict struct {
	kind kind
	// reason and remedy are one line each, for the log, the status and health records.
	reason, remedy string
	// cause tells one fault from another: a new one is a change of state. Transient faults are all one.
	cause string
	// retryAfter is what the service asked for, if it did.
	retryAfter time.Duration
	asked      bool
	// quick says that nobody throttles us: nothing was reached.
	quick bool
}

type kind int

const (
	fine      kind = iota
	postponed      // nothing failed: the call budget is used up
	transient
	human // from here on somebody has to do something
	signIn
)

// Pauses after failures. A person who mends something wants to see it work: while waiting for one we probe as often as an ordinary poll
// would come, within these bounds. A dead refresh token is not sent at all, so its probe costs no request.
const (
	firstProbe   = 30 * time.Second
	probe        = 50 * time.Second
	firstPause   = time.Second
	longestPause = 5 * time.Minute
	quickPause   = 45 * time.Second // unreachable: back within a minute of the cause being gone
	reminder     = 15 * time.Minute
)

// verdictOf classifies an error: design.md 17.
func verdictOf(err error) verdict {
	var api *defender.Error
	var auth *tokens.Error
	switch {
	case err == nil:
		return verdict{}
	case errors.As(err, &auth):
		return signInVerdict(auth)
	case errors.As(err, &api):
		v := verdict{kind: transient, reason: api.Error(), remedy: api.Remedy, retryAfter: api.RetryAfter, asked: api.HasRetryAfter, quick: api.Unreachable}
		if api.Budget {
			v.kind = postponed
		}
		if api.Fate != defender.TryAgain {
			v.kind, v.cause = human, fmt.Sprintf("api %d %s", api.Status, api.Code)
		}
		return v
	}
	return verdict{kind: transient, reason: err.Error()}
}

// judge notes how a poll ended, logs a change of state, and says when the next one is due.
func (t *Tenant) judge(ctx context.Context, started time.Time, err error) time.Time {
	v := verdictOf(err)
	if v.kind == postponed {
		t.in.log(Debug, t.cfg.Name, fmt.Sprintf("the call budget is used up; goes on in %v", v.retryAfter.Round(time.Second)))
		return t.now().Add(v.retryAfter)
	}
	if v.kind == fine {
		if alien := t.foreign(); alien != "" {
			v = verdict{kind: fine, cause: "alien", reason: "the API lists alerts of another tenant, " + alien, remedy: "check tenant_id and whose account signed in"}
		}
		changed := t.verdict.kind != fine || t.verdict.cause != v.cause
		t.recovered(v)
		t.failures, t.verdict = 0, v
		t.health(ctx, changed)
		return started.Add(t.interval())
	}
	t.failures++
	changed := t.verdict.kind != v.kind || t.verdict.cause != v.cause
	t.verdict = v
	now := t.now()
	if changed || now.Sub(t.reminded) >= reminder {
		t.reminded = now
		t.in.log(levelOf(v, changed), t.cfg.Name, describe(v))
	} else {
		t.in.log(Debug, t.cfg.Name, "still failing: "+v.reason)
	}
	t.update(func(s *store.Status) {
		if s.State != "failing" {
			s.Since = now
		}
		s.Polls++
		s.Errors++
		s.State, s.Reason, s.Remedy = "failing", v.reason, v.remedy
	})
	t.health(ctx, changed)
	due := now.Add(t.pause(v))
	if until := t.cfg.Gate.Until(); until.After(due) {
		due = until
	}
	return due
}

// interval is the time from one poll to the next: what is configured, or longer where the call budget allows less.
func (t *Tenant) interval() time.Duration {
	feeds := 1
	if t.cfg.Feeds != nil {
		feeds = t.cfg.Feeds()
	}
	effective := max(t.cfg.PollInterval, t.cfg.Gate.Interval(feeds))
	t.mu.Lock()
	changed := t.status.EffectiveInterval != effective
	t.status.EffectiveInterval = effective
	t.mu.Unlock()
	switch {
	case changed && effective > t.cfg.PollInterval:
		t.in.log(Info, t.cfg.Name, fmt.Sprintf("polls every %v: the call budget of the API, shared by %d inputs of this application and tenant, allows no more", effective, feeds))
	case changed:
		t.in.log(Info, t.cfg.Name, fmt.Sprintf("polls every %v again", effective))
	}
	return effective
}

// broken shows a tenant whose goroutine had a panic as failing.
func (t *Tenant) broken() {
	now := t.now()
	t.verdict = verdict{kind: transient, reason: "a fault in the plugin", remedy: "see the log, and report it"}
	t.update(func(s *store.Status) {
		if s.State != "failing" {
			s.Since = now
		}
		s.Errors++
		s.State, s.Reason, s.Remedy = "failing", t.verdict.reason, t.verdict.remedy
	})
}

func (t *Tenant) foreign() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.alien
}

// recovered notes a poll that was read to its end.
func (t *Tenant) recovered(v verdict) {
	now := t.now()
	if t.verdict.kind != fine {
		t.in.log(Info, t.cfg.Name, "works again")
	}
	t.update(func(s *store.Status) {
		state := "ok"
		if v.cause != "" {
			state = "failing"
		}
		if s.State != state {
			s.Since = now
		}
		s.Polls++
		s.State, s.Reason, s.Remedy, s.LastSuccess = state, v.reason, v.remedy, now
	})
}

// levelOf: a person is needed for errors only.
func levelOf(v verdict, changed bool) Level {
	if v.kind >= human {
		return Error
	}
	return Warn
}

func describe(v verdict) string {
	if v.kind == transient {
		return v.reason + "; will try again by itself"
	}
	return v.reason
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
	ceiling := min(firstPause<<min(t.failures-1, 10), longest)
	return ceiling/2 + time.Duration(rand.Int64N(int64(ceiling/2)+1))
}

// health emits a health record when one is due, or the state has just changed.
func (t *Tenant) health(ctx context.Context, changed bool) {
	now := t.now()
	if t.cfg.HealthInterval <= 0 || (!changed && now.Before(t.healthAt)) {
		return
	}
	t.healthAt = now.Add(t.cfg.HealthInterval)
	s := t.snapshot()
	event := t.cfg.Encoder.Health(nil, record.Health{OK: s.State == "ok", Reason: s.Reason, Remedy: s.Remedy,
		LastSuccess: s.LastSuccess, LagSeconds: s.LagSeconds, At: now})
	if n, err := t.in.outbox.Add(ctx, t.feed.lane, event, nil); err == nil {
		t.added = n
	}
}

// signInVerdict is the verdict on a sign-in that failed. A new code is a new cause: the remedy is another one.
func signInVerdict(e *tokens.Error) verdict {
	v := verdict{kind: human, reason: e.Error(), remedy: e.Remedy, retryAfter: e.RetryAfter, asked: e.RetryAfter > 0}
	switch e.Fate {
	case tokens.Transient:
		v.kind, v.quick = transient, e.Status == 0
		return v
	case tokens.NeedsSignIn:
		v.kind = signIn
	}
	v.cause = fmt.Sprintf("sign-in %d %s", e.Code, e.OAuth)
	return v
}
