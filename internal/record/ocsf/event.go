package ocsf

import (
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/record/msgpack"
	"fluent-bit-defender/internal/tick"
)

// An event is one row on its way to the keys of an event. It keeps scratch memory for the
// next row.
type event struct {
	w      writer
	scan   scanner
	arena  []byte // texts without their escapes
	joined []byte // the texts of the comments

	source  *source
	tenant  []byte
	log     []byte
	version alert.Version

	made, changed tick.Tick // when the finding was made and last changed; 0 for unknown

	row      fields // of the finding, and of the artifact that the row itself is
	inner    fields // of an alert inside an incident
	artifact fields // of a piece of evidence

	device      []byte // the first device of the evidence as it was written, with its key
	observables observables
	profiles    profiles
}

// profiles are the profiles of the schema whose attributes an event has.
type profiles struct{ host, incident, securityControl bool }

// read checks the row and finds its fields.
func (e *event) read(raw []byte) error {
	e.scan.src = raw
	e.row = cleared(e.row, e.source.shape.size)

	i := e.scan.space(0)
	if e.scan.peek(i) != '{' {
		return msgpack.RowError(msgpack.ErrNotObject, i)
	}

	end := e.scan.object(&e.source.shape.root, e.row, i)
	if end < 0 {
		return msgpack.RowError(msgpack.ErrSyntax, e.scan.at)
	}

	if end = e.scan.space(end); end < len(raw) {
		return msgpack.RowError(msgpack.ErrSyntax, end)
	}

	return nil
}

// cleared returns f with n empty values.
func cleared(f fields, n int) fields {
	if cap(f) < n {
		return make(fields, n)
	}

	f = f[:n]
	clear(f)

	return f
}

// detection writes an alert as a Detection Finding.
func (e *event) detection() {
	w, f := &e.w, e.row
	a := e.head(detectionFinding, &alertStates)

	w.truth("is_alert", a != closed)
	e.verdict(f)
	e.w.text("message", e.text(f[inTitle]))
	e.comment(f)
	e.malware(f)
	e.remediation(f)
	e.assignee(f)

	if link := e.take(f, inIncidentLink); len(link) > 0 {
		e.profiles.incident = true
		w.text("src_url", link)
	}

	if e.attacks(f, false) {
		e.profiles.securityControl = true
	}

	w.object("finding_info")
	e.finding(f, e.source, false)
	w.close()

	e.evidence()
	e.mainDevice()
	e.observables.write(w)
	e.metadata(f)
	e.unmapped()
}

// incident writes an incident as an Incident Finding.
func (e *event) incident() {
	w, f := &e.w, e.row
	a := e.head(incidentFinding, &incidentStates)

	w.truth("is_alert", a != closed)
	e.verdict(f)
	w.text("message", e.text(f[inTitle]))
	w.text("desc", e.first(f, inDescription, inSummary))
	e.comment(f)

	if !e.assignee(f) {
		w.object("assignee_group")
		w.word("name", "unassigned")
		w.close()
	}

	w.text("src_url", e.text(f[inIncidentLink]))
	e.profiles = profiles{incident: true, securityControl: true}

	w.array("finding_info_list")
	w.element()
	e.incidentInfo(f)
	w.close()
	e.each(f[inAlerts], e.innerFinding)
	w.close()

	e.each(f[inAlerts], e.innerObservables)
	e.observables.write(w)
	e.metadata(f)
	e.unmapped()
}

// head writes what both classes begin with.
func (e *event) head(c class, states *enum) activity {
	w, f := &e.w, e.row
	e.made, e.changed = timeOf(e.text(f[inCreated])), timeOf(e.text(f[inUpdated]))
	a := e.activity()

	w.integer("activity_id", int64(a))
	w.word("activity_name", a.caption())
	w.integer("category_uid", categoryID)
	w.word("category_name", categoryName)
	w.integer("class_uid", c.id)
	w.word("class_name", c.name)
	w.integer("type_uid", c.id*100+int64(a))
	w.word("type_name", c.name+": "+a.caption())
	w.integer("time", e.time(a))

	first, last := e.span()
	w.time("start_time", first)
	w.time("end_time", last)

	if !e.putWord("severity_id", "severity", &severities, f, inSeverity) {
		w.kind("severity_id", "severity", &severities.words[0])
	}

	if !e.putWord("status_id", "status", states, f, inStatus) && e.source.incident {
		w.kind("status_id", "status", &states.words[0])
	}

	return a
}

