package cli_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/test/golden"
)

// stopped is the time at which the clocks stand in these tests.
const stopped = "2026-05-01 12:00:00+00"

// onDatabase makes a database the store of a world. The clocks of both stand still.
func (w *world) onDatabase() *pgtest.Database {
	w.t.Helper()

	d := pgtest.New(w.t)
	key := filepath.Join(w.t.TempDir(), "key")

	if err := os.WriteFile(key, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))), 0o600); err != nil {
		w.t.Fatal(err)
	}

	now := must(time.Parse("2006-01-02 15:04:05-07", stopped))
	w.now = func() time.Time { return now }
	w.place = []string{"--store", d.URL().Reveal(), "--key-file", key}

	return d
}

// joined opens the database as a node does, and claims units for it.
func (w *world) joined(d *pgtest.Database, id string, keys ...alert.UnitKey) *postgres.Store {
	w.t.Helper()

	s, err := postgres.Open(postgres.Options{
		URL:    d.URL(),
		Key:    make([]byte, 32),
		Inputs: true,
		Now:    w.now,
	})
	if err != nil {
		w.t.Fatal(err)
	}

	w.t.Cleanup(func() { s.Close() })
	d.Exec(w.t, `CREATE OR REPLACE FUNCTION defender.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
		AS 'SELECT timestamptz ''`+stopped+`'''`)

	n := store.Node{
		ID:             id,
		TTL:            15 * time.Second,
		TakeoverReplay: 15 * time.Minute,
		Version:        "1.4.0",
	}
	if err := s.Join(w.t.Context(), n); err != nil {
		w.t.Fatal(err)
	}

	got, err := s.Claim(w.t.Context(), store.Claim{Units: keys, Most: len(keys)})
	if err != nil || len(got) != len(keys) {
		w.t.Fatal(got, err)
	}

	return s
}

// unitOf is the unit whose status world.write writes.
func unitOf(name string) alert.UnitKey {
	return alert.UnitKey{LoginHost: "login.test", TenantID: alert.TenantID(name + ".example"), API: "graph"}
}

// threeNodes are a world with a node that works, one that drains and one that has died.
func threeNodes(t *testing.T) *world {
	w := newWorld(t)
	d := w.onDatabase()
	names := []string{"contoso", "fabrikam", "northwind", "tailspin"}

	var keys []alert.UnitKey
	for _, name := range names {
		keys = append(keys, unitOf(name))
	}

	live := w.joined(d, "pod-0", keys[0])
	dead := w.joined(d, "pod-1", keys[1])
	draining := w.joined(d, "pod-2", keys[2])
	gone := w.joined(d, "pod-3", keys[3])

	w.write(live, names[0], store.Status{State: health.OK, LastSuccess: w.now()})
	w.write(draining, names[2], store.Status{State: health.OK, LastSuccess: w.now()})

	old := w.now().Add(-5 * time.Minute)
	w.write(dead, names[1], store.Status{
		State:       health.OK,
		Since:       old,
		LastSuccess: old,
		UpdatedAt:   old,
	})
	w.write(gone, names[3], store.Status{
		State:       health.OK,
		Since:       old,
		LastSuccess: old,
		UpdatedAt:   old,
	})

	if err := gone.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}

	d.Exec(t, `UPDATE defender.nodes SET joined_at = renewed_at - interval '3 hours'`)
	d.Exec(t, `UPDATE defender.nodes SET renewed_at = renewed_at - interval '4 seconds',
		expires_at = expires_at - interval '4 seconds'`)
	d.Exec(t, `UPDATE defender.nodes SET renewed_at = renewed_at - interval '5 minutes',
		expires_at = expires_at - interval '5 minutes' WHERE id = 'pod-1'`)

	w.expect(w.run("drain", "pod-2"), 0)

	return w
}

func TestGoldenNodes(t *testing.T) {
	w := threeNodes(t)

	out := "$ defenderctl nodes\n" + w.expect(w.run("nodes"), 0).out +
		"\n$ defenderctl nodes --json\n" + w.expect(w.run("nodes", "--json"), 0).out
	golden.File(t, "../../testdata/cli/nodes.golden", out)
}

