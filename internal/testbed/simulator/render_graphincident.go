package simulator

import (
	"bytes"
	"slices"
	"strconv"
	"time"
)

// graphIncidentRow fills a row with an incident.
func graphIncidentRow(t *tenant, r *row, i incident) {
	render := func(mask bool) ([]byte, int) {
		rows := make([][]byte, len(i.alerts))
		for k, a := range i.alerts {
			rows[k] = t.graphRow(*a, mask)
		}

		return renderGraphIncident(i.id, i.first, rows, t.ID, t.printed(GraphIncidents, i.updated), i.created)
	}

	r.full = replaced(i.first, GraphIncidents, func() (b []byte) {
		b, r.cut = render(false)
		r.short = []byte("}")

		return b
	})

	if i.first.Raw[GraphIncidents] == nil && slices.ContainsFunc(i.alerts, masksAnything) {
		r.mask = func() []byte {
			b, _ := render(true)
			return b
		}
	}
}

// renderGraphIncident writes a microsoft.graph.security.incident
// (resources/security-incident.md) with its alerts, each a row of alerts_v2. Its name,
// status and overrides are those of the alert first. The alerts come last: without
// $expand the row ends at alertsAt.
func renderGraphIncident(
	id int64,
	first *Alert,
	alerts [][]byte,
	tenantID string,
	updated, created time.Time,
) (row []byte, alertsAt int) {
	number := strconv.FormatInt(id, 10)
	o := object{b: make([]byte, 0, 2560), escapes: first.Escapes, over: first.Fields[GraphIncidents]}

	o.open()
	o.text("id", number)
	o.text("tenantId", tenantID)
	o.text("status", graphIncidentStatus(first))
	o.text("incidentWebUrl", "https://security.microsoft.com/incidents/"+number+"?tid="+tenantID)

	if first.RedirectIncidentID != 0 {
		o.text("redirectIncidentId", strconv.FormatInt(first.RedirectIncidentID, 10))
	} else {
		o.raw("redirectIncidentId", "null")
	}

	o.text("displayName", first.Title)
	o.time("createdDateTime", created)
	o.time("lastUpdateDateTime", updated)
	o.orNull("assignedTo", first.AssignedTo)
	o.text("classification", "unknown")
	o.text("determination", "unknown")
	o.text("severity", camel(first.Severity))
	o.raw("customTags", "[]")
	o.raw("systemTags", "[]")
	o.text("description", first.Description)
	o.raw("summary", "null")
	o.list("comments", len(first.Comments), func(o *object, i int) {
		o.text("comment", first.Comments[i].Text)
		o.text("createdByDisplayName", first.Comments[i].By)
		o.time("createdDateTime", first.Comments[i].At)
	})

	_, replaced := o.over["alerts"]
	if replaced {
		o.raw("alerts", "")
	}

	o.rest()

	if !replaced {
		alertsAt = len(o.b)
		o.key("alerts")
		o.b = append(o.b, '[')
		o.b = append(o.b, bytes.Join(alerts, []byte{','})...)
		o.b = append(o.b, ']')
	}

	o.close()

	return o.b, alertsAt
}

// graphIncidentStatus returns the status of an incident by its first alert.
func graphIncidentStatus(a *Alert) string {
	switch {
	case a.RedirectIncidentID != 0:
		return "redirected"
	case a.Status == "Resolved":
		return "resolved"
	}

	return "active"
}
