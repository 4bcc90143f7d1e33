package endtoend

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	descriptors "fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// factsOf returns the descriptor of an API.
func factsOf(t *testing.T, api string) *descriptors.Descriptor {
	t.Helper()

	facts, err := descriptors.API(api).Descriptor()
	if err != nil {
		t.Fatal(err)
	}

	return facts
}

// odataAPIs are the APIs that have pages, and alerts that change.
func odataAPIs(t *testing.T) []string {
	t.Helper()

	return slices.DeleteFunc(simulator.APIs(), func(api string) bool {
		return factsOf(t, api).Protocol != descriptors.OData
	})
}

// inputs are one [INPUT] per API for the same customer.
func (r *rig) inputs(c simulator.Tenant, apis []string, more ...string) (list []flbhost.Instance) {
	for _, api := range apis {
		keys := append([]string{"page_size", "50"}, more...)
		if api == "siem" { // it has no pages
			keys = append(keys, "page_size", "")
		}

		list = append(list, r.section(c, api, keys...))
	}

	return list
}

func TestAllAPIsAtOnceWithUpdatesAndLateRows(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(1, 500)
		r.simulate(simulator.Config{Tenants: customers, Seed: 4})
		c := customers[0]
		apis := simulator.APIs()
		r.mustStart(r.inputs(c, apis, "sweep_interval", "3s")...)

		for i := range 10 {
			now := time.Now()
			name := string(rune('a' + i))
			r.sim.Generate(c.ID, 15, simulator.GenerateOptions{Name: name, Since: now.Add(-time.Second), Until: now})
			r.sim.Generate(c.ID, 5, simulator.GenerateOptions{
				Name:  name + " late",
				Since: now.Add(-5 * time.Hour),
				Until: now.Add(-time.Hour),
			})

			n := 0
			for identity := range r.sim.Ledger(c.ID, "graph").Latest {
				if n++; n > 5 {
					break
				}

				r.sim.Update(c.ID, identity, now, func(a *simulator.Alert) { a.Status = "Resolved" })
			}

			time.Sleep(700 * time.Millisecond)
		}

		for _, api := range apis {
			r.complete(2*time.Minute, customers, api)
		}

		time.Sleep(2 * time.Second)
		r.stop()

		for _, api := range apis {
			arrived, repeated := r.accounts(customers, api)
			t.Logf("%s: %d versions, lost 0, repeated %d", api, arrived, repeated)

			if repeated > 0 || arrived < 500 && !strings.HasSuffix(api, "incidents") {
				t.Errorf("%s: %d arrived, %d repeated", api, arrived, repeated)
			}
		}
	})
}

func TestRowsThatMoveBetweenPagesAndTiesAreReadOnce(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(1, 0)
		r.simulate(simulator.Config{Tenants: customers, Seed: 5, Faults: "move"})
		c := customers[0]
		r.sim.Generate(c.ID, 400, simulator.GenerateOptions{Ties: 120})

		apis := odataAPIs(t)
		r.mustStart(r.inputs(c, apis, "page_size", "37")...)
		time.Sleep(15 * time.Second)

		if err := r.sim.SetFaults(""); err != nil {
			t.Fatal(err)
		}

		for _, api := range apis {
			r.complete(2*time.Minute, customers, api)
		}

		r.stop()

		for _, api := range apis {
			arrived, repeated := r.accounts(customers, api)
			t.Logf("%s: %d versions, lost 0, repeated %d", api, arrived, repeated)

			if repeated > 0 {
				t.Errorf("%s: %d repeated", api, repeated)
			}
		}
	})
}

// TestIncidentsWhoseExpandFailsAreAllThere: asked for with their alerts, one incident is
// answered with 500, and one with nothing. Of two with 20 MB one can be read at once, and
// the other is answered with 500, too.
func TestIncidentsWhoseExpandFailsAreAllThere(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(1, 0)
		r.simulate(simulator.Config{Tenants: customers, Seed: 12})
		c := customers[0]
		r.sim.Generate(c.ID, 60, simulator.GenerateOptions{})

		var several, large []string

		for id, version := range r.sim.Ledger(c.ID, "graph-incidents").Latest {
			if !strings.HasSuffix(version, ":1") {
				several = append(several, id)
			}
		}

		slices.Sort(several)

		r.sim.Generate(c.ID, 2, simulator.GenerateOptions{Name: "large", Size: 20_000_000, Plain: true})

		ledger := r.sim.Ledger(c.ID, "graph-incidents")
		for id, version := range ledger.Latest {
			if len(ledger.Exists[version]) > 20_000_000 {
				large = append(large, id)
			}
		}

		faults := "expand:id=" + several[0] + ",expand:kind=stall;by=10s;id=" + several[1] + ",expand:id=" + large[0]
		if err := r.sim.SetFaults(faults); err != nil {
			t.Fatal(err)
		}

		r.mustStart(r.inputs(c, []string{"graph-incidents"}, "http_timeout", "2s", "format", "raw")...)
		r.until("every incident", setup.LongWait, func() bool {
			got := r.arrived(c.ID, "graph-incidents")

			return !slices.ContainsFunc(slices.Collect(maps.Values(ledger.Latest)), func(key string) bool {
				return got.count[recordID(c.ID, "graph-incidents", key)] == 0
			})
		})
		r.stop()

		got := r.arrived(c.ID, "graph-incidents")
		for _, key := range ledger.Latest {
			id := recordID(c.ID, "graph-incidents", key)
			if got.count[id] != 1 {
				t.Errorf("%q came %d times", key, got.count[id])
			}

			if have := gjson.GetBytes(got.text[id], "message").Str; have != string(ledger.Exists[key]) {
				t.Errorf("%q is not what $expand gives:\n%.2000s\n%.2000s", key, have, ledger.Exists[key])
			}
		}

		t.Logf("%d incidents, %d with several alerts, %d large ones", len(got.count), len(several), len(large))
	})
}

func TestALinkToAnotherHostIsNotFollowedAndSaidOnce(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(1, 0)
		r.simulate(simulator.Config{Tenants: customers, Seed: 6, Faults: "link:kind=otherhost"})
		c := customers[0]
		r.sim.Generate(c.ID, 200, simulator.GenerateOptions{})
		r.mustStart(r.inputs(c, []string{"graph"}, "page_size", "37")...)
		r.complete(time.Minute, customers, "graph")
		time.Sleep(3 * time.Second)

		said := 0

		for _, line := range r.troubles(c.Name) {
			if strings.Contains(line, "links to") {
				said++
			}
		}

		if said != 1 {
			t.Errorf("said %d times:\n%s", said, r.logText())
		}

		r.stop()
		r.accounts(customers, "graph")
	})
}
