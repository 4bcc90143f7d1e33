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
	"fluent-bit-defender/internal/testbed/simulator"
)

// TestEveryFormatArrivesWholeFromEveryAPI runs an input for each format and API, all for
// one customer, and looks at every record that arrives. Of the alerts some have equal
// times; the long form updates some in each round and lists others hours late.
func TestEveryFormatArrivesWholeFromEveryAPI(t *testing.T) {
	schema := ocsfcheck.Load(t)

	eachHost(t, func(t *testing.T, r *rig) {
		customers := tenants(1, setup.Size(40, 700))
		r.simulate(simulator.Config{Tenants: customers, Seed: 16})
		c := customers[0]

		var inputs []flbhost.Instance

		for _, format := range record.FormatNames() {
			for _, in := range r.inputs(c, simulator.APIs(), "format", format, "state_id", format, "sweep_interval", "5s") {
				in.Tag = format
				inputs = append(inputs, in)
			}
		}

		r.mustStart(inputs...)

		for round := range setup.Size(1, 4) {
			if round > 0 {
				r.updateAndAddLate(c.ID, round)
			}

			r.untilAllFormats(c.ID)
		}

		r.stop()

		byTag := r.byTag()
		for _, format := range record.FormatNames() {
			r.checkFormat(schema, c.ID, format, byTag[format])
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
	})
}

// untilAllFormats waits until each format has the latest version of everything that the
// APIs list.
func (r *rig) untilAllFormats(tenantID string) {
	r.t.Helper()
	r.until("all records of all formats", setup.LongWait, func() bool {
		byTag := r.byTag()

		return !slices.ContainsFunc(record.FormatNames(), func(format string) bool {
			return len(r.lacking(tenantID, byTag[format])) > 0
		})
	})
}

// lacking returns the latest versions, by record_id, that are not among the alerts.
func (r *rig) lacking(tenantID string, got []alert) (ids []string) {
	have := map[string]bool{}
	for _, a := range got {
		have[a.id] = true
	}

	for _, api := range simulator.APIs() {
		for _, key := range r.sim.Ledger(tenantID, api).Latest {
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

		apis := []string{"graph", "graph-incidents", "endpoint", "incidents"}
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

	first, later := 0, 0
	seen := map[string]bool{}

	for _, rec := range records {
		a := r.alert(rec)
		if a.id == "" || a.api != api || a.tenantID != tenantID {
			continue
		}

		id := gjson.GetBytes(a.text, "metadata.original_event_uid").String()
		activity := gjson.GetBytes(a.text, "activity_id").Int()

		if want := map[bool]int64{false: 1, true: 2}[seen[id]]; activity != 3 && activity != want {
			r.t.Errorf("%s: activity %d of a version, and not %d: %s", api, activity, want, a.text)
		}

		if seen[id] {
			later++
		} else {
			first++
		}

		seen[id] = true
	}

	r.t.Logf("%s: %d first versions, %d later ones", api, first, later)

	if later == 0 {
		r.t.Errorf("%s: no alert had a later version", api)
	}
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

	if lost := r.lacking(tenantID, got); len(lost) > 0 {
		r.t.Errorf("%s: %d records, %d lost", format, len(got), len(lost))
	}

	r.t.Logf("%s: %d records", format, len(got))

	body, line := strings.TrimSuffix(format, "+cef"), strings.HasSuffix(format, "cef")
	seen := map[string]bool{}

	for _, a := range got {
		row, known := sent[a.id]
		if !known || seen[a.id] {
			r.t.Errorf("%s: a record that was never sent, or comes twice: %s", format, a.text)
		}

		seen[a.id] = true

		if cef := gjson.GetBytes(a.text, "cef").Str; strings.HasPrefix(cef, "CEF:0|Microsoft|") != line {
			r.t.Errorf("%s: the line is %.60q", format, cef)
		}

		switch body {
		case "raw":
			if message := gjson.GetBytes(a.text, "message").Str; message != row {
				r.t.Errorf("%s: the message is not what the API sent:\n%s\n%s", format, message, row)
			}
		case "ocsf":
			if uid := gjson.GetBytes(a.text, "metadata.uid").Str; uid != a.id {
				r.t.Errorf("%s: metadata.uid is %q of %s", format, uid, a.id)
			}

			schema.Report(r.t, format, a.text)
		case "cef":
		case "json":
			if have := alertOf(withoutCEF(a.text)); canonical(r.t, have, false) != canonical(r.t, []byte(row), true) {
				r.t.Errorf("%s: the record differs from what the API sent:\n%s\n%s", format, have, row)
			}
		default:
			r.t.Errorf("%s: nothing is known of what such a record holds", format)
		}
	}
}

// withoutCEF takes the key cef off a record, where it stands straight behind mssp.
func withoutCEF(text []byte) []byte {
	mssp, line := gjson.GetBytes(text, "mssp"), gjson.GetBytes(text, "cef")
	if at := mssp.Index + len(mssp.Raw) + len(`,"cef":`); !line.Exists() || line.Index != at {
		return text
	}

	return append(text[:mssp.Index+len(mssp.Raw):mssp.Index+len(mssp.Raw)], text[line.Index+len(line.Raw):]...)
}
