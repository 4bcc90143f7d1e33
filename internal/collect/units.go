package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
)

// Add adds a unit to the input. After Start it is polled at once. If a unit with the same
// key was retired, it is polled as soon as everything of that one is committed.
func (in *Input) Add(cfg UnitConfig) *Unit {
	u := newUnit(in, cfg)

	in.mu.Lock()
	for _, old := range in.units {
		if old.cfg.Key == u.cfg.Key {
			u.predecessor = old.whenGone()
		}
	}

	if in.ctx != nil { // before the committer sees it
		u.makeContext()
	}

	u.turn = turnOf(in.added)
	in.added++
	in.units = append(in.units, u)
	in.places.adaptTo(len(in.units))
	in.mu.Unlock()

	if in.ctx != nil {
		u.start(0)
	}

	return u
}

// Retire ends the polling of a unit. What the unit has queued is still delivered and
// committed. Then gone is called, if it is not nil.
func (in *Input) Retire(key alert.UnitKey, gone func()) {
	in.mu.Lock()
	for _, u := range in.units {
		if u.cfg.Key == key && u.running() {
			if gone != nil {
				u.onGone = append(u.onGone, gone)
			}

			u.cancel()
			u.status.update(func(s *store.Status) { s.State = health.Stopped })
		}
	}
	in.mu.Unlock()
	in.wakeCommitter()
}

// all returns the units that the input has at this moment.
func (in *Input) all() []*Unit {
	in.mu.Lock()
	defer in.mu.Unlock()

	return slices.Clone(in.units)
}

// removeRetired removes the units that have retired and have everything committed.
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

		if u.gone != nil {
			close(u.gone)
		}

		for _, gone := range u.onGone {
			gone()
		}

		return true
	})
	in.places.adaptTo(len(in.units))
}

// closed reports whether a channel to which nothing is sent is closed.
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

// Measure returns what is shown of every unit of the input at this moment. The caller
// adds when credentials end.
func (in *Input) Measure() []measure.Unit {
	units := in.all()

	list := make([]measure.Unit, len(units))
	for i, u := range units {
		list[i] = measure.Unit{
			Key:       u.cfg.Key,
			Status:    u.snapshot(),
			Reading:   u.cfg.Counters.Read(),
			Throttled: u.cfg.Limiter.Throttled(),
		}
	}

	return list
}

// MeasureInput returns what is shown of the input as a whole.
func (in *Input) MeasureInput() measure.Input {
	return measure.Input{
		Bytes:       in.outbox.Bytes(),
		Events:      in.outbox.Events(),
		Blocked:     in.Blocked(),
		StoreErrors: in.storeErrors.Load(),
		Starts:      in.starts.Read(),
		Notice:      in.notice.Load(),
	}
}

// Ready returns nil if the store answers and a unit was polled, however that ended, or if
// there is no unit. Otherwise the error says what is missing, and holds no detail that
// must not be shown to everybody.
func (in *Input) Ready(ctx context.Context) error {
	units := in.all()

	var key alert.UnitKey // if there is no unit, the store is asked for one that does not exist
	if len(units) > 0 {
		key = units[0].cfg.Key
	}

	if _, _, err := in.cfg.Store.Status(ctx, key); err != nil {
		in.log.Debug(fmt.Sprintf("the store does not answer: %v", err))
		return errors.New("the store does not answer")
	}

	if !in.trusted() {
		return errors.New("the lease of this node has ended")
	}

	if len(units) == 0 {
		return nil
	}

	for _, u := range units {
		if s := u.status.get(); s.Polls > 0 || s.Errors > 0 {
			return nil
		}
	}

	return errors.New("no tenant was polled yet")
}
