package metrics

import (
	"maps"
	"slices"

	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
)

// node makes a family with one sample for each node that this process is. It has none
// without a store that several machines share.
func node(name, help, kind string, read func(measure.Node) float64) family {
	return family{
		name: name,
		help: help,
		kind: kind,
		whole: func(e *exposition, s *snapshot) {
			for _, n := range s.input.Nodes {
				e.sample(name, "", "", label("node_id", n.ID), read(n))
			}
		},
	}
}

// calls makes a family with samples for each kind of call to the store.
func calls(name, help, kind string, write func(e *exposition, labels string, c store.CallStats)) family {
	return family{
		name: name,
		help: help,
		kind: kind,
		whole: func(e *exposition, s *snapshot) {
			counted := s.calls()
			for _, call := range slices.Sorted(maps.Keys(counted)) {
				write(e, label("call", call), counted[call])
			}
		},
	}
}

// calls returns the statistics of the calls to all stores, by kind.
func (s *snapshot) calls() map[string]store.CallStats {
	all := make(map[string]store.CallStats)

	for _, n := range s.input.Nodes {
		for _, c := range n.Calls {
			sum := all[c.Call]
			sum.Count += c.Count
			sum.Failed += c.Failed
			sum.Took += c.Took
			all[c.Call] = sum
		}
	}

	return all
}

var nodeFamilies = []family{
	node("units_held", "Units that this node holds and polls.", gauge,
		func(n measure.Node) float64 { return float64(n.Held) }),
	node("units_wanted", "Units that this node is configured for.", gauge,
		func(n measure.Node) float64 { return float64(n.Wanted) }),
	node("units_unowned", "Units that this node is configured for and no live node holds.", gauge,
		func(n measure.Node) float64 { return float64(n.Unowned) }),
	node("nodes_live", "Nodes that share the units, this one included.", gauge,
		func(n measure.Node) float64 { return float64(n.Live) }),
	node("lease_age_seconds", "Time since the lease of this node was renewed.", gauge,
		func(n measure.Node) float64 { return n.LeaseAge.Seconds() }),
	node("lease_ttl_seconds", "How long a node keeps its units without a renewal (lease_ttl).", gauge,
		func(n measure.Node) float64 { return n.TTL.Seconds() }),
	node("takeovers_total", "Units taken over from a node that had died, since the start.", total,
		func(n measure.Node) float64 { return float64(n.Takeovers) }),
	node("units_lost_total", "Units that another node has taken over from this one, since the start.", total,
		func(n measure.Node) float64 { return float64(n.Lost) }),
	node("fenced_writes_total", "Writes refused since another node held the unit, since the start.", total,
		func(n measure.Node) float64 { return float64(n.Fenced) }),
	calls("store_call_duration_seconds", "Time that calls of the shared store took, by kind.", summaries,
		func(e *exposition, labels string, c store.CallStats) {
			e.sample("store_call_duration_seconds", "_sum", labels, "", c.Took.Seconds())
			e.sample("store_call_duration_seconds", "_count", labels, "", float64(c.Count))
		}),
	calls("store_call_errors_total", "Calls of the shared store that failed since the start, by kind.", total,
		func(e *exposition, labels string, c store.CallStats) {
			e.sample("store_call_errors_total", "", labels, "", float64(c.Failed))
		}),
}
