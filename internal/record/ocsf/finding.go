package ocsf

// commentShape has the text of a comment.
var commentShape = newShape([]string{"comment"})

// finding writes the attributes of the finding_info of an alert. inside says that the
// alert belongs to an incident: then its id is not marked as used, so that the rest of
// the alert in unmapped still says which alert it is.
func (e *event) finding(f fields, s *source, inside bool) {
	w := &e.w

	switch id := e.text(f[inID]); {
	case inside:
		w.text("uid", id)
	case len(id) > 0:
		f[inID].used = true

		w.text("uid", id)
	default:
		w.text("uid", e.version.ID[:])
	}

	e.put("uid_alt", f, inOtherID)
	w.text("title", e.take(f, inTitle))
	e.put("desc", f, inDescription)
	e.put("src_url", f, inLink)
	e.putTime("created_time", f, inCreated)
	e.putTime("modified_time", f, inUpdated)
	e.putTime("first_seen_time", f, inFirst)
	e.putTime("last_seen_time", f, inLast)
	e.types(f)
	e.analytic(f)
	e.product(f, s)
	e.relatedIncident(f)
	e.attacks(f, true)
}

// types writes the kinds of the finding.
func (e *event) types(f fields) {
	e.w.array("types")
	e.item(f, inCategory)

	if text := e.text(f[inDetermination]); !equalFold(text, "unknown") && !equalFold(text, "notAvailable") {
		e.item(f, inDetermination)
	}

	e.w.close()
}

// item writes the text of a field as an element of an array.
func (e *event) item(f fields, field int) {
	if text := e.take(f, field); len(text) > 0 {
		e.w.item(text)
	}
}

// analytic writes which analytic has detected the finding.
func (e *event) analytic(f fields) {
	w := &e.w
	title := e.text(f[inTitle])
	detector := e.take(f, inDetector)

	if len(title) == 0 && len(detector) == 0 {
		return
	}

	w.object("analytic")
	w.text("uid", detector)
	w.text("name", title)

	found := analytics.find(e.text(f[inFeature]))
	if found == nil {
		found = &unknownAnalytic
	}

	w.kind("type_id", "type", found)

	w.close()
}

// product writes the product that the finding comes from.
func (e *event) product(f fields, s *source) {
	w := &e.w

	name := e.first(f, inProduct, inService)
	if len(name) == 0 && s.product == "" {
		return
	}

	w.object("product")

	if len(name) > 0 {
		w.text("name", name)
	} else {
		w.word("name", s.product)
	}

	w.word("vendor_name", vendor)
	w.object("feature")
	e.put("name", f, inFeature)
	w.close()
	w.close()
}

// relatedIncident writes the incident that an alert belongs to.
func (e *event) relatedIncident(f fields) {
	w := &e.w

	if id := e.take(f, inIncident); len(id) > 0 {
		w.array("related_events")
		w.element()
		w.text("uid", id)
		w.word("type", "incident")
		w.close()
		w.close()
	}
}

// attacks writes the techniques of MITRE ATT&CK, each with the tactic that the category
// names. It reports whether there are any. mark says that they are marked as used: they
// are written twice, and may be marked only the second time.
func (e *event) attacks(f fields, mark bool) bool {
	w := &e.w
	w.array("attacks")

	tactic := e.text(f[inCategory])
	all := e.texts(f[inTechniques], func(text []byte) {
		w.element()
		e.technique(text)
		writeTactic(w, tactic)
		w.close()
	})

	if mark && all {
		f[inTechniques].used = true
	}

	if w.members() == 0 && isTactic(tactic) {
		w.element()
		writeTactic(w, tactic)
		w.close()
	}

	return w.close()
}

// writeTactic writes a tactic.
func writeTactic(w *writer, name []byte) {
	w.object("tactic")
	w.text("name", name)
	w.close()
}

// technique writes a technique such as T1564, and a sub-technique such as T1564.001.
func (e *event) technique(text []byte) {
	const (
		length    = len("T1564")
		subLength = len("T1564.001")
	)

	w := &e.w
	uid := text

	if isTechnique(text) {
		uid = text[:length]
	}

	w.object("technique")
	w.text("uid", uid)
	w.close()

	if isTechnique(text) && len(text) == subLength {
		w.object("sub_technique")
		w.text("uid", text)
		w.close()
	}
}

// isTechnique reports whether a text is the id of a technique or sub-technique.
func isTechnique(text []byte) bool {
	const form = "T0000.000"

	if len(text) != len("T0000") && len(text) != len(form) {
		return false
	}

	for i, c := range text {
		if form[i] == '0' && c-'0' >= 10 || form[i] != '0' && c != form[i] {
			return false
		}
	}

	return true
}

// tactics are those of MITRE ATT&CK for enterprises, as the services spell them.
var tactics = []string{
	"Reconnaissance",
	"ResourceDevelopment",
	"InitialAccess",
	"Execution",
	"Persistence",
	"PrivilegeEscalation",
	"DefenseEvasion",
	"CredentialAccess",
	"Discovery",
	"LateralMovement",
	"Collection",
	"CommandAndControl",
	"Exfiltration",
	"Impact",
}

// isTactic reports whether a category is a tactic.
func isTactic(category []byte) bool {
	for _, name := range tactics {
		if equalFold(category, name) {
			return true
		}
	}

	return false
}

// incidentInfo writes the attributes of the finding_info of an incident.
func (e *event) incidentInfo(f fields) {
	w := &e.w

	if id := e.take(f, inID); len(id) > 0 {
		w.text("uid", id)
	} else {
		w.text("uid", e.version.ID[:])
	}

	first, last := e.span()

	w.text("title", e.take(f, inTitle))
	w.text("desc", e.text(f[inDescription]))
	e.put("src_url", f, inIncidentLink)
	e.putTime("created_time", f, inCreated)
	e.putTime("modified_time", f, inUpdated)
	w.time("first_seen_time", first)
	w.time("last_seen_time", last)
	w.object("product")
	w.word("name", product)
	w.word("vendor_name", vendor)
	w.close()
}

// innerFinding writes the finding_info of the alert inside an incident at src[i]. An
// alert without an id is only in unmapped.
func (e *event) innerFinding(i int) int {
	end := e.readInner(i)
	if end > 0 && len(e.text(e.inner[inID])) > 0 {
		e.w.element()
		e.finding(e.inner, e.source.inside, true)
		e.w.close()
	}

	return end
}

// innerObservables collects the observables of the alert inside an incident at src[i].
func (e *event) innerObservables(i int) int {
	end := e.readInner(i)
	if end == 0 {
		return 0
	}

	for _, field := range [...]int{inDevices, inEvidence} {
		e.each(e.inner[field], func(i int) int {
			end := e.readArtifact(i, e.source.inside)
			if end > 0 {
				e.observe(e.artifact, e.source.inside, "")
			}

			return end
		})
	}

	return end
}