// activity says what the event is about: the end of a finding, its first version, or a
// later one. Where it is not known whether there was an earlier version, the times
// decide: an alert that was changed later than some minutes after its creation has had
// others.
func (e *event) activity() activity {
	const young = 5 * tick.Minute

	switch {
	case e.source.once:
		return created
	case e.isClosed(e.text(e.row[inStatus])):
		return closed
	case e.version.History == alert.FirstVersion:
		return created
	case e.version.History == alert.LaterVersion:
		return updated
	}

	if e.made > 0 && e.changed > e.made+young {
		return updated
	}

	return created
}

func (e *event) isClosed(state []byte) bool {
	return equalFold(state, "resolved") || e.source.incident && equalFold(state, "redirected")
}

// time returns the event's time in milliseconds since 1970: when the finding was made, or
// last changed.
func (e *event) time(a activity) int64 {
	at := e.changed
	if a == created && e.made > 0 || at == 0 {
		at = e.made
	}

	if at == 0 {
		at = max(0, e.version.Time)
	}

	return int64(at / tick.Millisecond)
}

// span returns the times of the first and the last activity; of an incident those of all
// its alerts. They are 0 where there is none.
func (e *event) span() (first, last tick.Tick) {
	if e.source.inside == nil {
		return timeOf(e.text(e.row[inFirst])), timeOf(e.text(e.row[inLast]))
	}

	e.each(e.row[inAlerts], func(i int) int {
		end := e.readInner(i)
		if end == 0 {
			return 0
		}

		if at := timeOf(e.text(e.inner[inFirst])); at > 0 && (first == 0 || at < first) {
			first = at
		}

		last = max(last, timeOf(e.text(e.inner[inLast])))

		return end
	})

	return first, last
}

// readInner reads the alert inside an incident at src[i]. It returns the offset behind
// it, or 0 if it is no object.
func (e *event) readInner(i int) int {
	if e.scan.src[i] != '{' {
		return 0
	}

	e.inner = cleared(e.inner, e.source.inside.shape.size)

	return e.scan.object(&e.source.inside.shape.root, e.inner, i)
}

// verdict writes what somebody has found the finding to be. A determination says more
// than the classification that it belongs to.
func (e *event) verdict(f fields) {
	if found := determinations.find(e.text(f[inDetermination])); found != nil {
		e.w.kind("verdict_id", "verdict", found)
	} else if !e.putWord("verdict_id", "verdict", &classifications, f, inClassification) {
		return
	}

	e.profiles.incident = true
}

// comment writes the texts of the comments, a line each. Who wrote them when stays in
// unmapped.
func (e *event) comment(f fields) {
	e.joined = e.joined[:0]

	e.each(f[inComments], func(i int) int {
		if e.scan.src[i] != '{' {
			return 0
		}

		var found [1]span

		end := e.scan.object(&commentShape.root, found[:], i)

		if text := e.text(found[0]); len(text) > 0 {
			if len(e.joined) > 0 {
				e.joined = append(e.joined, '\n')
			}

			e.joined = append(e.joined, text...)
		}

		return end
	})

	e.w.text("comment", e.joined)
}

// assignee writes to whom the finding is assigned, and reports whether there is somebody.
func (e *event) assignee(f fields) bool {
	w := &e.w

	name := e.take(f, inAssigned)
	if len(name) == 0 {
		return false
	}

	w.object("assignee")
	w.text("name", name)

	if isMail(name) {
		w.text("email_addr", name)
	}

	w.kind("type_id", "type", &humanUser)
	w.close()

	e.profiles.incident = true

	return true
}

// malware writes the threat that was found.
func (e *event) malware(f fields) {
	w := &e.w

	name := e.first(f, inThreat, inFamily)
	if len(name) == 0 {
		return
	}

	w.array("malware")
	w.element()
	w.text("name", name)
	w.array("classification_ids")
	w.number(other)
	w.close()

	if sort := e.otherFamily(f); len(sort) > 0 {
		w.array("classifications")
		w.item(sort)
		w.close()
	}

	w.close()
	w.close()
}

// otherFamily returns what kind of threat it is: its category, else the family that is
// not its name.
func (e *event) otherFamily(f fields) []byte {
	if category := e.take(f, inThreatCategory); len(category) > 0 {
		return category
	}

	if f[inFamily].used {
		return nil
	}

	return e.take(f, inFamily)
}

func (e *event) remediation(f fields) {
	if actions := e.take(f, inActions); len(actions) > 0 {
		e.w.object("remediation")
		e.w.text("desc", actions)
		e.w.close()
	}
}

// mainDevice writes the device that the alert is about: what the row says itself, or the
// first device of the evidence.
func (e *event) mainDevice() {
	if len(e.device) > 0 {
		e.profiles.host = true
		e.w.again(e.device)
	} else if e.writeDevice(e.row[findingFields:]) {
		e.profiles.host = true
	}
}

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
