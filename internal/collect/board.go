package collect

import (
	"sync"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// board holds the status of a unit. begin must be called first.
type board struct {
	now     func() time.Time
	mu      sync.Mutex
	masked  bool // a fault of the whole input is shown instead of the unit's own state
	shown   store.Status
	pace    pace
	foreign alert.TenantID // another tenant's id that was found in a row of this pass
}

// begin sets the status of a unit that was not polled yet.
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

// remember puts what is shown of the unit into its history. own is the unit's own status,
// shown may have a fault of the whole input in place of it.
func (b *board) remember(own, shown *store.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.shown.State != own.State || b.shown.Reason != own.Reason {
		return // the unit's own status has changed meanwhile, and is in the history
	}

	b.masked = shown.State != own.State || shown.Reason != own.Reason
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

// restore takes over what goes on from the status of an earlier run.
func (b *board) restore(before store.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.shown.LastSuccess, b.shown.LastAlert = before.LastSuccess, before.LastAlert
	b.shown.History = before.History
	b.shown.Hours = before.Hours
	b.shown.Note(b.now())
}

// setState sets the state, and if it is another one, since when it is so.
func setState(s *store.Status, state health.State, now time.Time) {
	if s.State != state {
		s.Since = now
	}

	s.State = state
}

// setForeign notes another tenant's id that was found in this pass; empty: none was.
func (b *board) setForeign(id alert.TenantID) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.foreign = id
}

// foreignTenant returns what setForeign noted last.
func (b *board) foreignTenant() alert.TenantID {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.foreign
}
