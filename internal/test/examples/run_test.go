package examples

import (
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/receiver"
	"fluent-bit-defender/internal/testbed/simulator"
)

// alerts in each tenant of an example's run.
const few = 40

// TestEveryExampleRuns runs each file in a real Fluent Bit. Every alert has to arrive
// once, whole, at the receiver that the file names.
func TestEveryExampleRuns(t *testing.T) {
	t.Parallel()

	for name, want := range destinations() {
		for _, suffix := range []string{".conf", ".yaml"} {
			if name+suffix == "routes.conf" { // routes are of YAML only
				continue
			}

			t.Run(name+suffix, func(t *testing.T) {
				t.Parallel()
				runExample(t, name+suffix, want)
			})
		}
	}
}

// TestTheBufferOutlivesAKill: with a collector that refuses everything the alerts wait
// on disk; Fluent Bit is killed, and started again when the collector is well. Each
// alert arrives at its place.
func TestTheBufferOutlivesAKill(t *testing.T) {
	long(t)
	t.Parallel()

	for _, name := range []string{"tenants.conf", "routes.yaml", "splunk-arcsight.yaml"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			base, _, _ := strings.Cut(name, ".")
			want := destinations()[base]
			r := prepare(t, name, want, 0)
			r.hec.SetDown(true)
			r.start(name)
			r.until("a refusal of each output", 60*time.Second, func() bool {
				return strings.Count(r.logText(), "http_status=503") >= strings.Count(
					content(t, name),
					"SPLUNK_HEC_HOST}",
				)
			})
			// What is delivered in the last five seconds may come twice.
			time.Sleep(6 * time.Second)
			r.must(r.cmd.Process.Kill())
			<-r.ended
			r.hec.SetDown(false)
			r.start(name)
			r.complete(want)
			r.stop()
			lines := parseCEF(t, r.syslog)

			for _, d := range want {
				for _, p := range d.to {
					if o := r.account(lines, d.unit, p); o.lost+o.bent+o.foreign > 0 {
						t.Errorf("%s (%s): %v", d.unit.tenant, d.unit.api, o)
					}
				}
			}

			r.places(want)
		})
	}
}

// destinations say for each example, by its name without format, where the alerts of
// each tenant have to arrive.
func destinations() map[string][]delivery {
	contoso := unit{oneCustomer, "contoso", "graph"}
	many := []unit{
		{manyCustomers + "1", "contoso", "graph"},
		{manyCustomers + "2", "northwind", "endpoint"},
		{manyCustomers + "3", "fabrikam", "siem"},
		{manyCustomers + "4", "woodgrove", "incidents"},
		{manyCustomers + "5", "tailspin", "graph"},
	}
	routed := []unit{many[0], {manyCustomers + "3", "fabrikam", "graph"}, many[4]}
	atSplunk := func(token, index, sourcetype string) place {
		return place{token: token, index: index, sourcetype: sourcetype}
	}
	graph, endpoint := "ms365:defender:incident:alerts", "ms:defender:atp:alerts"
	arcsight := place{arcsight: true}

	return map[string][]delivery{
		"splunk":   {{contoso, []place{atSplunk(hecToken, "defender", graph)}}},
		"arcsight": {{unit{oneCustomer, "contoso", "siem"}, []place{arcsight}}},
		"splunk-arcsight": {
			{unit{oneCustomer, "contoso", "endpoint"}, []place{atSplunk(hecToken, "defender", endpoint), arcsight}},
		},
		"tenants": {
			{many[0], []place{atSplunk(hecToken, "sec_contoso", graph)}},
			{many[1], []place{atSplunk(hecNorthwind, "sec_northwind", endpoint)}},
			{many[2], []place{arcsight}},
			{many[3], []place{arcsight}},
			{many[4], []place{atSplunk(hecToken, "sec_unassigned", graph)}},
		},
		"routes": {{routed[0], []place{atSplunk(hecToken, "sec_contoso", graph)}}, {routed[1], []place{arcsight}},
			{routed[2], []place{atSplunk(hecToken, "sec_unassigned", graph)}}},
	}
}

// A place is where alerts have to arrive.
type place struct {
	arcsight                 bool
	token, index, sourcetype string
}

type delivery struct {
	unit unit
	to   []place
}

