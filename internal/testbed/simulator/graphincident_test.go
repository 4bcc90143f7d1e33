package simulator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/testbed/simulator"
)

// threeAlerts makes the incident 7 with the alerts a, b and c.
func threeAlerts(t *testing.T, change ...func(*simulator.Config)) fixture {
	f := start(t, change...)
	for i, id := range []string{"a", "b", "c"} {
		at := f.clock.Now().Add(time.Duration(i) * time.Second)
		f.Add(contoso, simulator.Alert{ID: id, IncidentID: 7, Created: at})
	}

	f.clock.Advance(time.Minute)

	return f
}

func TestGraphIncidentsHaveAlertsOnlyWithExpand(t *testing.T) {
	f := threeAlerts(t)
	list := listPath[simulator.GraphIncidents]

	for query, want := range map[string]string{
		list + "?$expand=alerts":   `value.0.alerts.#.id`,
		list + "/7?$expand=alerts": `alerts.#.id`,
	} {
		a := f.get(simulator.GraphIncidents, contoso, query)
		if ids := gjson.Get(a.body, want); ids.Raw != `["a","b","c"]` {
			t.Errorf("%s: %s in %s", query, ids.Raw, a.body)
		}
	}

	for _, query := range []string{list, list + "/7"} {
		a := f.get(simulator.GraphIncidents, contoso, query)
		if a.status != 200 || strings.Contains(a.body, `"alerts"`) || !gjson.Valid(a.body) {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
}

func TestExpandFailsForTheIncidentNamed(t *testing.T) {
	f := threeAlerts(t, func(c *simulator.Config) { c.Faults = "expand:id=7" })
	f.Add(contoso, simulator.Alert{ID: "d", IncidentID: 8, Created: f.clock.Now()})
	f.clock.Advance(time.Minute)

	list := listPath[simulator.GraphIncidents]
	for query, want := range map[string]int{
		list + "?$expand=alerts":        500,
		list + "?$expand=alerts&$top=1": 200, // the newest is 8
		list + "/7?$expand=alerts":      500,
		list + "/8?$expand=alerts":      200,
		list:                            200,
		list + "/7":                     200,
	} {
		if a := f.get(simulator.GraphIncidents, contoso, query); a.status != want {
			t.Errorf("%s: %d, want %d", query, a.status, want)
		}
	}
}

func TestAlertsOfAnIncidentCanBeFiltered(t *testing.T) {
	f := threeAlerts(t)
	f.Add(contoso, simulator.Alert{ID: "d", IncidentID: 8, Created: f.clock.Now()})
	f.clock.Advance(time.Minute)

	a := f.get(simulator.Graph, contoso, listPath[simulator.Graph]+"?$filter=incidentId+eq+%277%27")
	if got := a.ids(t, "id"); got != "c b a" {
		t.Errorf("got %q", got)
	}
}

func TestIncidentsNeedTheirOwnPermission(t *testing.T) {
	f := threeAlerts(t)

	for role, want := range map[string]int{"SecurityAlert.Read.All": 403, "SecurityIncident.Read.All": 200} {
		f.SetApp(contoso, client, func(a *simulator.App) { a.Roles = []string{role} })

		if a := f.get(simulator.GraphIncidents, contoso, listPath[simulator.GraphIncidents]); a.status != want {
			t.Errorf("%s: %d %s", role, a.status, a.body)
		}

		if a := f.get(simulator.Graph, contoso, listPath[simulator.Graph]); a.status != 200 {
			t.Errorf("alerts with %s: %s", role, fmt.Sprint(a.status))
		}
	}
}
