package simulator

import "time"

// xdrIncidentRow fills a row with an incident.
func xdrIncidentRow(t *tenant, r *row, i incident) {
	r.full = replaced(i.first, Incidents, func() []byte {
		return renderIncident(i.id, i.first, i.alerts, t.printed(Incidents, i.updated), i.created)
	})
}

// renderIncident writes an incident of defender-xdr/api-list-incidents.md with its
// alerts. Its name, status and overrides are those of the alert first; the alerts
// inside have no overrides.
func renderIncident(id int64, first *Alert, alerts []*Alert, updated, created time.Time) []byte {
	o := object{b: make([]byte, 0, 2560), escapes: first.Escapes, over: first.Fields[Incidents]}
	o.open()
	o.int("incidentId", id)
	o.intOrNull("redirectIncidentId", first.RedirectIncidentID)
	o.text("incidentName", first.Title)
	o.time("createdTime", created)
	o.time("lastUpdateTime", updated)
	o.orNull("assignedTo", first.AssignedTo)
	o.text("classification", "Unknown")
	o.text("determination", "NotAvailable")

	switch {
	case first.RedirectIncidentID != 0:
		o.text("status", "Redirected")
	case first.Status == "Resolved":
		o.text("status", "Resolved")
	default:
		o.text("status", "Active")
	}

	o.text("severity", first.Severity)
	o.raw("tags", "[]")
	o.list("comments", len(first.Comments), func(o *object, i int) {
		o.text("comment", first.Comments[i].Text)
		o.text("createdBy", first.Comments[i].By)
		o.time("createdTime", first.Comments[i].At)
	})
	o.list("alerts", len(alerts), func(o *object, i int) { incidentAlert(o, alerts[i]) })
	o.close()

	return o.b
}

func incidentAlert(o *object, a *Alert) {
	o.escapes = a.Escapes
	o.text("alertId", a.ID)
	o.int("incidentId", a.IncidentID)
	o.text("serviceSource", "MicrosoftDefenderATP")
	o.time("creationTime", a.Created)
	o.time("lastUpdatedTime", a.Updated)
	o.raw("resolvedTime", "null")
	o.time("firstActivity", firstEvent(a))
	o.time("lastActivity", lastEvent(a))
	o.text("title", a.Title)
	o.text("description", a.Description)
	o.text("category", a.Category)
	o.text("status", a.Status)
	o.text("severity", a.Severity)
	o.raw("investigationId", "null")
	o.text("investigationState", "UnsupportedOs")
	o.raw("classification", "null")
	o.raw("determination", "null")
	o.text("detectionSource", "WindowsDefenderAv")
	o.orNull("assignedTo", a.AssignedTo)
	o.raw("actorName", "null")
	o.raw("threatFamilyName", "null")
	o.texts("mitreTechniques", a.Techniques)

	devices := 0
	if a.DeviceID != "" {
		devices = 1
	}

	o.list("devices", devices, func(o *object, _ int) {
		o.text("mdatpDeviceId", a.DeviceID)
		o.raw("aadDeviceId", "null")
		o.orNull("deviceDnsName", a.Machine)
		o.text("osPlatform", "Windows11")
		o.int("osBuild", 22631)
		o.orNull("rbacGroupName", a.MachineGroup)
	})
	list := entities(a)
	o.list("entities", len(list), func(o *object, i int) { flatEvidence(o, &list[i]) })
}

// The activity that an alert is about happened shortly before the alert was made.
func firstEvent(a *Alert) time.Time { return a.Created.Add(-179 * time.Second) }
func lastEvent(a *Alert) time.Time  { return a.Created.Add(-178234567800 * time.Nanosecond) }
