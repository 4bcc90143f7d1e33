package ocsf

import "bytes"

// evidence writes the evidence of an alert.
func (e *event) evidence() {
	w := &e.w
	row := e.row[findingFields:]
	e.observe(row, e.source, "")

	w.array("evidences")

	if e.source.evidence == nil {
		w.element()
		e.rowArtifact(row)
		w.close()
	} else if e.isArray(e.row[inEvidence]) {
		e.row[inEvidence].used = true
		e.each(e.row[inEvidence], e.writeElement)
	}

	w.close()
}

// rowArtifact writes the artifact that the row itself describes.
func (e *event) rowArtifact(f fields) {
	w := &e.w
	e.writeFile("file", f, atFile)
	e.writeEndpoint("src_endpoint", f, noField, atAddress)
	e.writeURL(f)
	e.writeUser(f, atUser)

	w.object("data") // a process needs an id, which the row does not have
	e.put("CommandLine", f, atCommand)
	w.close()
}

// readArtifact reads the artifact at src[i]. It returns the offset behind it, or 0 if it
// is not an object.
func (e *event) readArtifact(i int, s *source) int {
	if e.scan.src[i] != '{' || s.evidence == nil {
		return 0
	}

	e.artifact = cleared(e.artifact, s.evidence.size)

	return e.scan.object(&s.evidence.root, e.artifact, i)
}

// writeElement writes an element of the list of evidence.
func (e *event) writeElement(i int) int {
	w := &e.w

	end := e.readArtifact(i, e.source)
	if end == 0 { // not an object, so all of it is data
		if e.scan.src[i] == 'n' {
			return 0
		}

		w.element()
		w.key("data")

		end = e.copyValue(i)

		w.close()

		return end
	}

	e.observe(e.artifact, e.source, "evidences.")
	w.element()
	e.writeArtifact(e.artifact, i)
	w.end()

	return end
}

// writeArtifact writes the artifact at src[i]: the object that the schema has for its
// kind, and the rest of it as data.
func (e *event) writeArtifact(f fields, i int) {
	w := &e.w
	e.put("name", f, atKind)
	e.putWord("verdict_id", "verdict", &evidenceVerdicts, f, atVerdict)

	kind := artifactKinds.find(e.kindOf(f))
	before, start := w.members(), len(w.b)

	if kind.write(e, f); kind.whole {
		w.key("data")
		e.copyValue(i)

		return
	}

	typed := w.members() > before
	if typed && kind.device && len(e.device) == 0 {
		e.device = append(e.device, w.b[start:]...)
	}

	w.object("data")
	e.rest(&e.source.evidence.root, f, i)

	if !w.close() && !typed { // the schema requires one of the two
		w.key("data")
		e.copyValue(i)
	}
}

// kindOf returns the kind of an artifact.
func (e *event) kindOf(f fields) []byte {
	const suffix = "Evidence"

	kind := e.text(f[atKind])
	if e.source.kind == kindByEntity {
		return kind
	}

	kind = kind[bytes.LastIndexByte(kind, '.')+1:]
	if at := len(kind) - len(suffix); at > 0 && equalFold(kind[at:], suffix) {
		kind = kind[:at]
	}

	return kind
}

// An artifactKind says how a kind of artifact is written.
type artifactKind struct {
	name   string
	what   string // which attributes of the evidence it becomes, for the page
	write  func(e *event, f fields)
	device bool
	// whole says that data has the whole object, and not only what is not used.
	whole bool
}

// A kindTable is a list of kinds, the last of which stands for all that are not in it.
type kindTable []artifactKind

var artifactKinds = kindTable{
	{
		name:   "device",
		what:   "`device`",
		write:  (*event).deviceArtifact,
		device: true,
	},
	{name: "process", what: "`process`", write: (*event).process},
	{name: "file", what: "`file`", write: (*event).file},
	{name: "fileHash", what: "`file`", write: (*event).hash},
	{name: "user", what: "`user`", write: (*event).user},
	{name: "cloudLogonSession", what: "`user`", write: (*event).account},
	{
		name:  "ip",
		what:  "`src_endpoint`, or `dst_endpoint` with the role destination or commandAndControl",
		write: (*event).ip,
	},
	{
		name:  "networkConnection",
		what:  "`connection_info`, `src_endpoint`, `dst_endpoint`",
		write: (*event).connection,
	},
	{name: "url", what: "`url`", write: (*event).url},
	{name: "analyzedMessage", what: "`email`", write: (*event).email},
	{name: "submissionMail", what: "`email`", write: (*event).email},
	{name: "mailMessage", what: "`email`", write: (*event).email},
	{name: "registryKey", what: "`reg_key`", write: (*event).registryKey},
	{name: "registryValue", what: "`reg_value`", write: (*event).registryValue},
	{name: "registry", what: "`reg_key`", write: (*event).registryKey},
	{name: "dns", what: "`src_endpoint`, `dst_endpoint`", write: (*event).dns},
	{
		name:  "container",
		what:  "`container`",
		write: (*event).container,
		whole: true,
	},
	{what: "`resources`", write: (*event).resource, whole: true},
}

// find returns the kind with this name, in any case, or else the last kind.
func (t kindTable) find(kind []byte) *artifactKind {
	last := len(t) - 1
	for i := range t[:last] {
		if equalFold(kind, t[i].name) {
			return &t[i]
		}
	}

	return &t[last]
}
