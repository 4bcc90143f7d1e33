package postgres

import (
	"sync"

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
	// it.
	row *unitRow
}

// know notes what the tables say of the unit, if it is held.
func (u *heldUnit) know(row *unitRow) {
	if u != nil {
		u.row = row
	}
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
