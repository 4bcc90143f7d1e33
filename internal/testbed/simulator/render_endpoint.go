package simulator

// endpointRow fills a row with an alert.
func endpointRow(t *tenant, r *row, a Alert) {
	a.Updated = t.printed(Endpoint, a.Updated)

	r.full = replaced(&a, Endpoint, func() (b []byte) {
		b, r.cut = renderEndpoint(&a, t.ID)
		r.short = []byte("[]}")

		return b
	})
}

// renderEndpoint writes an alert as defender-endpoint/api/get-alerts.md shows it. The
// evidence comes last; evidenceAt is where its array begins, so that the row without
// $expand=evidence can be cut from the same bytes.
func renderEndpoint(a *Alert, tenantID string) (row []byte, evidenceAt int) {
	o := object{b: make([]byte, 0, 2048), escapes: a.Escapes, over: a.Fields[Endpoint]}
	o.open()
	endpointState(&o, a)
	endpointTexts(&o, a, tenantID)
	relatedUser(&o, userOf(a))

	o.list("comments", len(a.Comments), func(o *object, i int) {
		o.text("comment", a.Comments[i].Text)
		o.text("createdBy", a.Comments[i].By)
		o.time("createdTime", a.Comments[i].At)
	})

	_, replaced := o.over["evidence"]
	if replaced {
		o.raw("evidence", "")
	}

	o.rest()

	if !replaced {
		o.key("evidence")
		evidenceAt = len(o.b)
		list := entities(a)
		o.array(len(list), func(o *object, i int) { flatEvidence(o, &list[i]) })
	}

	o.close()

	return o.b, evidenceAt
}

// endpointState writes ids, state and detector.
func endpointState(o *object, a *Alert) {
	o.text("id", a.ID)
	o.int("incidentId", a.IncidentID)
	o.raw("investigationId", "null")
	o.orNull("assignedTo", a.AssignedTo)
	o.text("severity", a.Severity)
	o.text("status", a.Status)
	o.raw("classification", "null")
	o.raw("determination", "null")
	o.text("investigationState", "Queued")

	if a.DetectionSource == "antivirus" {
		o.text("detectionSource", "WindowsDefenderAv")
	} else {
		o.text("detectionSource", "WindowsDefenderAtp")
	}

	if _, ok := o.over["detectorId"]; ok || a.Empty != EmptyMissing { // older alerts have none
		o.text("detectorId", detectorID(a))
	}
}

// endpointTexts writes what the alert is about, its times and its device.
func endpointTexts(o *object, a *Alert, tenantID string) {
	o.text("category", a.Category)
	o.raw("threatFamilyName", "null")
	o.text("title", a.Title)
	o.text("description", a.Description)
	o.time("alertCreationTime", a.Created)
	o.time("firstEventTime", firstEvent(a))
	o.time("lastEventTime", lastEvent(a))
	o.time("lastUpdateTime", a.Updated)

	if a.Status == "Resolved" {
		o.time("resolvedTime", a.Updated)
	} else {
		o.raw("resolvedTime", "null")
	}

	o.orNull("machineId", a.DeviceID)
	o.orNull("computerDnsName", a.Machine)
	o.orNull("rbacGroupName", a.MachineGroup)
	o.text("aadTenantId", tenantID)
	o.raw("threatName", "null")
	o.texts("mitreTechniques", a.Techniques)
}

// relatedUser writes the user of an alert, null if there is none.
func relatedUser(o *object, u *Evidence) {
	if u == nil {
		o.raw("relatedUser", "null")
		return
	}

	if !o.begin("relatedUser") {
		return
	}

	in := object{b: o.b, escapes: o.escapes}
	in.open()
	in.text("userName", u.AccountName)
	in.text("domainName", u.DomainName)
	in.close()
	o.b = in.b
}

// entities returns the evidence without devices, which both APIs show in fields of their
// own.
func entities(a *Alert) []Evidence {
	list := make([]Evidence, 0, len(a.Evidence))
	for _, e := range a.Evidence {
		if e.Type != "Device" {
			list = append(list, e)
		}
	}

	return list
}

// flatEvidence writes an entity with every key; keys that do not apply are null.
func flatEvidence(o *object, e *Evidence) {
	o.text("entityType", e.Type)
	o.time("evidenceCreationTime", e.Created)
	o.orNull("sha1", e.Sha1)
	o.orNull("sha256", e.Sha256)
	o.orNull("fileName", e.FileName)
	o.orNull("filePath", e.FilePath)
	o.intOrNull("processId", e.ProcessID)
	o.orNull("processCommandLine", e.CommandLine)
	o.raw("processCreationTime", "null")
	o.intOrNull("parentProcessId", e.ParentProcessID)

	for _, key := range []string{"parentProcessCreationTime", "parentProcessFileName", "parentProcessFilePath"} {
		o.raw(key, "null")
	}

	o.orNull("ipAddress", e.IPAddress)
	o.orNull("url", e.URL)
	o.orNull("registryKey", e.RegistryKey)
	o.raw("registryHive", "null")
	o.raw("registryValueType", "null")
	o.orNull("registryValue", e.RegistryValue)
	o.orNull("accountName", e.AccountName)
	o.orNull("domainName", e.DomainName)
	o.orNull("userSid", e.UserSID)
	o.raw("aadUserId", "null")
	o.raw("userPrincipalName", "null")

	if e.Type == "User" {
		o.raw("detectionStatus", "null")
	} else {
		o.text("detectionStatus", "Detected")
	}
}

// userOf returns the evidence of the alert's user, nil if there is none.
func userOf(a *Alert) *Evidence {
	for i := range a.Evidence {
		if a.Evidence[i].Type == "User" {
			return &a.Evidence[i]
		}
	}

	return nil
}
