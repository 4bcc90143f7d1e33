package lease

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// Lost is called when the store has refused a write to units, since another node has
// them.
func (n *Node) Lost(keys []alert.UnitKey) {
	held := func(key alert.UnitKey) bool {
		u := n.units[key]
		return u != nil && !u.lost()
	}

	n.mu.Lock()
	if slices.ContainsFunc(keys, held) { // else they were given away during the write
		n.counted.fenced++
	}
	n.mu.Unlock()

	n.lose(func(u *unit) bool { return slices.Contains(keys, u.key) })
}

// lose abandons the units for which lost returns true, since other nodes hold them, and
// logs which ones.
func (n *Node) lose(lost func(*unit) bool) {
	keys := n.abandon(lost)
	if len(keys) == 0 {
		return
	}

	n.mu.Lock()
	n.counted.lost += uint64(len(keys))
	n.mu.Unlock()

	verb := "are"
	if len(keys) == 1 {
		verb = "is"
	}

	n.cfg.Log.Warn(fmt.Sprintf("%s %s polled by another node now, as the lease of this one had ended: "+
		"what was read and not delivered is left to it (%s)", count(len(keys)), verb, names(keys)))
}

// abandon makes the members of the units for which gone returns true drop what is not
// delivered, and returns the keys of these units.
func (n *Node) abandon(gone func(*unit) bool) (keys []alert.UnitKey) {
	n.mu.Lock()

	units := make(map[alert.UnitKey]*unit)
	by := make(map[Member][]alert.UnitKey)

	for key, u := range n.units {
		switch {
		case u.phase == abandoned || !gone(u):
		case u.phase == uncommitted: // its member has ended
			delete(n.units, key)
		default:
			u.phase = abandoned
			units[key] = u
			by[u.member] = append(by[u.member], key)
		}
	}
	n.mu.Unlock()

	for m, keys := range by {
		m.Abandon(keys, func(key alert.UnitKey) { n.abandonEnded(units[key]) })
	}

	return slices.Collect(maps.Keys(units))
}

// abandonEnded notes that all work on an abandoned unit has ended.
func (n *Node) abandonEnded(u *unit) {
	n.mu.Lock()
	if n.units[u.key] == u {
		delete(n.units, u.key)
	}
	n.mu.Unlock()
	n.wakeUp()
}

// giveBack abandons the units that are recalled, and releases those on which all work has
// ended. The node that claims one then, which may be this one, delivers again what the
// node that died had delivered.
func (n *Node) giveBack(ctx context.Context, s store.Standing) {
	recalled := n.abandon(func(u *unit) bool { return u.phase != toRelease && slices.Contains(s.Recalled, u.key) })
	if len(recalled) > 0 {
		n.cfg.Log.Warn(fmt.Sprintf("%s had been polled shortly before by a node that has died: what it may have "+
			"delivered lately comes again, with `replay` in `mssp` (%s)", count(len(recalled)), names(recalled)))
	}

	n.mu.Lock()

	var ended []alert.UnitKey

	for _, key := range s.Recalled {
		if n.units[key] == nil {
			ended = append(ended, key)
		}
	}
	n.mu.Unlock()

	if len(ended) > 0 {
		n.releaseUnits(ctx, false, ended)
	}
}
