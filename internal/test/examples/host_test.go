package examples

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/receiver"
	"fluent-bit-defender/internal/testbed/simulator"
)

// What the examples' tests show in a real Fluent Bit, as far as the conformance host
// goes: up to the chunks.

// inHost runs inputs in the conformance host until so many events are in chunks. It
// returns the alerts among them.
func inHost(t *testing.T, events int, instances ...flbhost.Instance) []flbhost.Record {
	t.Helper()
	host := flbhost.Run(t, flbhost.Config{Plugin: setup.Plugin(t), Instances: instances})

	ctx, cancel := context.WithTimeout(t.Context(), setup.LongWait)
	defer cancel()

	if err := host.WaitEvents(ctx, events); err != nil {
		t.Fatal(err)
	}

	if _, err := host.Stop(ctx); err != nil {
		t.Fatal(err)
	}

	records, err := host.Records()
	if err != nil {
		t.Fatal(err)
	}

	return records
}

// TestCEFOfAllAPIsIsAsMapped: hostile texts of all APIs, line by line against the
// mapping.
func TestCEFOfAllAPIsIsAsMapped(t *testing.T) {
	t.Parallel()

	const each = 150

	tenants, units := oneOfEach()
	sim := setup.Simulator(t, simulator.Config{Tenants: tenants, Seed: 11})
	addHostile(sim, units, each)

	data := filepath.Join(t.TempDir(), "state")

	var inputs []flbhost.Instance
	for _, f := range units {
		inputs = append(inputs, flbhost.Instance{Tag: "cef", Props: flbhost.Props(
			"tenant_id", f.tenantID,
			"tenant_name", f.tenant,
			"client_id", clientID,
			"client_secret", clientSecret,
			"grant", "client_credentials",
			"api", f.api,
			"format", "cef",
			"cef_max_bytes", "60000",
			"data_dir", data,
			"login_url", sim.LoginURL(),
			"api_url", sim.APIURL(f.api),
		)})
	}

	var lines []receiver.CEF

	for _, rec := range inHost(t, each*len(units), inputs...) {
		line := gjson.GetBytes(rec.JSON(), "cef").Str

		c, err := receiver.ParseCEF(line)
		if err != nil {
			t.Errorf("%v: %s", err, line)
			continue
		}

		lines = append(lines, c)
	}

	for _, f := range units {
		if o := accountCEF(t, sim, lines, f); !o.perfect() || o.expected != each {
			t.Errorf("%s: %v", f.api, o)
		}
	}
}

// TestTenantsOfOneInputHaveTagsOfTheirOwn: 300 tenants, 20 alerts each; those without a
// tag have the input's.
func TestTenantsOfOneInputHaveTagsOfTheirOwn(t *testing.T) {
	t.Parallel()

	const n, each = 300, 20

	var tenants []simulator.Tenant

	want := map[string]string{}

	var file strings.Builder

	for i := range n {
		id, name := fmt.Sprintf("30000000-0000-0000-0000-%012d", i), fmt.Sprintf("customer%03d", i)
		tenants = append(tenants, customer(id, name, each))
		want[name] = "input"
		fmt.Fprintf(&file, "  - tenant_id: %s\n    tenant_name: %s\n", id, name)

		if i > 0 {
			want[name] = "defender." + name
			fmt.Fprintf(&file, "    tag: defender.%s\n", name)
		}
	}

	sim := setup.Simulator(t, simulator.Config{Tenants: tenants, Seed: 11})
	path := filepath.Join(t.TempDir(), "customers.yaml")

	text := fmt.Sprintf(
		"defaults:\n  client_id: %s\n  client_secret: %s\n  poll_interval: 5s\n  login_url: %s\n  api_url: %s\n"+
			"tenants:\n%s",
		clientID,
		clientSecret,
		sim.LoginURL(),
		sim.APIURL(simulator.Graph),
		file.String(),
	)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	got := map[string]int{}

	props := flbhost.Props("tenants_file", path, "data_dir", filepath.Join(t.TempDir(), "state"))
	for _, rec := range inHost(t, n*each, flbhost.Instance{Tag: "input", Props: props}) {
		m := gjson.GetBytes(rec.JSON(), "mssp")

		name := m.Get("tenant").Str
		if rec.Tag != want[name] {
			t.Errorf("an alert of %s has the tag %s", name, rec.Tag)
		}

		got[name]++
	}

	for name := range want {
		if got[name] != each {
			t.Errorf("%d alerts of %s", got[name], name)
		}
	}
}
