package simulator_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
)

func key(identity string, at time.Time, more ...string) string {
	return fmt.Sprint(identity, "\n", int64(tick.FromTime(at)), strings.Join(more, ""))
}

func TestLedgerKnowsVersions(t *testing.T) {
	f := start(t)
	created := f.clock.Now().Add(-time.Minute)
	f.Add(contoso, simulator.Alert{
		ID:         "a",
		IncidentID: 7,
		Created:    created,
		Detections: []simulator.Detection{{IocUniqueID: "x"}, {IocUniqueID: "y"}},
	})
	f.get(simulator.Graph, contoso, listPath[simulator.Graph])
	f.get(simulator.Graph, contoso, listPath[simulator.Graph])
	f.get(simulator.Incidents, contoso, listPath[simulator.Incidents])
	f.clock.Advance(time.Minute)
	updated := f.clock.Now()
	f.Update(contoso, "a", updated, func(a *simulator.Alert) {
		a.Status = "Resolved"
		a.Detections = append(a.Detections, simulator.Detection{IocUniqueID: "z", LastProcessed: updated})
	})
	l := f.Ledger(contoso, simulator.Graph)

	first, second := key("a", created), key("a", updated)
	if l.Served[first] != 2 || l.Served[second] != 0 || l.Latest["a"] != second || len(l.Exists) != 2 {
		t.Errorf("graph: %v, latest %v", l.Served, l.Latest)
	}

	if !strings.Contains(string(l.Exists[second]), `"status":"resolved"`) ||
		!l.First[first].Equal(created.Add(time.Minute)) ||
		l.Updated[second] != int64(tick.FromTime(updated)) {
		t.Errorf("graph: %s, first served %v", l.Exists[second], l.First)
	}

	l = f.Ledger(contoso, simulator.Incidents)
	if l.Served[key("7", created, ":1")] != 1 || l.Latest["7"] != key("7", updated, ":1") {
		t.Errorf("incidents: %v, latest %v", l.Served, l.Latest)
	}

	l = f.Ledger(contoso, simulator.SIEM)
	for _, part := range []string{"x", "y", "z"} {
		if l.Latest["a:"+part] != "a:"+part+"\n" {
			t.Errorf("siem: no part %s in %v", part, l.Latest)
		}
	}

	if part := string(l.Exists["a:z\n"]); !strings.Contains(part, `"AlertPart":2`) {
		t.Errorf("siem: the third part is %s", part)
	}
}

