package simulator

import (
	"slices"
	"strings"
	"time"
)

// A dataAPI has what the simulator knows of one data API. TestEveryDataAPIIsWhole demands
// each of its facts.
type dataAPI struct {
	name string
	// path is that of its list, in any case.
	path string
	// onGraph says that Microsoft Graph has it: all such lists are on one host.
	onGraph bool
	// quota is the documented one; zero fields are not documented.
	quota Quota
	// needs is what the permissions that allow reading begin with; empty if any of its
	// resource does.
	needs string
	// list has its OData options; nil for the SIEM API, which is no OData service.
	list *odataAPI

	// identity, updated and alertUpdated are the fields of a row that make identity and
	// version, as docs/contract.md has them; alertUpdated is that of the alerts inside an
	// incident.
	identity, updated, alertUpdated string

	// An API lists alerts or incidents: alertRow fills a row with an alert, incidentRow
	// with an incident. The SIEM API lists detections and has neither.
	alertRow    func(t *tenant, r *row, a Alert)
	incidentRow func(t *tenant, r *row, i incident)
}

// incident is an incident as it is at a moment.
type incident struct {
	id int64
	// first is the alert from which its name and state are; alerts are in the order of
	// their creation.
	first            *Alert
	alerts           []*Alert
	updated, created time.Time
}

// dataAPIs are all of them, in the order in which Start assigns ports to them.
var dataAPIs = []*dataAPI{
	{
		name: SIEM,
		path: "/api/alerts",
	},
	{
		name:     Endpoint,
		path:     "/api/alerts",
		quota:    Quota{PerMinute: 100, PerHour: 1500}, // get-alerts.md
		list:     endpointList,
		identity: "id",
		updated:  "lastUpdateTime",
		alertRow: endpointRow,
	},
	{
		name:     Graph,
		path:     "/v1.0/security/alerts_v2",
		onGraph:  true,
		quota:    Quota{PerMinute: 150}, // concepts/throttling-limits.md
		list:     graphList,
		identity: "id",
		updated:  "lastUpdateDateTime",
		alertRow: graphAlertRow,
	},
	{
		name:        Incidents,
		path:        "/api/incidents",
		quota:       Quota{PerMinute: 50, PerHour: 1500}, // api-list-incidents.md
		list:        incidentsList,
		identity:    "incidentId",
		updated:     "lastUpdateTime",
		incidentRow: xdrIncidentRow,

		alertUpdated: "lastUpdatedTime", // with a d, unlike that of the incident
	},
	{
		name:        GraphIncidents,
		path:        "/v1.0/security/incidents",
		onGraph:     true,
		quota:       Quota{PerMinute: 150}, // concepts/throttling-limits.md
		needs:       "SecurityIncident.",
		list:        graphIncidentsList,
		identity:    "id",
		updated:     "lastUpdateDateTime",
		incidentRow: graphIncidentRow,

		alertUpdated: "lastUpdateDateTime",
	},
}

// APIs lists the data APIs.
func APIs() []string {
	names := make([]string, len(dataAPIs))
	for i, a := range dataAPIs {
		names[i] = a.name
	}

	return names
}

// dataAPIOf returns the data API of a name; nil for Login, Partner and names of nothing.
func dataAPIOf(name string) *dataAPI {
	i := slices.IndexFunc(dataAPIs, func(a *dataAPI) bool { return a.name == name })
	if i < 0 {
		return nil
	}

	return dataAPIs[i]
}

// isGraph reports whether Microsoft Graph has the API.
func isGraph(api string) bool {
	a := dataAPIOf(api)
	return a != nil && a.onGraph
}

// listsIncidents reports whether the rows of the API are incidents.
func listsIncidents(api string) bool {
	a := dataAPIOf(api)
	return a != nil && a.incidentRow != nil
}

// odataOf returns the OData options of an API that has some.
func odataOf(api string) *odataAPI { return dataAPIOf(api).list }

// graphAPI returns the API that a path of Microsoft Graph belongs to; usual if it belongs
// to none.
func graphAPI(usual, path string) string {
	path = strings.ToLower(path)
	if strings.HasPrefix(path, "/v1.0/tenantrelationships/") {
		return Graph
	}

	for _, a := range dataAPIs {
		if a.onGraph && strings.HasPrefix(path, a.path) {
			return a.name
		}
	}

	return usual
}
