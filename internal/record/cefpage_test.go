package record

import (
	"fmt"
	"strings"
	"testing"
	"text/template"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/golden"
)

// cefPage writes the tables of docs/cef.md from the tables by which lines are written.
type cefPage struct {
	columns []*cefMapping
	b       strings.Builder
}

func newCEFPage() *cefPage {
	p := &cefPage{}

	for _, api := range alert.APIs() {
		if m := cefMappings[api]; m != nil { // TestEveryAPIHasAMappingToCEF reports the others
			p.columns = append(p.columns, m)
		}
	}

	return p
}

// table begins a table with a column for each API.
func (p *cefPage) table(name string) {
	p.b.Reset()
	p.row(name, "bytes", func(m *cefMapping) string { return "`" + string(m.API) + "`" })
	p.b.WriteString("| --- | --- |" + strings.Repeat(" --- |", len(p.columns)) + "\n")
}

func (p *cefPage) row(name, limit string, cell func(m *cefMapping) string) {
	fmt.Fprintf(&p.b, "| %s | %s |", name, limit)

	for _, m := range p.columns {
		text := cell(m)
		if text == "" {
			text = "–"
		}

		fmt.Fprintf(&p.b, " %s |", text)
	}

	p.b.WriteByte('\n')
}

// header returns the table of the header's fields.
func (p *cefPage) header() string {
	p.table("header")
	p.row("vendor", "63", func(*cefMapping) string { return "`Microsoft`" })
	p.row("product", "63", func(m *cefMapping) string { return "`" + m.CEF.Product + "`" })
	p.row("version", "31", func(m *cefMapping) string { return "`" + m.CEF.Version + "`" })
	p.row("class id", fmt.Sprint(maxClass), func(m *cefMapping) string {
		return sourceOrElse(m.class, m.Noun)
	})
	p.row("name", fmt.Sprint(maxName), func(m *cefMapping) string {
		return sourceOrElse(m.name, "Untitled "+m.Noun)
	})
	p.row("severity", "", func(m *cefMapping) string { return m.severity.what })

	return p.b.String()
}

// sourceOrElse names a source and what stands in for it, unless the source is that text.
func sourceOrElse(s source, text string) string {
	if strings.Trim(s.what, "`") == text {
		return s.what
	}

	return s.what + ", else `" + text + "`"
}

// extension returns the table of the keys.
func (p *cefPage) extension() string {
	p.table("key")

	for i := range cefTable {
		r := &cefTable[i]

		name := "`" + r.key + "`"
		if r.label != "" {
			name += " `" + r.label + "`"
		}

		limit := ""
		if r.max > 0 {
			limit = fmt.Sprint(r.max)
		}

		p.row(name, limit, func(m *cefMapping) string { return r.from[m.API].what })
	}

	return p.b.String()
}

func severities() string {
	var b strings.Builder
	for _, s := range [...]string{"informational", "low", "medium", "high"} {
		fmt.Fprintf(&b, "%s %s, ", s, cefSeverity(s))
	}

	return b.String() + fmt.Sprintf("anything else `%s`.", cefSeverity(""))
}

// lineFormats names the formats with a CEF line.
func lineFormats() string {
	var names []string
	for f := FormatCEF; f < numFormats; f++ {
		names = append(names, "`"+f.String()+"`")
	}

	last := len(names) - 1

	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// docs/cef.md says what the code does.
func TestGoldenCEFPage(t *testing.T) {
	page, err := template.ParseFiles("../../testdata/record/cefpage.tmpl")
	if err != nil {
		t.Fatal(err)
	}

	p := newCEFPage()

	var b strings.Builder
	if err := page.Execute(&b, map[string]any{
		"Formats":   lineFormats(),
		"Header":    p.header(),
		"Severity":  severities(),
		"Extension": p.extension(),
		"MaxBytes":  DefaultCEFMaxBytes,
		"CutFirst":  "`" + strings.Join(cutFirst[:], "`, `") + "`",
	}); err != nil {
		t.Fatal(err)
	}

	text := b.String()
	golden.File(t, "../../docs/cef.md", text)

	for i := range cefTable {
		for api, s := range cefTable[i].from {
			if s.get == nil || s.what == "" {
				t.Errorf("cef_table.go: the source of %s for %s is not explained", cefTable[i].key, api)
			}
		}
	}

	for key := range cutNever {
		if !strings.Contains(text, "`"+key+"`") {
			t.Errorf("%s is not on the page", key)
		}
	}
}
