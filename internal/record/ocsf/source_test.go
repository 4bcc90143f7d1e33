package ocsf

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"github.com/ugorji/go/codec"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/ocsfcheck"
)

// Every API becomes events, with what the schema asks for.
func TestEveryAPIHasAMappingToOCSF(t *testing.T) {
	for _, api := range alert.APIs() {
		s := sources[api]
		if s == nil {
			t.Errorf("sources (names.go) has no row for the API %s", api)
			continue
		}

		facts, err := api.Descriptor()
		if err != nil {
			t.Fatal(err)
		}

		if s.incident != (facts.Row.Alerts != "") || s.incident != (s.inside != nil) {
			t.Errorf("%s: an incident is a row with alerts", api)
		}

		if s.once != (facts.Version == alert.VersionInIdentity) {
			t.Errorf("%s: an alert without versions is emitted once", api)
		}

		for field, want := range map[int]string{
			inID:      facts.Row.Identity,
			inUpdated: facts.Row.Updated,
			inCreated: facts.Row.Created,
			inTenant:  facts.Row.Tenant,
			inAlerts:  facts.Row.Alerts,
		} {
			if got := s.shape.paths[field]; got != want {
				t.Errorf("names.go: a field of %s is %q, and %q in its descriptor", api, got, want)
			}
		}

		for _, field := range []int{inTitle, inSeverity} {
			if s.shape.paths[field] == "" {
				t.Errorf("names.go: %s lacks its title or its severity", api)
			}
		}
	}

	if _, err := NewEncoder("another", "t"); err == nil {
		t.Error("an unknown API has an encoder")
	}
}

// The captions are the schema's, for the ids that it has.
func TestCaptionsAreThoseOfTheSchema(t *testing.T) {
	schema := ocsfcheck.Load(t)

	all := append([]enum{
		severities, alertStates, incidentStates, classifications, determinations, evidenceVerdicts, risks, analytics,
		registryTypes, algorithms, systems, activities, observableKinds,
	}, standalone...)

	for _, e := range all {
		object, attribute, _ := strings.Cut(e.attribute, ".")

		o := schema.Objects[object]
		if o == nil {
			o = schema.Classes[object]
		}

		if o == nil || o.Attributes[attribute] == nil {
			t.Errorf("the schema has no %s", e.attribute)
			continue
		}

		for _, w := range e.words {
			if got := o.Attributes[attribute].Enum[fmt.Sprint(w.id)]; got != w.caption {
				t.Errorf("%s: %d is %q, and here %q", e.attribute, w.id, got, w.caption)
			}
		}
	}

	for name, c := range map[string]class{"detection_finding": detectionFinding, "incident_finding": incidentFinding} {
		if o := schema.Classes[name]; o.UID != c.id || o.Attributes["class_uid"].Enum[fmt.Sprint(c.id)] != c.name {
			t.Errorf("%s is %d %q", name, o.UID, c.name)
		}
	}

	if schema.Version != schemaVersion {
		t.Errorf("the schema is %s", schema.Version)
	}
}

// Of an incident, its alerts are findings; what is left of them is in unmapped.
func TestIncidentsOfGraphKeepTheirAlerts(t *testing.T) {
	schema := ocsfcheck.Load(t)

	e, err := NewEncoder(alert.GraphIncidents, "t")
	if err != nil {
		t.Fatal(err)
	}

	for _, row := range []string{
		`{}`,
		`{"id":"29","displayName":"Multi-stage incident","status":"redirected","redirectIncidentId":"30",
		"severity":"medium",
		"createdDateTime":"2026-02-03T09:13:31Z","lastUpdateDateTime":"2026-02-03T10:13:31Z","customTags":["vip"],
		"systemTags":["Defender Experts"],"tenantId":"99999999-8888-7777-6666-555555555555","summary":"s","alerts":[
		{"id":"da1_1","title":"A","createdDateTime":"2026-02-03T09:13:31Z","mitreTechniques":["T1059.001"],
		"evidence":[{"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":"wks-1",
		"lastIpAddress":"192.0.2.1"}]},
		{"title":"without an id"},null,"x"]}`,
	} {
		dst, n, err := e.Append(nil, alert.Version{ID: alert.MakeID("t", "graph-incidents", nil, nil)}, []byte(row))
		if err != nil {
			t.Fatal(err)
		}

		text := jsonOf(t, dst, n)
		schema.Report(t, row, text)

		if row != "{}" {
			for path, want := range map[string]string{
				"class_uid":                                  "2005",
				"activity_name":                              "Close",
				"status":                                     "Closed",
				"desc":                                       "s",
				"finding_info_list.#":                        "2",
				"finding_info_list.1.uid":                    "da1_1",
				"metadata.correlation_uid":                   "29",
				"metadata.labels":                            `["Defender Experts","vip"]`,
				"assignee_group.name":                        "unassigned",
				"unmapped.redirectIncidentId":                "30",
				"unmapped.alerts.#":                          "4",
				"unmapped.alerts.0.id":                       "da1_1",
				"unmapped.alerts.1.title":                    "without an id",
				`observables.#(type_id==1).value`:            "wks-1",
				`observables.#(value=="192.0.2.1").type`:     "IP Address",
				"finding_info_list.1.analytic.name":          "A",
				"unmapped.alerts.0.evidence.0.deviceDnsName": "wks-1",
			} {
				if got := gjson.GetBytes(text, path); got.String() != want {
					t.Errorf("%s is %s, and not %s", path, got, want)
				}
			}
		}
	}
}

// jsonOf returns the n keys and values of msgpack as a JSON object.
func jsonOf(t *testing.T, b []byte, n int) []byte {
	t.Helper()

	var v map[string]any

	header := []byte{0xdf, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}

	handle := &codec.MsgpackHandle{}
	handle.RawToString, handle.MapType = true, reflect.TypeFor[map[string]any]()

	if err := codec.NewDecoderBytes(append(header, b...), handle).Decode(&v); err != nil {
		t.Fatal(err)
	}

	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}

	return text
}
