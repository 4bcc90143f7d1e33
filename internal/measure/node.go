package measure

import (
	"cmp"
	"slices"
	"time"

	"fluent-bit-defender/internal/store"
)

// Node is what is shown of this process as a node on a store that several machines share.
type Node struct {
	// ID is its node_id.
	ID string
	// Held is how many units it holds, Wanted how many it is configured for, and Unowned
	// how many of these no node holds, or only one whose lease has expired.
	Held, Wanted, Unowned int
	// Live is how many nodes share the units, this one included.
	Live int
	// LeaseAge is how long ago the lease was renewed, and TTL how long it lasts.
	LeaseAge, TTL time.Duration
	// Takeovers counts the units that were taken over from a node that had died, Lost the
	// units that another node has taken from this one.
	Takeovers, Lost uint64
	// Fenced counts the writes that the store refused, since another node held the unit.
	Fenced uint64
	// Calls counts the calls of the store, by kind.
	Calls []store.CallStats
}

// JoinNodes returns the nodes of two inputs in the order of their IDs, each node once:
// the inputs of a process share a node.
func JoinNodes(a, b []Node) []Node {
	for _, n := range b {
		if !slices.ContainsFunc(a, func(other Node) bool { return other.ID == n.ID }) {
			a = append(slices.Clip(a), n)
		}
	}

	slices.SortFunc(a, func(x, y Node) int { return cmp.Compare(x.ID, y.ID) })

	return a
}

// Holder is the node that holds a unit of a store that several machines share. The zero
// value is no node.
type Holder struct {
	// Node is its node_id.
	Node string
	// Renewed is when its lease was renewed last.
	Renewed time.Time
	// Live says that its lease has not expired.
	Live bool
}
