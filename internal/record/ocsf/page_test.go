package ocsf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/template"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/golden"
)

// targets are the attributes that the fields of an alert become, in the order of the
// page.
var targets = []struct {
	field int
	what  string
}{
	{inID, "`finding_info.uid`, `metadata.original_event_uid`"},
	{inOtherID, "`finding_info.uid_alt`"},
	{inTitle, "`message`, `finding_info.title`, `finding_info.analytic.name`"},
	{inDescription, "`finding_info.desc`"},
	{inSummary, "`desc`"},
	{inSeverity, "`severity_id`, `severity`"},
	{inStatus, "`status_id`, `status`"},
	{inClassification, "`verdict_id`, `verdict`"},
	{inDetermination, "`verdict_id`, `finding_info.types`"},
	{inCreated, "`finding_info.created_time`, `time`"},
	{inUpdated, "`finding_info.modified_time`, `metadata.modified_time`, `time`"},
	{inFirst, "`start_time`, `finding_info.first_seen_time`"},
	{inLast, "`end_time`, `finding_info.last_seen_time`"},
	{inCategory, "`finding_info.types`, `attacks[].tactic.name`"},
	{inTechniques, "`attacks`, `finding_info.attacks`"},
	{inLink, "`finding_info.src_url`"},
	{inIncident, "`finding_info.related_events`, `metadata.correlation_uid`"},
	{inIncidentLink, "`src_url`"},
	{inProduct, "`finding_info.product.name`"},
	{inService, "`finding_info.product.name`, where there is no other"},
	{inFeature, "`finding_info.product.feature.name`, `finding_info.analytic.type_id`"},
	{inDetector, "`finding_info.analytic.uid`"},
	{inThreat, "`malware[].name`"},
	{inFamily, "`malware[].name`, else `malware[].classifications`"},
	{inThreatCategory, "`malware[].classifications`"},
	{inAssigned, "`assignee`"},
	{inComments, "`comment`"},
	{inActions, "`remediation.desc`"},
	{inTags, "`metadata.labels`"},
	{inCustomTags, "`metadata.labels`"},
	{inTenant, "`metadata.tenant_uid`"},
	{inEvidence, "`evidences`; of an incident `observables` and `unmapped.alerts`"},
	{inDevices, "`observables` and `unmapped.alerts`"},
	{inAlerts, "`finding_info_list`"},
}

// Of an incident these differ.
var incidentTargets = map[int]string{
	inID:           "`finding_info_list[0].uid`, `metadata.original_event_uid`, `metadata.correlation_uid`",
	inTitle:        "`message`, `finding_info_list[0].title`",
	inDescription:  "`desc`, `finding_info_list[0].desc`",
	inSummary:      "`desc`, where there is no description",
	inCreated:      "`finding_info_list[0].created_time`, `time`",
	inUpdated:      "`finding_info_list[0].modified_time`, `metadata.modified_time`, `time`",
	inIncidentLink: "`src_url`, `finding_info_list[0].src_url`",
}

// column is a column of a table of fields: a source, and the APIs whose it is.
type column struct {
	name string
	*source
}

// alertColumns has a column for each source of alerts, those inside incidents too.
func alertColumns() (list []column) {
	for _, api := range alert.APIs() {
		s, name := sources[api], "`"+string(api)+"`"
		if s == nil {
			continue // TestEveryAPIHasAMappingToOCSF reports it
		}

		alone := name
		if s.inside != nil {
			s, alone = s.inside, name+", its alerts"
		}

		if at := slices.IndexFunc(list, func(c column) bool { return c.source == s }); at >= 0 {
			list[at].name += ", " + name
		} else {
			list = append(list, column{alone, s})
		}
	}

	return list
}

// incidentColumns has a column for each source of incidents.
func incidentColumns() (list []column) {
	for _, api := range alert.APIs() {
		if s := sources[api]; s != nil && s.incident {
			list = append(list, column{"`" + string(api) + "`", s})
		}
	}

	return list
}

// flatTable returns the table of the fields of the alert itself that are evidence.
func flatTable() string {
	var b strings.Builder

	b.WriteString("| `api` | fields |\n| --- | --- |\n")

	for _, c := range alertColumns() {
		var fields []string

		for _, path := range c.shape.paths[findingFields:] {
			if path != "" {
				fields = append(fields, "`"+path+"`")
			}
		}

		if len(fields) > 0 {
			fmt.Fprintf(&b, "| %s | %s |\n", c.name, strings.Join(fields, ", "))
		}
	}

	return b.String()
}

// fieldsTable returns the table of the fields of these sources.
func fieldsTable(t *testing.T, list []column) string {
	t.Helper()

	var (
		b     strings.Builder
		names []string
	)

	for _, c := range list {
		names = append(names, c.name)
	}

	fmt.Fprintf(&b, "| attribute | %s |\n| --- |%s\n", strings.Join(names, " | "), strings.Repeat(" --- |", len(names)))

	used := map[int]bool{}

	for _, target := range targets {
		what, row, found := target.what, "", false

		for _, s := range list {
			if other := incidentTargets[target.field]; s.incident && other != "" {
				what = other
			}

			cell := "–"
			if path := s.shape.paths[target.field]; path != "" {
				cell, found = "`"+path+"`", true
			}

			row += " " + cell + " |"
		}

		used[target.field] = true

		if found {
			fmt.Fprintf(&b, "| %s |%s\n", what, row)
		}
	}

	for field := range findingFields {
		if !used[field] {
			t.Errorf("the page does not say what becomes of field %d", field)
		}
	}

	return b.String()
}

func evidenceTable() string {
	var b strings.Builder

	b.WriteString("| kind | becomes |\n| --- | --- |\n")

	for _, kind := range artifactKinds {
		name := "`" + kind.name + "`"
		if kind.name == "" {
			name = "all others"
		}

		what := kind.what
		if kind.whole {
			what += ", and `data` has the whole object"
		}

		fmt.Fprintf(&b, "| %s | %s |\n", name, what)
	}

	return b.String()
}

// words lists the words of an enum and their ids.
func words(e enum) string {
	var list []string
	for _, w := range e.words {
		list = append(list, fmt.Sprintf("%s %d", strings.Join(w.from, ", "), w.id))
	}

	return strings.Join(list, ", ")
}

// docs/ocsf.md says what the code does.
func TestGoldenOCSFPage(t *testing.T) {
	page, err := template.ParseFiles("../../../testdata/record/ocsfpage.tmpl")
	if err != nil {
		t.Fatal(err)
	}

	incidents := incidentColumns()

	var names []string
	for _, c := range incidents {
		names = append(names, c.name)
	}

	var b strings.Builder
	if err := page.Execute(&b, map[string]string{
		"Version":         schemaVersion,
		"Severity":        words(severities) + ", else 99",
		"AlertStatus":     words(alertStates) + ", else 99",
		"IncidentStatus":  words(incidentStates) + ", else 99",
		"Determination":   "by the determination: " + words(determinations),
		"Classification":  "by the classification: " + words(classifications) + ", else 99",
		"EvidenceVerdict": words(evidenceVerdicts) + ", else 99",
		"Analytic":        words(analytics),
		"Alert":           fieldsTable(t, alertColumns()),
		"Flat":            flatTable(),
		"Incident":        fieldsTable(t, incidents),
		"IncidentAPIs":    strings.Join(names, " or "),
		"Evidence":        evidenceTable(),
	}); err != nil {
		t.Fatal(err)
	}

	golden.File(t, "../../../docs/ocsf.md", b.String())
}