// prepare makes the rig of an example, with its files in place.
func prepare(t *testing.T, name string, want []delivery, busyEvery int) *rig {
	t.Helper()

	var tenants []simulator.Tenant
	for _, d := range want {
		tenants = append(tenants, customer(d.unit.tenantID, d.unit.tenant, few))
	}
	// The tokens are as narrow as an administrator would make them, both with
	// acknowledgement on.
	r := newRig(t, tenants, receiver.HECConfig{Tokens: map[string]receiver.HECToken{
		hecToken:     {Indexes: []string{"defender", "sec_contoso", "sec_unassigned"}, Index: "defender", Ack: true},
		hecNorthwind: {Indexes: []string{"sec_northwind"}, Index: "sec_northwind", Ack: true},
	}, BusyEvery: busyEvery})
	r.install(name, name)

	customers := "customers.yaml"
	if strings.HasPrefix(name, "routes") {
		customers = "routes-customers.yaml"
	}

	r.install(customers, "the-customers.yaml")
	r.env["DEFENDER_TENANTS_FILE"] = r.path("the-customers.yaml")

	for _, d := range want {
		if d.unit.api == "siem" {
			r.signIn(d.unit.tenantID)
		}
	}

	return r
}

// complete waits until every alert is everywhere it has to be.
func (r *rig) complete(want []delivery) {
	r.t.Helper()
	r.until("all alerts", 60*time.Second, func() bool {
		arrived := r.arrived()
		for _, d := range want {
			for id := range expected(r.sim, d.unit) {
				for _, p := range d.to {
					if !arrived[p.arcsight][id] {
						return false
					}
				}
			}
		}

		return true
	})
}

func (r *rig) account(lines []receiver.CEF, f unit, p place) outcome {
	r.t.Helper()

	if p.arcsight {
		return accountCEF(r.t, r.sim, lines, f)
	}

	return accountSplunk(r.t, r.sim, r.hec.Events(), f)
}

func runExample(t *testing.T, name string, want []delivery) {
	r := prepare(t, name, want, 4)
	r.start(name)
	r.complete(want)
	r.stop()
	lines := parseCEF(t, r.syslog)

	for _, d := range want {
		for _, p := range d.to {
			if o := r.account(lines, d.unit, p); !o.perfect() {
				t.Errorf("%s (%s): %v", d.unit.tenant, d.unit.api, o)
			}
		}
	}

	r.places(want)

	if s := r.hec.Status(); s[400]+s[401]+s[403]+s[413] > 0 {
		t.Errorf("refused by the collector: %v", s)
	}

	for _, s := range []string{clientSecret, hecToken} {
		if strings.Contains(r.logText(), s) {
			t.Error("a secret in the log")
		}
	}
}

// arrived are the record_ids at the syslog receiver (true) and at the collector (false).
func (r *rig) arrived() map[bool]map[string]bool {
	arrived := map[bool]map[string]bool{true: {}, false: recordIDs(r.hec.Events())}
	for _, m := range r.syslog.Messages() {
		if _, rest, ok := strings.Cut(m.Text, " cs3="); ok {
			id, _, _ := strings.Cut(rest, " ")
			arrived[true][id] = true
		}
	}

	return arrived
}

// recordIDs are the indexed fields of that name.
func recordIDs(events []receiver.HECEvent) map[string]bool {
	ids := map[string]bool{}
	for _, e := range events {
		ids[e.Fields["record_id"]] = true
	}

	return ids
}

// places: no alert of a unit is anywhere but where it belongs.
func (r *rig) places(want []delivery) {
	r.t.Helper()

	allowed := map[string][]place{}
	for _, d := range want {
		allowed[d.unit.tenant] = d.to
	}

	for _, e := range r.hec.Events() {
		ok := false
		for _, p := range allowed[e.Host] {
			ok = ok || !p.arcsight && e.Token == p.token && e.Index == p.index && e.Sourcetype == p.sourcetype
		}

		if !ok || e.Source != "fluent-bit" || e.Time == "" {
			r.t.Errorf("an event of %s with token %s in index %s: %.200s", e.Host, e.Token, e.Index, e.Event)
		}
	}

	for _, m := range r.syslog.Messages() {
		c, err := receiver.ParseCEF(m.Text)
		if err != nil {
			continue // parseCEF tells
		}

		ok := false
		for _, p := range allowed[c.Values["flexString2"]] {
			ok = ok || p.arcsight
		}

		if !ok || m.Facility != 16 || m.Severity != 5 || m.Host != "defender-poller" {
			r.t.Errorf("a line of %s from %s: %.200s", c.Values["flexString2"], m.Host, m.Text)
		}
	}
}
