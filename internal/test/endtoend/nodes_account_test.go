package endtoend

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// tally is what became of the alerts of all customers of a cluster.
type tally struct {
	arrived  int
	lost     int // of no node that still has a disk
	bent     int // with other content than the API sent
	marked   int // repeats that say so
	unmarked int // repeats that do not
	early    int // repeats of what was delivered before takeover_replay
	foreign  int // never an alert of a customer
}

// String returns the counts in a line.
func (y tally) String() string {
	return fmt.Sprintf("arrived %d, lost %d, repeated unmarked %d, repeated marked %d (of these before "+
		"takeover_replay %d)",
		y.arrived, y.lost, y.unmarked, y.marked, y.early)
}

// account holds what the nodes delivered against the ledger of the simulator.
func (c *cluster) account() (y tally) {
	c.t.Helper()
	c.observe()
	c.mu.Lock()
	defer c.mu.Unlock()

	known := map[string]bool{}
	for _, tenant := range c.customers {
		c.accountTenant(tenant, known, &y)
	}

	for id, list := range c.deliveries {
		if !known[id] {
			y.foreign++

			c.t.Errorf("record %s was never an alert of a customer: %v", id, list)
		}
	}

	return y
}

func (c *cluster) accountTenant(tenant simulator.Tenant, known map[string]bool, y *tally) {
	c.t.Helper()

	ledger := c.sim.Ledger(tenant.ID, c.api)
	for key, text := range ledger.Exists {
		id := recordID(tenant.ID, c.api, key)
		known[id] = true
		list := slices.Clone(c.deliveries[id])
		here := slices.ContainsFunc(list, func(d delivery) bool { return !d.gone })

		identity, _, _ := strings.Cut(key, "\n")
		switch {
		case here:
			y.arrived++
		case ledger.Served[key] > 0 && (ledger.Latest[identity] == key || !c.overtaken(ledger.First[key], list)):
			y.lost++
			c.tell(y.lost, "lost", tenant, key, list)
		}

		c.repeats(tenant, key, list, y)

		if len(list) > 0 && canonical(c.t, text, true) != canonical(c.t, alertOf(c.texts[id]), false) {
			y.bent++

			c.t.Errorf("a record differs from what the API sent:\n%s\n%s", c.texts[id], text)
		}
	}
}

// overtaken reports whether a version may be missing that a later one has replaced: it
// died with a node, or with its disk, before it could be read again.
func (c *cluster) overtaken(first time.Time, list []delivery) bool {
	return len(list) > 0 || slices.ContainsFunc(c.upsets, func(u upset) bool {
		return u.at.After(first.Add(-time.Second)) && u.at.Sub(first) < 10*time.Second+c.ttl
	})
}

// repeats counts what came more than once. The first delivery is no repeat, and is
// unmarked or not; one that was seen at about the same moment may be the first one too.
func (c *cluster) repeats(tenant simulator.Tenant, key string, list []delivery, y *tally) {
	const moment = 2 * time.Second

	slices.SortStableFunc(list, func(a, b delivery) int {
		if a.at.Equal(b.at) && a.marked != b.marked { // seen at the same look
			return map[bool]int{false: -1, true: 1}[a.marked]
		}

		return a.at.Compare(b.at)
	})

	unmarked := 0

	for i, d := range list {
		if !d.marked {
			unmarked++
		}

		if i == 0 {
			continue
		}

		if !d.marked && (unmarked > 1 || d.at.Sub(list[0].at) > moment) {
			y.unmarked++
			c.tell(y.unmarked, "repeated without a mark", tenant, key, list)

			continue
		}

		y.marked++
		if others := slices.Delete(slices.Clone(list), i, i+1); !slices.ContainsFunc(others, func(first delivery) bool {
			return first.at.Before(d.at.Add(moment)) && c.within(first)
		}) {
			y.early++
			c.tell(y.early, "repeated, though delivered before takeover_replay", tenant, key, list)
		}
	}
}

