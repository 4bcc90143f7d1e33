package lease

import (
	"slices"
	"time"

	"fluent-bit-defender/internal/alert"
)

// State is what is shown of a node.
type State struct {
	ID string
	// Held is how many units it polls, Wanted how many it is configured for.
	Held, Wanted int
	// Unowned is how many of the wanted units no node holds, or only one whose lease has
	// expired.
	Unowned int
	// Live has the IDs of the nodes that share the units, this one among them.
	Live []string
	// Age is how long ago the lease was renewed, and TTL how long it lasts.
	Age, TTL time.Duration
	// Takeovers counts the units that were taken over from a node that had died, Lost the
	// units that another node has taken from this one.
	Takeovers, Lost uint64
	// Fenced counts the writes that the store refused, since another node held the unit.
	Fenced uint64
}

// State returns what is shown of the node at this moment.
func (n *Node) State() State {
	n.mu.Lock()
	defer n.mu.Unlock()

	s := State{
		ID:        n.cfg.Node.ID,
		Live:      slices.Clone(n.live),
		Age:       n.cfg.Now() - n.renewed,
		TTL:       n.cfg.Node.TTL,
		Takeovers: n.counted.takeovers,
		Lost:      n.counted.lost,
		Fenced:    n.counted.fenced,
	}

	wanted := n.wanted()
	s.Wanted = len(wanted)

	for _, key := range n.free {
		if wanted[key] != nil && n.units[key] == nil {
			s.Unowned++
		}
	}

	for _, u := range n.units {
		if u.phase == polling {
			s.Held++
		}
	}

	return s
}

// wanted returns the member of each unit that this process is configured for. n.mu must
// be held.
func (n *Node) wanted() map[alert.UnitKey]Member {
	all := make(map[alert.UnitKey]Member)

	for m, keys := range n.members {
		for _, key := range keys {
			all[key] = m
		}
	}

	return all
}
