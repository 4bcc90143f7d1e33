package instance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
)

// provider is a running input that discovers the customers of a strict service.
type provider struct {
	t    *testing.T
	sim  *simulator.Simulator
	list []simulator.Tenant // the home tenant first
	keys config.Map
	p    *Process
	h    Handle
	host *fakeHost
}

// provide starts an input whose tenants file has this part discover.
func provide(t *testing.T, customers int, discover string) *provider {
	t.Helper()

	list := simulator.GenerateHome(customers, 2, 1)
	sim := setup.Simulator(t, simulator.Config{
		Tenants:       list,
		Home:          list[0].ID,
		Rotation:      simulator.Strict,
		Relationships: simulator.GenerateRelationships(list, time.Now()),
	})
	dir := t.TempDir()

	file := filepath.Join(dir, "tenants.yaml")
	if err := os.WriteFile(file, []byte("discover:\n"+discover), 0o600); err != nil {
		t.Fatal(err)
	}

	x := &provider{
		t:    t,
		sim:  sim,
		list: list,
		keys: config.Map{
			"home_tenant_id": list[0].ID,
			"client_id":      list[0].Apps[0].ClientID,
			"client_secret":  list[0].Apps[0].Secret,
			"refresh_token":  list[0].Apps[0].RefreshTokens[0],
			"tenants_file":   file,
			"login_url":      sim.LoginURL(),
			"api_url":        sim.APIURL(simulator.Graph),
			"graph_url":      sim.APIURL(simulator.Graph),
			"partner_url":    sim.APIURL(simulator.Partner),
			"data_dir":       filepath.Join(dir, "state"),
			"poll_interval":  "1s",
			"lookback":       "2d",
		},
	}
	x.open()

	return x
}

func (x *provider) open() {
	x.t.Helper()
	x.p, x.host = NewProcess(), &fakeHost{keys: x.keys}

	h, ok := x.p.Open(x.host, pipeline, false)
	if !ok {
		x.t.Fatalf("does not start:\n%s", x.host.log())
	}

	x.h = h
	x.t.Cleanup(func() {
		if x.t.Failed() {
			x.t.Log(x.host.log())
		}

		x.p.Exit(pipeline.ID)
	})
}

// relist asks for a new list of customers now.
func (x *provider) relist() {
	set := x.p.get(x.h).set
	set.found.mu.Lock()
	set.found.due = time.Time{}
	set.found.mu.Unlock()
	set.discover(x.t.Context())
}

// state returns the status of a customer, and whether it is polled.
func (x *provider) state(id string) (store.Status, bool) {
	for key, s := range x.p.get(x.h).input.Statuses() {
		if string(key.TenantID) == id {
			return s, true
		}
	}

	return store.Status{}, false
}

// until waits until the status of a customer is as wanted.
func (x *provider) until(id string, ok func(store.Status) bool) {
	x.t.Helper()
	until(x.t, x.p, func() bool { s, found := x.state(id); return found && ok(s) }, x.h)
}

func isOK(s store.Status) bool { return s.State == health.OK && s.Emitted >= 2 }

func TestDiscoveredCustomersArePolledAndFollowed(t *testing.T) {
	x := provide(t, 4, "  every: 1h\n  exclude: ["+simulator.GenerateHome(4, 2, 1)[4].ID+"]\n")
	for _, c := range x.list[1:4] {
		x.until(c.ID, isOK)
	}

	if _, polled := x.state(x.list[4].ID); polled {
		t.Error("an excluded customer is polled")
	}

	if s, _ := x.state(x.list[1].ID); s.RelationshipEnd.Before(time.Now()) {
		t.Errorf("the relationship ends %v", s.RelationshipEnd)
	}

	for _, u := range x.p.get(x.h).set.Units() {
		if u.Ends.Relationship.Before(time.Now()) {
			t.Errorf("the metrics know no end of the relationship: %+v", u.Ends)
		}
	}

	added, err := x.sim.AddGenerated("newcomer", 2)
	if err != nil {
		t.Fatal(err)
	}

	if err := x.sim.SetState(added, "ok"); err != nil {
		t.Fatal(err)
	}

	x.relist()
	x.until(added, isOK)

	gone := x.list[2].ID
	x.sim.EndRelationships(gone)
	x.until(gone, func(s store.Status) bool {
		return s.State == health.Failing && s.Reason == advice.GDAPEnded && s.Remedy != ""
	})
	x.relist()
	until(t, x.p, func() bool { return strings.Contains(x.host.log(), "no longer there: "+x.list[2].Name) }, x.h)
	x.until(gone, func(s store.Status) bool { return s.Reason == advice.GDAPEnded })
	x.until(x.list[1].ID, isOK)

	if !strings.Contains(x.host.log(), "new: newcomer") {
		t.Error("the log does not name the new customer")
	}

	// After a restart without discovery the last good list is in force.
	x.p.Exit(pipeline.ID)
	x.keys["graph_url"] = "http://127.0.0.1:9"
	x.open()
	x.until(added, func(s store.Status) bool { return s.State == health.OK })
	x.until(added, func(s store.Status) bool { return s.Notice != nil && s.Notice.Reason == advice.Unreachable })

	if in := x.p.get(x.h).set.Input(); !in.Discovery.Failed || in.Discovery.Listed.IsZero() || in.Notice == nil {
		t.Errorf("the metrics do not say that customers cannot be listed: %+v", in)
	}

	x.until(x.list[1].ID, func(s store.Status) bool { return s.State == health.OK })
}

func TestAGuestIsToldFromAnEndedRelationship(t *testing.T) {
	x := provide(t, 2, "  every: 1h\n")
	guest, ended := x.list[1].ID, x.list[2].ID
	x.until(guest, isOK)
	x.until(ended, isOK)

	if err := x.sim.SetState(guest, "guest"); err != nil {
		t.Fatal(err)
	}

	x.sim.EndRelationships(ended)
	x.until(guest, func(s store.Status) bool { return s.Reason == advice.GDAPEnded })
	x.relist()
	x.until(guest, func(s store.Status) bool { return s.Reason == advice.GuestConflict })
	x.until(ended, func(s store.Status) bool { return s.Reason == advice.GDAPEnded })
}
