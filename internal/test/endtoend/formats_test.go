package endtoend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/test/ocsfcheck"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/receiver"
	"fluent-bit-defender/internal/testbed/simulator"
)

// TestEveryFormatArrivesWholeFromEveryAPI runs an input for each format and API at once,
// and looks at every record that arrives. Each format has a customer of its own, since
// the APIs bound the calls for each customer. Of the alerts some have equal times; the
// long form updates some in each round and lists others hours late.
func TestEveryFormatArrivesWholeFromEveryAPI(t *testing.T) {
	schema := ocsfcheck.Find(t)

	mustKnowBodies(t)
	eachHost(t, func(t *testing.T, r *rig) {
		formats := record.FormatNames()
		customers := tenants(len(formats), setup.Size(40, 700))
		r.simulate(simulator.Config{Tenants: customers, Seed: 16})

		var inputs []flbhost.Instance

		customerOf := map[string]string{}
		for i, format := range formats {
			customerOf[format] = customers[i].ID
			for _, in := range r.inputs(customers[i], simulator.APIs(), "format", format, "sweep_interval", "5s") {
				in.Tag = format
				inputs = append(inputs, in)
			}
		}

		began := time.Now()

		r.mustStart(inputs...)

		for round := range setup.Size(1, 4) {
			if round > 0 {
				for _, tenantID := range customerOf {
					r.updateAndAddLate(tenantID, round)
				}
			}

			r.untilAllFormats(customerOf)
			t.Logf("round %d: all there after %v", round, time.Since(began).Round(time.Second))
		}

		r.stop()

		byTag := r.byTag()
		for format, tenantID := range customerOf {
			r.checkFormat(schema, tenantID, format, byTag[format])
		}
	})
}

// updateAndAddLate gives some alerts a new version, and lists some that were updated
// hours ago.
func (r *rig) updateAndAddLate(tenantID string, round int) {
	now := time.Now()
	for _, identity := range someOf(r.sim.Ledger(tenantID, "graph").Latest, 20) {
		r.sim.Update(tenantID, identity, now, func(a *simulator.Alert) { a.Status = "InProgress" })
	}

	r.sim.Generate(tenantID, 20, simulator.GenerateOptions{
		Name:  fmt.Sprint("late ", round),
		Since: now.Add(-5 * time.Hour),
		Until: now.Add(-4 * time.Hour),
		Ties:  10,
	})
}

// untilAllFormats waits until each format has the latest version of everything that the
// APIs list for its customer. It looks once a second, since there is much to look at.
func (r *rig) untilAllFormats(customerOf map[string]string) {
	r.t.Helper()

	var looked time.Time

	r.until("all records of all formats", time.Duration(setup.Size(1, 3))*setup.LongWait, func() bool {
		if time.Since(looked) < time.Second {
			return false
		}

		looked = time.Now()
		byTag := r.byTag()

		return !slices.ContainsFunc(record.FormatNames(), func(format string) bool {
			return len(r.lacking(customerOf[format], byTag[format])) > 0
		})
	})
}

// lacking returns the versions, by record_id, that are not among the alerts: of those
// that were served whole, and of the latest ones.
func (r *rig) lacking(tenantID string, got []alert) (ids []string) {
	have := map[string]bool{}
	for _, a := range got {
		have[a.id] = true
	}

	for _, api := range simulator.APIs() {
		ledger := r.sim.Ledger(tenantID, api)
		for key := range ledger.Exists {
			identity, _, _ := strings.Cut(key, "\n")
			if ledger.Served[key] == 0 && ledger.Latest[identity] != key {
				continue
			}

			if id := recordID(tenantID, api, key); !have[id] {
				ids = append(ids, id)
			}
		}
	}

	return ids
}

// TestOCSFSaysWhichVersionIsTheFirst updates alerts while they are read, and restarts the
// plugin in between: what was emitted is not forgotten.
func TestOCSFSaysWhichVersionIsTheFirst(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(1, 60)
		r.simulate(simulator.Config{Tenants: customers, Seed: 17})
		c := customers[0]

		apis := odataAPIs(t)
		inputs := r.inputs(c, apis, "format", "ocsf", "page_size", "50")

		for round := range 3 {
			r.mustStart(inputs...)

			for _, api := range apis {
				r.complete(2*time.Minute, customers, api)
			}

			if round < 2 {
				now := time.Now()
				for _, identity := range someOf(r.sim.Ledger(c.ID, "graph").Latest, 10) {
					r.sim.Update(c.ID, identity, now, func(a *simulator.Alert) { a.Severity = "High" })
				}

				for _, api := range apis {
					r.complete(2*time.Minute, customers, api)
				}
			}

			r.stop()
		}

		for _, api := range apis {
			r.checkActivities(c.ID, api)
		}
	})
}

// someOf returns n keys of a map, the same ones every time.
func someOf(m map[string]string, n int) []string {
	keys := slices.Sorted(maps.Keys(m))
	return keys[:min(n, len(keys))]
}

// checkActivities reports alerts whose first version is no Create, or a later one is one.
func (r *rig) checkActivities(tenantID, api string) {
	r.t.Helper()

	records, err := r.host.Records()
	if err != nil {
		r.t.Fatal(err)
	}

	var got []alert

	for _, rec := range records {
		if a := r.alert(rec); a.id != "" && a.api == api && a.tenantID == tenantID {
			got = append(got, a)
		}
	}

	if first, later := r.activities(got); later == 0 {
		r.t.Errorf("%s: no alert of %d had a later version", api, first)
	}
}

