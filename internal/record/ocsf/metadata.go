package ocsf

// metadata writes where the event comes from.
func (e *event) metadata(f fields) {
	w := &e.w
	w.object("metadata")
	w.word("version", schemaVersion)

	w.object("product")
	w.word("name", product)
	w.word("vendor_name", vendor)
	w.close()

	tenant := e.take(f, inTenant)
	if len(tenant) == 0 {
		tenant = e.tenant
	}

	w.text("tenant_uid", tenant)
	w.text("uid", e.version.ID[:])
	e.originalID(f)
	w.text("log_name", e.log)
	e.writeProfiles()
	e.labels(f)
	w.time("modified_time", e.changed)
	w.close()

	w.object("cloud")
	w.word("provider", "Azure")
	w.close()
}

// originalID writes the ids that the service has for the row and for its incident.
func (e *event) originalID(f fields) {
	id, incident := e.text(f[inID]), e.text(f[inIncident])

	switch {
	case e.source.incident:
		incident = id
	case e.source.once:
		if other := e.text(f[inOtherID]); len(other) > 0 {
			id = other
		}
	}

	e.w.text("original_event_uid", id)
	e.w.text("correlation_uid", incident)
}

// writeProfiles writes the names of the profiles whose attributes the event has.
func (e *event) writeProfiles() {
	w := &e.w
	w.array("profiles")
	w.name("cloud")

	for _, p := range [...]struct {
		name string
		used bool
	}{
		{"host", e.profiles.host},
		{"incident", e.profiles.incident},
		{"security_control", e.profiles.securityControl},
	} {
		if p.used {
			w.name(p.name)
		}
	}

	w.close()
}

// labels writes the tags of the finding.
func (e *event) labels(f fields) {
	e.w.array("labels")

	for _, field := range [...]int{inTags, inCustomTags} {
		if e.texts(f[field], e.w.item) {
			f[field].used = true
		}
	}

	e.w.close()
}
