package record

import (
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
)

// A cefAlert is what the sources of the table read: a row that is known to be valid JSON,
// with the values of all fields that they need.
type cefAlert struct {
	mapping *cefMapping
	id      alert.ID
	tenant  string
	fields  []gjson.Result   // by index in rowFields
	alerts  [][]gjson.Result // of an incident, each by index in alertFields
	cefChoice
}

// rowFields has the row's own fields that the table needs. The sources add to it, when
// the table is made.
var rowFields = newShape("alerts", "evidence", "relatedUser")

// alertFields has the fields of an incident's alerts that the table needs.
var alertFields = newShape("category", "detectionSource", "firstActivity", "lastActivity", "actorName",
	"mitreTechniques", "devices", "entities")

// The indexes of the fields that hold other fields.
var (
	atAlerts      = rowFields.add("alerts")
	atEvidence    = rowFields.add("evidence")
	atRelatedUser = rowFields.add("relatedUser")
	atDevices     = alertFields.add("devices")
	atEntities    = alertFields.add("entities")
	atOwnEvidence = alertFields.add("evidence")
)

// read reads the row, and chooses the entities that the line is about.
func (a *cefAlert) read(raw []byte, entities *cefCandidates) {
	rowFields.read(gjson.ParseBytes(raw), a.fields)

	if a.mapping.Row.Alerts != "" {
		a.readAlerts(entities)
	} else {
		a.readEvidence(entities)
	}

	a.cefChoice = entities.choose()
}

// readEvidence adds the evidence of an alert.
func (a *cefAlert) readEvidence(entities *cefCandidates) {
	switch form := a.mapping.evidence; form {
	case formEndpoint:
		entities.one(form, kindRelatedUser, a.fields[atRelatedUser])
		entities.all(form, a.fields[atEvidence], entityKind)
	case formGraph:
		entities.all(form, a.fields[atEvidence], odataKind)
	}
}

// readAlerts reads the alerts of an incident, and adds their evidence.
func (a *cefAlert) readAlerts(entities *cefCandidates) {
	list := a.fields[atAlerts]
	if !list.IsArray() {
		return
	}

	list.ForEach(func(_, alert gjson.Result) bool {
		fields := make([]gjson.Result, len(alertFields.paths))
		alertFields.read(alert, fields)
		a.alerts = append(a.alerts, fields)

		switch form := a.mapping.evidence; form {
		case formGraph:
			entities.all(form, fields[atOwnEvidence], odataKind)
		case formXDR:
			entities.all(form, fields[atDevices], func(gjson.Result) string { return kindDevice })
			entities.all(form, fields[atEntities], entityKind)
		}

		return true
	})
}

// entityKind returns the kind of an entity of Defender for Endpoint or Defender XDR.
func entityKind(entity gjson.Result) string { return kindAt(entity, "entityType") }

// odataKind returns the kind of an entity of Graph, such as "device" for
// #microsoft.graph.security.deviceEvidence.
func odataKind(entity gjson.Result) string {
	const suffix = "Evidence"

	kind := kindAt(entity, "@odata.type")
	kind = kind[strings.LastIndexByte(kind, '.')+1:]

	if end := len(kind) - len(suffix); end >= 0 && strings.EqualFold(kind[end:], suffix) {
		return kind[:end]
	}

	return kind
}

// kindAt returns the text of the member with this key, in any case.
func kindAt(entity gjson.Result, key string) (kind string) {
	if !entity.IsObject() {
		return ""
	}

	entity.ForEach(func(k, v gjson.Result) bool {
		if !strings.EqualFold(k.Str, key) {
			return true
		}

		kind = v.Str

		return kind == ""
	})

	return kind
}
