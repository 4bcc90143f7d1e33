package record

import (
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
)

// A cefAlert is what the sources of the table look into: a row that is known to be valid
// JSON, read once.
type cefAlert struct {
	col    int
	id     alert.ID
	tenant string
	fields []gjson.Result   // by index in rowFields
	alerts [][]gjson.Result // of an incident, each by index in alertFields
	cefChoice
}

// rowFields are the row's own fields that the table asks for; first adds to them.
var rowFields = newShape("alerts", "evidence", "relatedUser")

// alertFields are the fields of an incident's alerts that the table asks for.
var alertFields = newShape("category", "detectionSource", "firstActivity", "lastActivity", "actorName",
	"mitreTechniques", "devices", "entities")

// Where the fields are that hold other fields.
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

	switch a.col {
	case colEndpoint:
		entities.one(a.col, kindRelatedUser, a.fields[atRelatedUser])
		entities.all(a.col, a.fields[atEvidence], entityKind)
	case colGraph:
		entities.all(a.col, a.fields[atEvidence], odataKind)
	case colIncidents, colGraphIncidents:
		a.readAlerts(entities)
	}

	a.cefChoice = entities.choose()
}

func (a *cefAlert) readAlerts(entities *cefCandidates) {
	list := a.fields[atAlerts]
	if !list.IsArray() {
		return
	}

	list.ForEach(func(_, alert gjson.Result) bool {
		fields := make([]gjson.Result, len(alertFields.paths))
		alertFields.read(alert, fields)
		a.alerts = append(a.alerts, fields)

		if a.col == colGraphIncidents {
			entities.all(a.col, fields[atOwnEvidence], odataKind)
			return true
		}

		entities.all(a.col, fields[atDevices], func(gjson.Result) string { return kindDevice })
		entities.all(a.col, fields[atEntities], entityKind)

		return true
	})
}

func entityKind(entity gjson.Result) string { return kindAt(entity, "entityType") }

// odataKind returns "device" of #microsoft.graph.security.deviceEvidence.
func odataKind(entity gjson.Result) string {
	const suffix = "Evidence"

	kind := kindAt(entity, "@odata.type")
	kind = kind[strings.LastIndexByte(kind, '.')+1:]

	if end := len(kind) - len(suffix); end >= 0 && strings.EqualFold(kind[end:], suffix) {
		return kind[:end]
	}

	return kind
}

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
