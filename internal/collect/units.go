package collect

import (
	"context"
	"slices"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// Add makes a unit part of the input. After Start it is polled at once, or as soon as a
// retired unit with the same key has everything committed.
func (in *Input) Add(cfg UnitConfig) *Unit {
	u := newUnit(in, cfg)

	in.mu.Lock()
	for _, old := range in.units {
		if old.cfg.Key == u.cfg.Key {
			u.predecessor = old.gone
		}
	}

	if in.ctx != nil { // before the committer sees it
		u.ctx, u.cancel = context.WithCancel(in.ctx)
	}

	u.turn = turnOf(in.added)
	in.added++
	in.units = append(in.units, u)
	in.places.follow(len(in.units))
	in.mu.Unlock()

	if in.ctx != nil {
		u.start(0)
	}

	return u
}

// Retire ends the polling of a unit. What it has queued is still delivered and committed;
// then gone, if not nil, is called.
func (in *Input) Retire(key alert.UnitKey, gone func()) {
	in.mu.Lock()
	for _, u := range in.units {
		if u.cfg.Key == key && u.cancel != nil && u.ctx.Err() == nil {
			u.onGone = gone
			u.cancel()
			u.status.update(func(s *store.Status) { s.State = health.Stopped })
		}
	}
	in.mu.Unlock()
	in.wakeCommitter()
}

// all returns the units of this moment.
func (in *Input) all() []*Unit {
	in.mu.Lock()
	defer in.mu.Unlock()

	return slices.Clone(in.units)
}

// removeRetired lets go of units that have retired and have everything committed.
func (in *Input) removeRetired() {
	in.mu.Lock()
	defer in.mu.Unlock()

	if in.ctx.Err() != nil {
		return
	}

	in.units = slices.DeleteFunc(in.units, func(u *Unit) bool {
		if !u.retired() || !u.allCommitted() {
			return false
		}

		if u.predecessor != nil && !closed(u.predecessor) {
			return false // the next unit with this key waits for this one only
		}

		u.progress.End()
		close(u.gone)

		if u.onGone != nil {
			u.onGone()
		}

		return true
	})
	in.places.follow(len(in.units))
}

// closed reports whether a channel that nobody sends to is closed.
func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// Statuses returns the status of every unit of the input at this moment.
func (in *Input) Statuses() map[alert.UnitKey]store.Status {
	units := in.all()

	list := make(map[alert.UnitKey]store.Status, len(units))
	for _, u := range units {
		list[u.cfg.Key] = u.snapshot()
	}

	return list
}

// Waiting returns the size in bytes of the encoded alerts that wait for Fluent Bit.
func (in *Input) Waiting() int { return in.outbox.Bytes() }