func TestIncidentsGrow(t *testing.T) {
	f := start(t)
	now := f.clock.Now()
	f.Add(contoso, simulator.Alert{ID: "a", IncidentID: 7, Created: now})

	list := func() string {
		a := f.get(simulator.Incidents, contoso, listPath[simulator.Incidents])

		var page struct {
			Value []struct{ Alerts []struct{ AlertID string } }
		}
		if err := json.Unmarshal([]byte(a.body), &page); err != nil {
			t.Fatal(err)
		}

		var b strings.Builder

		for _, v := range page.Value {
			for _, x := range v.Alerts {
				b.WriteString(x.AlertID)
			}

			b.WriteByte(';')
		}

		return b.String()
	}
	step := func(want string) {
		t.Helper()

		if got := list(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	step("a;")
	f.Add(contoso, simulator.Alert{
		ID:         "late",
		IncidentID: 7,
		Created:    now,
		VisibleAt:  now.Add(time.Hour),
	})
	step("a;")
	f.clock.Advance(time.Minute)
	f.Add(contoso, simulator.Alert{ID: "b", IncidentID: 7, Created: now.Add(time.Minute)}) // listed before "late"
	step("ab;")
	f.clock.Advance(time.Hour)
	step("alateb;")

	if l := f.Ledger(contoso, simulator.Incidents); len(l.Exists) != 3 || len(l.Served) != 3 {
		t.Errorf("%d versions, %d served", len(l.Exists), len(l.Served))
	}

	f.Add(contoso, simulator.Alert{
		ID:                 "c",
		IncidentID:         8,
		Created:            f.clock.Now(),
		RedirectIncidentID: 7,
	})

	a := f.get(simulator.Incidents, contoso, listPath[simulator.Incidents]+"?$top=1")
	if !strings.Contains(a.body, `"redirectIncidentId":7`) ||
		!strings.Contains(a.body, `"status":"Redirected"`) {
		t.Errorf("merged: %s", a.body)
	}
}

func TestUpdatesListedLate(t *testing.T) {
	f := start(t)
	now := f.clock.Now()
	f.Add(contoso, simulator.Alert{ID: "a", Created: now.Add(-time.Minute)})
	f.Update(contoso, "a", now, func(a *simulator.Alert) { a.Title, a.VisibleAt = "new", now.Add(time.Hour) })

	a := f.get(simulator.Graph, contoso, listPath[simulator.Graph])
	if strings.Contains(a.body, `"title":"new"`) ||
		a.ids(t, "id") != "a" {
		t.Errorf("before: %s", a.body)
	}

	f.clock.Advance(time.Hour)

	a = f.get(simulator.Graph, contoso, listPath[simulator.Graph])
	if !strings.Contains(a.body, `"title":"new"`) ||
		a.ids(t, "id") != "a" {
		t.Errorf("after: %s", a.body)
	}
}

func TestOverridesAndRawRows(t *testing.T) {
	f := start(t)
	f.Add(contoso, simulator.Alert{
		ID:      "a",
		Created: f.clock.Now().Add(-time.Minute),
		Fields: map[string]map[string]json.RawMessage{
			simulator.Endpoint: {
				"title":    json.RawMessage("18446744073709551615"),
				"status":   nil,
				"evidence": json.RawMessage(`[7]`),
				"new":      json.RawMessage("1e5"),
			},
		},
		Raw: map[string]json.RawMessage{simulator.Graph: json.RawMessage(`{"odd":1}`)},
	})

	a := f.get(simulator.Endpoint, contoso, "/api/alerts")
	if !strings.Contains(a.body, `"title":18446744073709551615`) || strings.Contains(a.body, `"status"`) ||
		!strings.Contains(a.body, `"evidence":[7],"new":1e5}]}`) {
		t.Errorf("replaced: %s", a.body)
	}

	a = f.get(simulator.Graph, contoso, listPath[simulator.Graph])
	if !strings.Contains(a.body, `"value":[{"odd":1}]`) {
		t.Errorf("raw: %s", a.body)
	}

	l := f.Ledger(contoso, simulator.Graph)
	if len(l.Served) != 1 || len(l.Latest) != 1 {
		t.Errorf("served %v, latest %v", l.Served, l.Latest)
	}

	for k := range l.Served {
		if len(k) != 65 || k[64] != '\n' {
			t.Errorf("a row without an id goes by its hash: %q", k)
		}
	}
}

func TestPrintedStep(t *testing.T) {
	f := start(t, func(c *simulator.Config) {
		c.PrintedStep = map[string]time.Duration{simulator.Endpoint: 10 * time.Millisecond}
	})
	f.Add(contoso, simulator.Alert{
		ID:      "a",
		Created: f.clock.Now().Add(-time.Minute),
		Updated: f.clock.Now().Add(-time.Minute + 123456700),
	})

	a := f.get(simulator.Endpoint, contoso, "/api/alerts?$filter=lastUpdateTime+gt+2026-03-01T11:59:00.12Z")
	if a.ids(t, "lastUpdateTime") != "2026-03-01T11:59:00.12Z" {
		t.Errorf("got %s", a.body)
	}
}

func TestGenerateIsReproducibleAndHostile(t *testing.T) {
	bodies := map[string]string{}

	for range 2 {
		f := start(t)
		f.Generate(contoso, 300, simulator.GenerateOptions{})
		f.clock.Advance(time.Second)

		for _, api := range simulator.APIs() {
			l := f.Ledger(contoso, api)

			var b strings.Builder

			for _, k := range slices.Sorted(maps.Keys(l.Exists)) {
				if !json.Valid(l.Exists[k]) {
					t.Fatalf("%s: not JSON: %s", api, l.Exists[k])
				}

				b.Write(l.Exists[k])
			}

			if old, ok := bodies[api]; ok && old != b.String() {
				t.Errorf("%s: two runs differ", api)
			}

			bodies[api] = b.String()
		}
	}

	for _, want := range []string{
		`\"`, `\\`, `\n`, `\u0001`, `😀`, `\ud83d\ude00`, "日本語", `\u65e5`, `18446744073709551616`,
		`-9223372036854775808`, `"Sha256":""`, `"Sha256":null`,
		`IoaDefinitiondId`, `"AlertPart":1`, `00Z"`,
	} {
		if !strings.Contains(bodies[simulator.SIEM], want) && !strings.Contains(bodies[simulator.Graph], want) {
			t.Errorf("nowhere is there a %s", want)
		}
	}

	f := start(t)
	f.Generate(contoso, 400, simulator.GenerateOptions{})

	times := map[int64]int{}
	ties := 0

	l := f.Ledger(contoso, simulator.Graph)
	for _, at := range l.Updated {
		if times[at]++; times[at] > 1 {
			ties++
		}
	}

	if ties < 10 || len(l.Exists) != 400 {
		t.Errorf("%d ties among %d alerts", ties, len(l.Exists))
	}
}

func TestSampleAlertIsReproducible(t *testing.T) {
	at := newClock().Now()

	a, b, c := simulator.SampleAlert(1, 2, at), simulator.SampleAlert(1, 2, at), simulator.SampleAlert(1, 3, at)
	if fmt.Sprint(a) != fmt.Sprint(b) || fmt.Sprint(a) == fmt.Sprint(c) || !a.Updated.Equal(at) {
		t.Errorf("got %v, %v and %v", a, b, c)
	}
}
