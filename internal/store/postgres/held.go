package postgres

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// held is what this opening holds: the node that it is, and its units with their
// epochs. The contents of the tables are remembered for each unit, since nobody else
// writes to a unit that is held under its epoch.
type held struct {
	mu    sync.Mutex // guards the fields below
	node  store.Node
	units map[alert.UnitKey]*heldUnit
}

// heldUnit is a unit that this opening holds under an epoch.
type heldUnit struct {
	key   alert.UnitKey
	id    int64
	epoch int64
	// row is what the tables have of it; nil if that has to be read. Store.writes guards
	// it, and the fields below.
	row *unitRow
	// stamps are the stamps that the row may have: that of the last confirmed write, and
	// those of later writes that may have been carried out or not. It is empty if the
	// row was not read yet.
	stamps []int64
	// undone says that the tables have lost a confirmed write. The unit is not written
	// to until it is loaded again.
	undone atomic.Bool
}

// know records what the tables have of the unit. u is nil if the unit is not held.
func (u *heldUnit) know(row *unitRow) {
	if u == nil {
		return
	}

	u.row = row
	if row != nil {
		u.stamps = []int64{row.stamp}
	}
}

// doubt records that a write with a stamp may have been carried out or not.
func (u *heldUnit) doubt(stamp int64) {
	if u != nil {
		u.stamps = append(u.stamps, stamp)
	}
}

// read records the stamp that was found in the row. It returns false if an earlier
// write is lost.
func (u *heldUnit) read(stamp int64) bool {
	if u == nil {
		return true
	}

	if len(u.stamps) == 0 {
		u.stamps = []int64{stamp}
	}

	if !slices.Contains(u.stamps, stamp) {
		u.undone.Store(true)
	}

	return !u.undone.Load()
}

// reloaded is called when a unit was loaded: what this process knows of it is now what
// the tables have.
func (s *Store) reloaded(ctx context.Context, key alert.UnitKey) error {
	u := s.held.unit(key)
	if u == nil || !u.undone.Load() {
		return nil
	}

	if err := s.writes.lock(ctx); err != nil {
		return err
	}
	defer s.writes.unlock()

	u.row, u.stamps = nil, nil
	u.undone.Store(false)

	return nil
}

// undonePause is how often lost commits are logged at most: each unit of a node notices
// them by itself.
const undonePause = time.Minute

// logUndone logs that the database has lost commits.
func (s *Store) logUndone() {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := s.o.Uptime()
	if s.undoneLoggedAt != 0 && now-s.undoneLoggedAt < undonePause {
		return
	}

	s.undoneLoggedAt = now
	s.o.Log.Error(fmt.Sprintf("%s: the last commits are lost: a standby has taken over without "+
		"them, or a backup was put back; the tenants concerned are read again from where the database stands, and "+
		"alerts are emitted again, unmarked", s.where))
}

// setNode records which node this opening is. It holds nothing yet.
func (h *held) setNode(n store.Node) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.node, h.units = n, nil
}

// self returns the node that this opening is; its ID is empty if it has not joined.
func (h *held) self() store.Node {
	h.mu.Lock()
	defer h.mu.Unlock()

	return h.node
}

// add records that a unit, with its id in the tables, is held under an epoch.
func (h *held) add(key alert.UnitKey, id, epoch int64) {
	h.mu.Lock()
	defer h.mu.Unlock()

	if u := h.units[key]; u != nil && u.epoch == epoch && u.id == id {
		return
	}

	if h.units == nil {
		h.units = make(map[alert.UnitKey]*heldUnit)
	}

	h.units[key] = &heldUnit{
		key:   key,
		id:    id,
		epoch: epoch,
	}
}

// remove records that units are not held any more.
func (h *held) remove(keys ...alert.UnitKey) {
	h.mu.Lock()
	defer h.mu.Unlock()

	for _, key := range keys {
		delete(h.units, key)
	}
}

// keep removes the units for which still returns false.
func (h *held) keep(still func(key alert.UnitKey, epoch int64) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()

	for key, u := range h.units {
		if !still(key, u.epoch) {
			delete(h.units, key)
		}
	}
}

// unit returns a unit that is held; nil if it is not.
func (h *held) unit(key alert.UnitKey) *heldUnit {
	h.mu.Lock()
	defer h.mu.Unlock()

	return h.units[key]
}
