package collect

import (
	"context"
	"fmt"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// reminder is how often a fault that lasts is said again.
const reminder = 15 * time.Minute

// judge notes how a poll ended, logs a change of state, and says when the next one is
// due.
func (t *Tenant) judge(ctx context.Context, started time.Time, err error) time.Time {
	v := verdictOf(err)
	if v.kind == postponed {
		level := Debug
		if !t.postponed {
			t.postponed, level = true, Info
		}

		t.in.log(
			level,
			t.cfg.Name,
			fmt.Sprintf(
				"there is more to read than the call budget of the API allows at a time; goes on in %v",
				v.retryAfter.Round(time.Second),
			),
		)
		t.health(ctx, false)

		return t.now().Add(v.retryAfter)
	}

	slow := t.wasSlow()
	if v.kind == fine {
		if alien := t.foreign(); alien != "" {
			v = verdict{
				kind:   fine,
				cause:  "alien",
				reason: "the API lists alerts of another tenant, " + string(alien),
				remedy: "check tenant_id and whose account signed in",
			}
		} else if unread, ok := t.unread(); ok {
			v = unread
		}

		changed := slow || t.verdict.kind != fine || t.verdict.cause != v.cause
		t.recovered(v, slow)
		t.failures, t.verdict, t.postponed = 0, v, false
		t.health(ctx, changed || !t.healthSaid)

		return started.Add(t.interval())
	}

	if t.progressed {
		t.failures = 0 // a poll that moved on starts the back-off anew
	}

	t.failures++
	changed := t.verdict.kind != v.kind || t.verdict.cause != v.cause
	t.verdict = v

	now := t.now()
	if changed || now.Sub(t.reminded) >= reminder {
		t.reminded = now
		t.in.log(levelOf(v), t.cfg.Name, describe(v))
	} else {
		t.in.log(Debug, t.cfg.Name, "still failing: "+v.reason)
	}

	t.update(func(s *store.Status) {
		if s.State != health.Failing {
			s.Since = now
		}

		s.Polls++
		s.Errors++
		s.State, s.Reason, s.Remedy = health.Failing, v.reason, v.remedy
	})
	t.health(ctx, changed || !t.healthSaid)

	due := now.Add(t.pause(v))
	if until := t.cfg.Limiter.Until(); until.After(due) {
		due = until
	}

	return due
}

// recovered notes a poll that was read to its end. slow says that it was reported as
// too slow.
func (t *Tenant) recovered(v verdict, slow bool) {
	now := t.now()
	if t.verdict.kind != fine || slow {
		t.in.log(Info, t.cfg.Name, "works again")
	}

	t.update(func(s *store.Status) {
		state := health.OK
		if v.cause != "" {
			state = health.Failing
		}

		if s.State != state {
			s.Since = now
		}

		s.Polls++
		s.State, s.Reason, s.Remedy, s.LastSuccess = state, v.reason, v.remedy, now
	})
}

// broken shows a tenant whose goroutine had a panic as failing.
func (t *Tenant) broken() {
	now := t.now()
	t.verdict = verdict{kind: transient, reason: "a fault in the plugin", remedy: "see the log, and report it"}
	t.update(func(s *store.Status) {
		if s.State != health.Failing {
			s.Since = now
		}

		s.Errors++
		s.State, s.Reason, s.Remedy = health.Failing, t.verdict.reason, t.verdict.remedy
	})
}

// foreign is another tenant whose alerts were listed in this pass, empty if there were
// none.
func (t *Tenant) foreign() alert.TenantID {
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.alien
}

// health emits a health record when one is due, or the state has just changed.
func (t *Tenant) health(ctx context.Context, changed bool) {
	if t.cfg.HealthInterval <= 0 {
		return
	}

	now := t.now()
	if t.healthAt.IsZero() { // the first is due after a poll, or when that takes long
		t.healthAt = now.Add(t.cfg.HealthInterval)
	}

	if !changed && now.Before(t.healthAt) {
		return
	}

	t.healthAt, t.healthSaid = now.Add(t.cfg.HealthInterval), true
	s := t.snapshot()

	event := t.cfg.Encoder.Health(nil, record.Health{
		State:       s.State,
		Reason:      s.Reason,
		Remedy:      s.Remedy,
		LastSuccess: s.LastSuccess,
		LagSeconds:  s.LagSeconds,
		At:          now,
	})
	if n, err := t.in.outbox.Add(ctx, t.stream, event, t.room); err == nil {
		t.added = n
	}
}

// snapshot is the tenant's status for the store.
func (t *Tenant) snapshot() store.Status {
	watermark, begun := t.progress.Watermark()
	if !begun { // a feed that is new is as far behind as it is old: lookback is no delay
		watermark += tick.FromDuration(t.cfg.Lookback)
	}

	t.mu.Lock()
	defer t.mu.Unlock()

	s := t.status
	s.UpdatedAt = t.now()
	s.LagSeconds = max(0, s.UpdatedAt.Sub(watermark.Time()).Seconds()) // by our clock alone
	t.in.showBlocked(&s)

	return s
}

// update changes the status.
func (t *Tenant) update(fn func(*store.Status)) {
	t.mu.Lock()
	defer t.mu.Unlock()

	fn(&t.status)
}
