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

// held is what this opening holds: the node that it is, and its units with their epochs.
// What the tables of units say is remembered with each, since nobody else writes to a
// unit that is held under its epoch.
type held struct {
	mu    sync.Mutex
	node  store.Node
	units map[alert.UnitKey]*heldUnit
}

// heldUnit is a unit that this opening holds under an epoch.
type heldUnit struct {
	key   alert.UnitKey
	id    int64
	epoch int64
	// row is what the tables say of it; nil if that is to be read. Store.writes guards
	// it, and the fields below.
	row *unitRow
	// stamps are those that the row may have: of the write that came last, and of those
	// after it of which nobody knows whether they were carried out. Without any, the row
	// was not read yet.
	stamps []int64
	// undone says that the tables went back to before a write that was confirmed. The
	// unit is not written to until it is loaded again.
	undone atomic.Bool
}

// know notes what the tables say of the unit, if it is held.
func (u *heldUnit) know(row *unitRow) {
	if u == nil {
		return
	}

	u.row = row
	if row != nil {
		u.stamps = []int64{row.stamp}
	}
}

// doubt notes that nobody knows whether a write with a stamp was carried out.
func (u *heldUnit) doubt(stamp int64) {
	if u != nil {
		u.stamps = append(u.stamps, stamp)
	}
}

// read notes the stamp that was found in the row. It reports false if what was written
// before is not there any more.
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

// reloaded notes that what this process knows of a unit is what the tables say.
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

// undonePause is how often the log says that commits are gone: each unit of a node
// notices it by itself.
const undonePause = time.Minute

// sayUndone says that the database has lost what was committed.
func (s *Store) sayUndone() {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := s.o.Uptime()
	if s.toldUndone != 0 && now-s.toldUndone < undonePause {
		return
	}

	s.toldUndone = now
	s.o.Log.Error(fmt.Sprintf("%s: what was committed last is not there any more: a standby has taken over without "+
		"it, or a backup was put back; the tenants concerned are read again from where the database stands, and "+
		"alerts are emitted again, unmarked", s.where))
}

// setNode notes that this opening is a node. It holds nothing yet.
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

// add notes that a unit, with its id in the tables, is held under an epoch from now on.
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

// remove notes that units are not held any more.
func (h *held) remove(keys ...alert.UnitKey) {
	h.mu.Lock()
	defer h.mu.Unlock()

	for _, key := range keys {
		delete(h.units, key)
	}
}

// keep notes that no other units are held than those that still returns true for.
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
