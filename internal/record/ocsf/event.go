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

	made, changed tick.Tick // when the finding was made and last changed; 0: not known

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

// head writes the attributes with which both classes begin, and returns the activity.
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

// readInner reads the alert inside an incident at src[i]. It returns the offset behind
// it, or 0 if it is not an object.
func (e *event) readInner(i int) int {
	if e.scan.src[i] != '{' {
		return 0
	}

	e.inner = cleared(e.inner, e.source.inside.shape.size)

	return e.scan.object(&e.source.inside.shape.root, e.inner, i)
}

// verdict writes the verdict of a person on the finding. A determination says more than
// the classification that it belongs to.
func (e *event) verdict(f fields) {
	if found := determinations.find(e.text(f[inDetermination])); found != nil {
		e.w.kind("verdict_id", "verdict", found)
	} else if !e.putWord("verdict_id", "verdict", &classifications, f, inClassification) {
		return
	}

	e.profiles.incident = true
}

// comment writes the texts of the comments, a line each. Their authors and times stay in
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

// assignee writes the user to whom the finding is assigned, and reports whether there is
// one.
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

// otherFamily returns the kind of a threat: its category, or else its family if that was
// not used as the name.
func (e *event) otherFamily(f fields) []byte {
	if category := e.take(f, inThreatCategory); len(category) > 0 {
		return category
	}

	if f[inFamily].used {
		return nil
	}

	return e.take(f, inFamily)
}

// remediation writes the recommended actions.
func (e *event) remediation(f fields) {
	if actions := e.take(f, inActions); len(actions) > 0 {
		e.w.object("remediation")
		e.w.text("desc", actions)
		e.w.close()
	}
}

// mainDevice writes the device that the alert is about: the first device of the evidence,
// or else the one that the row itself describes.
func (e *event) mainDevice() {
	if len(e.device) > 0 {
		e.profiles.host = true
		e.w.again(e.device)
	} else if e.writeDevice(e.row[findingFields:]) {
		e.profiles.host = true
	}
}
