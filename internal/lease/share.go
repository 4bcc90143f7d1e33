package lease

import (
	"slices"

	"fluent-bit-defender/internal/store"
)

// share returns how many of some units a node is to hold; 0 for a node that is not among
// the live ones.
func share(units int, live []string, id string) int {
	rank := slices.Index(live, id)
	if rank < 0 {
		return 0
	}

	n := units / len(live)
	if rank < units%len(live) {
		n++
	}

	return n
}

// missing returns how many units the other live nodes together lack to their share.
func missing(units int, live []string, id string, nodes []store.NodeStatus) int {
	n := 0

	for _, node := range nodes {
		if node.ID != id && slices.Contains(live, node.ID) {
			n += max(0, share(units, live, node.ID)-node.Units)
		}
	}

	return n
}