// activities reports versions of alerts, in the order in which they arrived, whose
// activity is wrong: the first one of an alert is a Create, all later ones are Updates,
// and any may be a Close. It counts both kinds.
func (r *rig) activities(got []alert) (first, later int) {
	r.t.Helper()

	seen := map[string]bool{}

	for _, a := range got {
		id := a.api + "\n" + gjson.GetBytes(a.text, "metadata.original_event_uid").String()
		if a.api == "siem" {
			id = a.id // each detection of an alert is a Create
		}

		activity := gjson.GetBytes(a.text, "activity_id").Int()
		if want := map[bool]int64{false: 1, true: 2}[seen[id]]; activity != 3 && activity != want {
			r.t.Errorf("activity %d of a version, and not %d: %s", activity, want, a.text)
		}

		if seen[id] {
			later++
		} else {
			first++
		}

		seen[id] = true
	}

	r.t.Logf("%d first versions, %d later ones", first, later)

	return first, later
}

// byTag returns the alerts that reached the chunks, by their tag.
func (r *rig) byTag() map[string][]alert {
	r.t.Helper()

	records, err := r.host.Records()
	if err != nil {
		r.t.Fatal(err)
	}

	list := map[string][]alert{}
	for _, rec := range records {
		list[rec.Tag] = append(list[rec.Tag], r.alert(rec))
	}

	return list
}

// checkFormat holds the records of one format against the rows that the simulator served.
func (r *rig) checkFormat(schema *ocsfcheck.Schema, tenantID, format string, got []alert) {
	r.t.Helper()

	sent := map[string]string{}

	for _, api := range simulator.APIs() {
		for key, row := range r.sim.Ledger(tenantID, api).Exists {
			sent[recordID(tenantID, api, key)] = string(row)
		}
	}

	lost, repeated := len(r.lacking(tenantID, got)), 0
	seen := map[string]bool{}

	for _, a := range got {
		row, known := sent[a.id]
		if !known {
			r.t.Errorf("%s: a record that was never sent: %s", format, a.text)
		}

		if seen[a.id] {
			repeated++
		}

		seen[a.id] = true

		r.checkLine(format, a)
		bodyChecks[withoutLine(format)](r, schema, a, row)
	}

	if strings.HasPrefix(format, "ocsf") {
		r.activities(got)
	}

	r.t.Logf("%s: %d records, lost %d, repeated %d", format, len(got), lost, repeated)

	if lost+repeated > 0 {
		r.t.Errorf("%s: %d lost, %d repeated", format, lost, repeated)
	}
}

// checkLine reports a CEF line that the standard does not allow, that is missing, or that
// the format does not have.
func (r *rig) checkLine(format string, a alert) {
	r.t.Helper()

	line := gjson.GetBytes(a.text, "cef").Str

	switch _, err := receiver.ParseCEF(line); {
	case !strings.HasSuffix(format, "cef"):
		if strings.HasPrefix(line, "CEF:") {
			r.t.Errorf("%s: a record has a line: %s", format, line)
		}
	case err != nil:
		r.t.Errorf("%s: %v in %s", format, err, line)
	}
}

// bodyChecks hold what a record has beside its CEF line against the API's row, for each
// format without the line.
var bodyChecks = map[string]func(r *rig, schema *ocsfcheck.Schema, a alert, row string){
	"json": func(r *rig, _ *ocsfcheck.Schema, a alert, row string) {
		if have := alertOf(withoutCEF(a.text)); canonical(r.t, have, false) != canonical(r.t, []byte(row), true) {
			r.t.Errorf("the record differs from what the API sent:\n%s\n%s", have, row)
		}
	},
	"raw": func(r *rig, _ *ocsfcheck.Schema, a alert, row string) {
		if message := gjson.GetBytes(a.text, "message").Str; message != row {
			r.t.Errorf("the message is not what the API sent:\n%s\n%s", message, row)
		}
	},
	"ocsf": func(r *rig, schema *ocsfcheck.Schema, a alert, _ string) {
		if uid := gjson.GetBytes(a.text, "metadata.uid").Str; uid != a.id {
			r.t.Errorf("metadata.uid is %q of %s", uid, a.id)
		}

		schema.Report(r.t, "ocsf", a.text)
	},
	"cef": func(r *rig, _ *ocsfcheck.Schema, a alert, _ string) {
		if keys := len(gjson.ParseBytes(a.text).Map()); keys != 2 {
			r.t.Errorf("the record has %d keys, and not only mssp and cef: %s", keys, a.text)
		}
	},
}

// mustKnowBodies demands a row of bodyChecks for each format.
func mustKnowBodies(t *testing.T) {
	t.Helper()

	for _, format := range record.FormatNames() {
		if bodyChecks[withoutLine(format)] == nil {
			t.Fatalf("bodyChecks, in formats_test.go, has no row for the format %s", format)
		}
	}
}

// withoutLine returns the format without the CEF line of a format that has more.
func withoutLine(format string) string { return strings.TrimSuffix(format, "+cef") }

// withoutCEF takes the key cef off a record, where it stands straight behind mssp.
func withoutCEF(text []byte) []byte {
	mssp, line := gjson.GetBytes(text, "mssp"), gjson.GetBytes(text, "cef")
	if at := mssp.Index + len(mssp.Raw) + len(`,"cef":`); !line.Exists() || line.Index != at {
		return text
	}

	return append(text[:mssp.Index+len(mssp.Raw):mssp.Index+len(mssp.Raw)], text[line.Index+len(line.Raw):]...)
}