// within reports whether a delivery was so soon before a node died, or while it was away,
// that it may come again. It may be another node's: what a dead one gave away lately is
// read again, too.
func (c *cluster) within(d delivery) bool {
	const late = 5 * time.Second // of what the test sees

	return slices.ContainsFunc(c.upsets, func(u upset) bool {
		return d.at.After(u.at.Add(-c.replay-c.steps-c.ttl-late)) && d.at.Before(u.at.Add(c.ttl+late))
	})
}

// tell prints the first few of a kind.
func (c *cluster) tell(number int, what string, tenant simulator.Tenant, key string, list []delivery) {
	if number > 3 {
		return
	}

	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, "; %s at %s", d.node, d.at.Format("04:05.000"))

		if d.marked {
			b.WriteString(" marked")
		}

		if d.gone {
			b.WriteString(" gone")
		}
	}

	for _, u := range c.upsets {
		fmt.Fprintf(&b, "; upset %s at %s", u.node, u.at.Format("04:05.000"))
	}

	c.t.Logf("%s: %s %q%s", what, tenant.Name, key, b.String())
}

// verdict fails the test when something was lost or bent, or came twice where that is not
// promised. marks says whether marked repeats are expected to be possible.
func (c *cluster) verdict(marks bool) tally {
	c.t.Helper()
	y := c.account()
	c.t.Log(y)

	if y.lost+y.bent+y.unmarked+y.early+y.foreign > 0 || !marks && y.marked > 0 {
		c.t.Errorf("the promise is broken: %v", y)
	}

	c.secrets()

	return y
}

// secrets looks for every secret in what the nodes logged.
func (c *cluster) secrets() {
	c.t.Helper()

	for _, n := range c.nodes {
		for _, line := range n.logs {
			for _, s := range c.sim.Secrets() {
				if strings.Contains(line, s) {
					c.t.Errorf("a secret in the log: %s", line)
				}
			}
		}
	}
}

func TestTheAccountTellsMarkedRepeatsFromOthers(t *testing.T) {
	t.Parallel()

	began := time.Now()

	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	for name, test := range map[string]struct {
		list []delivery
		want tally
	}{
		"once":         {list: []delivery{{node: "a", at: at(0)}}},
		"once, marked": {list: []delivery{{node: "a", at: at(0), marked: true}}},
		"replayed": {
			list: []delivery{{node: "a", at: at(90)}, {node: "b", at: at(110), marked: true}},
			want: tally{marked: 1},
		},
		"both seen at one look": {
			list: []delivery{{node: "b", at: at(90), marked: true}, {node: "a", at: at(90)}},
			want: tally{marked: 1},
		},
		"repeated": {list: []delivery{{node: "a", at: at(90)}, {node: "a", at: at(91)}}, want: tally{unmarked: 1}},
		"by a zombie": {
			list: []delivery{{node: "b", at: at(110), marked: true}, {node: "a", at: at(120)}},
			want: tally{unmarked: 1},
		},
		"too old": {
			list: []delivery{{node: "a", at: at(60)}, {node: "b", at: at(110), marked: true}},
			want: tally{marked: 1, early: 1},
		},
		"of a node that lives": { // the dead one may have given the unit away just before
			list: []delivery{{node: "c", at: at(90)}, {node: "b", at: at(110), marked: true}},
			want: tally{marked: 1},
		},
		"of a disk that is gone": {
			list: []delivery{{node: "a", at: at(90), gone: true}, {node: "b", at: at(110)}},
			want: tally{unmarked: 1},
		},
	} {
		c := &cluster{
			t:      t,
			ttl:    5 * time.Second,
			replay: 20 * time.Second,
			upsets: []upset{{"a", at(100)}},
		}
		got := tally{}
		c.repeats(simulator.Tenant{}, name, test.list, &got)

		if got != test.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