func TestStatusSaysWhichNodePollsAndThatNobodyDoes(t *testing.T) {
	w := threeNodes(t)
	r := w.expect(w.run("status", "-o", "wide"), 0)
	contains(t, r.out, "NODE", "LEASE_AGE", "pod-0", "pod-2",
		"fabrikam graph: its node pod-1 has not renewed its lease for 5m, so it is not polled; see defenderctl nodes",
		"tailspin graph: no node holds it, so it is not polled",
		"4 in all: 2 stale, 2 ok", "nodes: 1 live, 1 draining, 1 expired; 2 held by no live node")

	list := parse[[]struct {
		Tenant   string
		State    string
		Node     *string
		LeaseAge *float64 `json:"lease_age_seconds"`
		Unowned  bool
		Message  string
	}](t, w.expect(w.run("status", "--json"), 0).out)
	if len(list) != 4 {
		t.Fatalf("%+v", list)
	}

	contoso, fabrikam, tailspin := list[0], list[1], list[3]
	if contoso.Node == nil || *contoso.Node != "pod-0" || *contoso.LeaseAge != 4 || contoso.Unowned {
		t.Errorf("%+v", contoso)
	}

	if *fabrikam.Node != "pod-1" || !fabrikam.Unowned || fabrikam.State != "stale" || fabrikam.Message == "" {
		t.Errorf("%+v", fabrikam)
	}

	if tailspin.Node != nil || tailspin.LeaseAge != nil || !tailspin.Unowned {
		t.Errorf("%+v", tailspin)
	}

	contains(t, w.expect(w.run("status", "--check"), 2).out, "DEFENDER CRITICAL", "nodes_live=2 unowned=2")
}

func TestDrainAsksANodeAndTakesItBack(t *testing.T) {
	w := newWorld(t)
	d := w.onDatabase()
	a, b := w.joined(d, "a", unitOf("contoso")), w.joined(d, "b")
	drained := func() bool {
		t.Helper()

		standing, err := a.Renew(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		return standing.Draining
	}

	contains(t, w.expect(w.run("drain", "a"), 0).out, "a gives all its tenants to the other nodes (units: 1)")

	if !drained() {
		t.Error("the node was not asked")
	}

	contains(t, w.expect(w.run("drain", "b"), 0).err, "there is no other live node")
	contains(t, w.expect(w.run("drain", "a", "--undo"), 0).out, "a takes its share of the tenants again")

	if drained() {
		t.Error("the node is still asked")
	}

	w.place = w.place[:2] // neither nodes nor drain asks for the key
	contains(t, w.expect(w.run("nodes"), 0).out, "nodes: 1 live, 1 draining")
	contains(t, w.expect(w.run("drain", "b", "--undo"), 0).out, "takes its share")
	contains(t, w.expect(w.run("drain", "c"), 2).err, "there is no node", "there are: a b")
	contains(t, w.expect(w.run("drain"), 2).err, "NODE")

	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}

	contains(t, w.expect(w.run("drain", "b"), 2).err, "there is no node")
}

func TestAStoreInFilesHasOneNode(t *testing.T) {
	w := newWorld(t)
	contains(t, w.expect(w.run("nodes"), 0).err, "it has one node", "--store")

	if out := strings.TrimSpace(w.expect(w.run("nodes", "--json"), 0).out); out != "[]" {
		t.Errorf("--json: %q", out)
	}

	contains(t, w.expect(w.run("drain", "a"), 2).err, "it has one node")

	s, _ := w.polled("siem")
	w.write(s, "contoso", store.Status{State: health.OK})

	list := parse[[]map[string]any](t, w.expect(w.run("status", "--json"), 0).out)
	if node, there := list[0]["node"]; !there || node != nil || list[0]["unowned"] != false {
		t.Errorf("%v", list)
	}

	if out := w.expect(w.run("status"), 0).out; strings.Contains(out, "nodes:") {
		t.Errorf("nodes of a store in files:\n%s", out)
	}
}
