package collect

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// board holds what is shown of a unit. It is not usable before begin.
type board struct {
	now     func() time.Time
	mu      sync.Mutex
	masked  bool // snapshot shows something else than shown has
	shown   store.Status
	pace    pace
	foreign alert.TenantID // another tenant's id that was found in a row of this pass
}

// begin shows a unit that was not polled yet.
func (b *board) begin(cfg UnitConfig, clock func() time.Time) {
	now := clock()
	b.now = clock
	b.shown = store.Status{
		TenantName:        cfg.Name,
		ClientID:          cfg.ClientID,
		HomeTenantID:      cfg.HomeTenantID,
		State:             health.Starting,
		Since:             now,
		EffectiveInterval: cfg.PollInterval,
	}
	b.shown.Note(now)
}

// update changes the status.
func (b *board) update(change func(*store.Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()

	change(&b.shown)

	if !b.masked || !b.shown.State.Good() {
		b.shown.Note(b.now())
	}
}

// remember puts what is shown of the unit into its history, where something that all
// units have in common stands in place of its own state: before is that own state.
func (b *board) remember(before, shown *store.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.shown.State != before.State || b.shown.Reason != before.Reason {
		return // it has changed meanwhile, which is news enough
	}

	b.masked = shown.State != before.State || shown.Reason != before.Reason
	shown.History = b.shown.History
	shown.Note(b.now())
	b.shown.History = shown.History
}

// get returns the status.
func (b *board) get() store.Status {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.shown
}

// fail shows a unit as failing. more, if not nil, changes the status further.
func (b *board) fail(trouble health.Trouble, now time.Time, more func(*store.Status)) {
	b.update(func(s *store.Status) {
		setState(s, health.Failing, now)
		s.Trouble = trouble

		if more != nil {
			more(s)
		}
	})
}

// recall goes on with what an earlier run showed.
func (b *board) recall(before store.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.shown.LastSuccess, b.shown.LastAlert = before.LastSuccess, before.LastAlert
	b.shown.History = before.History
	b.shown.Hours = before.Hours
	b.shown.Note(b.now())
}

// setState changes the state, and since when it is so.
func setState(s *store.Status, state health.State, now time.Time) {
	if s.State != state {
		s.Since = now
	}

	s.State = state
}

// setForeign notes another tenant's id, empty for none.
func (b *board) setForeign(id alert.TenantID) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.foreign = id
}

// foreignTenant returns another tenant's id that was found in this pass, empty for none.
func (b *board) foreignTenant() alert.TenantID {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.foreign
}

// snapshot returns what is to be shown of the unit at this moment.
func (u *Unit) snapshot() store.Status {
	watermark, moved := u.progress.Watermark()
	if !moved { // a new unit is as far behind as it is old: the lookback is no delay
		watermark += tick.FromDuration(u.cfg.Lookback)
	}

	s := u.status.get()
	own := s
	s.UpdatedAt = u.now()
	// By our clock alone, unless that is wrong.
	s.LagSeconds = max(0, u.cfg.Skew.corrected(s.UpdatedAt).Sub(watermark.Time()).Seconds())
	s.RelationshipEnd = u.cfg.relationship().Ends
	u.in.showBlocked(&s)
	u.in.showStoreFault(&s)

	s.Run = u.in.name
	s.Notice = u.in.notice.Load()
	u.status.remember(&own, &s)

	return s
}

// markSeed makes the marks of statuses.
var markSeed = maphash.MakeSeed()

// markOf returns a number that another status of the unit has too only if nothing but the
// time differs.
func (u *Unit) markOf(s *store.Status) uint64 {
	watermark, _ := u.progress.Watermark()

	notice := health.Trouble{}
	if s.Notice != nil {
		notice = *s.Notice
	}

	return maphash.Comparable(markSeed, struct {
		watermark                          tick.Tick
		state                              health.State
		trouble, notice                    health.Trouble
		since, success, alert, relationEnd time.Time
		emitted, repeats, polls, errors    uint64
		deferred                           int
		interval                           time.Duration
	}{
		watermark:   watermark,
		state:       s.State,
		trouble:     s.Trouble,
		notice:      notice,
		since:       s.Since,
		success:     s.LastSuccess,
		alert:       s.LastAlert,
		relationEnd: s.RelationshipEnd,
		emitted:     s.Emitted,
		repeats:     s.Repeats,
		polls:       s.Polls,
		errors:      s.Errors,
		deferred:    s.Deferred,
		interval:    s.EffectiveInterval,
	})
}

// healthRecords emits the health records of a unit. It belongs to the poller.
type healthRecords struct {
	due     time.Time // when the next record is due; zero at the beginning
	emitted bool      // there was one
}

// emitHealth emits a health record if one is due, or at once if the state has changed.
func (p *poller) emitHealth(ctx context.Context, changed bool) {
	if p.cfg.HealthInterval <= 0 {
		return
	}

	now := p.now()
	h := &p.health

	if h.due.IsZero() { // the first is due after a poll, or when that takes long
		h.due = now.Add(p.cfg.HealthInterval)
	}

	if !changed && now.Before(h.due) {
		return
	}

	h.due, h.emitted = now.Add(p.cfg.HealthInterval), true
	s := p.snapshot()

	event := p.cfg.Encoder.Health(nil, record.Health{
		State:           s.State,
		Trouble:         s.Trouble,
		LastSuccess:     s.LastSuccess,
		LagSeconds:      s.LagSeconds,
		RelationshipEnd: s.RelationshipEnd,
		At:              now,
	})
	if n, err := p.in.outbox.Add(ctx, p.stream, event, p.waitForRoom); err == nil {
		p.queued = n
	}
}
