package endtoend

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
)

// hostileMembers follow the identity and the update time of a row.
var hostileMembers = []string{
	`"title":null,"severity":null,"status":null,"evidence":null,"alerts":null,"comments":null`,
	`"title":5,"severity":[],"status":{},"evidence":{"a":1},"alerts":7,"comments":"x","createdDateTime":[1]`,
	`"title":{"a":[null]},"evidence":[null,5,"x",[],{}],"alerts":[null,5,"x",[],{}],"entities":[[[]]]`,
	`"title":"` + "\xff\xfe" + `"`,
	"\"\xc3(\":1",
	`"title":"\ud800","description":"\u0000"`,
	"\"title\":\"\x01\n\"",
	`"title":"a","title":"b","TITLE":"c","severity":"high","Severity":5`,
	`"mssp":{"kind":"raw"},"cef":"CEF:0|a|b|c|d|e|9|","message":"m","raw":"r","metadata":{"uid":"x"}`,
	`"n":1e400`,
	`"n":[123456789012345678901234567890,-0,0.1e-400,18446744073709551616]`,
	`"n":NaN`,
	`"n":01`,
	`"n":tru`,
	`"n":1,`,
	`"n":[1}`,
	`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40),
	`"evidence":[{"x":` + strings.Repeat(`{"a":[`, 5000) + strings.Repeat("]}", 5000) + `}]`,
	`"title":"` + strings.Repeat("| = \\\\ ", 20_000) + `"`,
	`"` + strings.Repeat("k", 70_000) + `":1`,
}

// hostileRows are rows that have no identity.
var hostileRows = []string{`{}`, `{"odd":1}`, `5`, `null`, `"text"`, `[]`, `[{"id":"a"}]`}

// addHostile lists one alert for each hostile row.
func (r *rig) addHostile(tenantID string) {
	now := time.Now()

	for i := range len(hostileMembers) + len(hostileRows) {
		at := now.Add(-time.Duration(i+1) * time.Minute).Truncate(time.Millisecond)
		raw := map[string]json.RawMessage{}

		for _, api := range simulator.APIs() {
			names := factsOf(r.t, api).Row
			if i >= len(hostileMembers) {
				raw[api] = json.RawMessage(hostileRows[i-len(hostileMembers)])
				continue
			}

			raw[api] = fmt.Appendf(nil, `{"%s":"%d","%s":"%s",%s}`,
				names.Identity, i, names.Updated, tick.FromTime(at).Text(), hostileMembers[i])
		}

		r.sim.Add(tenantID, simulator.Alert{ID: fmt.Sprint("h", i), Created: at, Raw: raw})
	}
}

// TestHostileRowsArriveOnceInEveryFormat: of every API, as an alert or as a record of
// kind raw, whatever is in them, and good rows between them.
func TestHostileRowsArriveOnceInEveryFormat(t *testing.T) {
	eachHost(t, func(t *testing.T, r *rig) {
		formats := record.FormatNames()
		customers := tenants(len(formats), 20)
		r.simulate(simulator.Config{Tenants: customers, Seed: 18})

		var inputs []flbhost.Instance

		customerOf := map[string]string{}
		for i, format := range formats {
			customerOf[format] = customers[i].ID
			r.addHostile(customers[i].ID)

			for _, in := range r.inputs(customers[i], simulator.APIs(), "format", format, "sweep_interval", "2s") {
				in.Tag = format
				inputs = append(inputs, in)
			}
		}

		r.mustStart(inputs...)
		r.until("every row in every format", time.Minute, func() bool {
			got := r.idsByTag()

			for format, tenantID := range customerOf {
				for _, api := range simulator.APIs() {
					if len(r.absent(tenantID, api, got[format])) > 0 {
						return false
					}
				}
			}

			return true
		})
		time.Sleep(3 * time.Second) // a sweep
		r.stop()

		for format, ids := range r.idsByTag() {
			raw := 0

			for id, kinds := range ids {
				if len(kinds) != 1 {
					t.Errorf("%s: %s came as %q", format, id, kinds)
				}

				if kinds[0] == "raw" {
					raw++
				}
			}

			t.Logf("%s: %d rows, %d of them of kind raw", format, len(ids), raw)
		}
	})
}

// idsByTag returns the kinds of the records that reached the chunks, by their tag and
// record_id.
func (r *rig) idsByTag() map[string]map[string][]string {
	r.t.Helper()

	records, err := r.host.Records()
	if err != nil {
		r.t.Fatal(err)
	}

	list := map[string]map[string][]string{}
	for _, rec := range records {
		if list[rec.Tag] == nil {
			list[rec.Tag] = map[string][]string{}
		}

		mssp := gjson.GetBytes(r.alert(rec).text, "mssp")
		id := mssp.Get("record_id").Str
		list[rec.Tag][id] = append(list[rec.Tag][id], mssp.Get("kind").Str)
	}

	return list
}

// absent returns what an API lists and is not among the ids.
func (r *rig) absent(tenantID, api string, ids map[string][]string) (keys []string) {
	for _, key := range r.sim.Ledger(tenantID, api).Latest {
		if len(ids[recordID(tenantID, api, key)]) == 0 {
			keys = append(keys, key)
		}
	}

	return keys
}
