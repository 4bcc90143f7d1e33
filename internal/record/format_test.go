package record

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fluent-bit-defender/internal/alert"
)

func TestAnUnknownFormatIsAnError(t *testing.T) {
	beyond := numFormats
	if _, err := NewEncoder(Options{TenantID: "t", API: alert.Graph, Format: beyond}); err == nil {
		t.Error("it has an encoder")
	}

	for _, name := range []string{"", "xml", "json+", fmt.Sprint(beyond)} {
		if f, err := ParseFormat(name); err == nil {
			t.Errorf("%q is read as %v", name, f)
		}
	}
}

// The help of the option comes from the registry.
func TestEveryFormatIsExplained(t *testing.T) {
	for _, b := range bodies {
		if b.help == "" {
			t.Errorf("%s has no help", b.name)
		}
	}

	for _, name := range FormatNames() {
		if !strings.Contains(FormatHelp(), "`"+name+"`") {
			t.Errorf("%s is not in the help: %s", name, FormatHelp())
		}
	}
}

// Every format has a row in the registry, and its records hold something of the alert.
func TestEveryFormatHasContent(t *testing.T) {
	for f := range numFormats {
		if back, err := ParseFormat(f.String()); err != nil || back != f {
			t.Errorf("%v is read as %v, %v", f, back, err)
		}

		e, err := NewEncoder(Options{TenantID: "t", API: alert.Graph, Format: f})
		if err != nil {
			t.Fatal(err)
		}

		event, err := e.Alert(nil, alert.Version{Time: 1, ID: alert.ID{}}, []byte(`{"id":"a"}`))
		if err != nil {
			t.Fatal(err)
		}

		_, text, err := Decode(event)
		if err != nil {
			t.Fatal(err)
		}

		var record map[string]any
		if err := json.Unmarshal(text, &record); err != nil || len(record) < 2 {
			t.Errorf("%v: %s, %v", f, text, err)
		}
	}
}

// section returns the part of a page below a heading.
func section(t *testing.T, page, heading string) string {
	t.Helper()

	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}

	_, part, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", page, heading)
	}

	part, _, _ = strings.Cut(part, "\n#")

	return part
}

// The contract says of every format what a record holds, and which rows it refuses.
func TestTheContractNamesEveryFormat(t *testing.T) {
	table := section(t, "docs/contract.md", "### Kind `alert`")
	refused := section(t, "docs/contract.md", "### Kind `raw`")

	for _, name := range FormatNames() {
		named := regexp.MustCompile("(?m)^\\|[^|]*`" + regexp.QuoteMeta(name) + "`")
		if !named.MatchString(table) {
			t.Errorf("docs/contract.md does not say what a record of the format %s holds", name)
		}
	}

	for _, b := range bodies {
		if !strings.Contains(refused, "`"+b.name+"`") {
			t.Errorf("docs/contract.md, \"Kind raw\", does not say which rows the format %s refuses", b.name)
		}
	}
}

func TestTheChangelogNamesEveryFormat(t *testing.T) {
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range FormatNames() {
		if !regexp.MustCompile("`(format )?" + regexp.QuoteMeta(name) + "`").Match(text) {
			t.Errorf("CHANGELOG.md does not name the format %s", name)
		}
	}
}

// Every API has a column of the CEF table, with a header and the keys that a receiver
// sorts by.
func TestEveryAPIHasAMappingToCEF(t *testing.T) {
	for _, api := range alert.APIs() {
		m := cefMappings[api]
		if m == nil {
			t.Errorf("cefColumns (cef_table.go) has no column for the API %s", api)
			continue
		}

		if !m.whole() {
			t.Errorf("cefColumns (cef_table.go): %s lacks a class, a name or a severity", api)
		}

		for _, key := range []string{"rt", "externalId", "cs3", "flexString2"} {
			if !slices.ContainsFunc(m.keys, func(k cefKey) bool { return k.key == key }) {
				t.Errorf("cefTable (cef_table.go): %s has nothing for the key %s", api, key)
			}
		}
	}

	for _, row := range cefTable {
		for api := range row.from {
			if !slices.Contains(alert.APIs(), api) {
				t.Errorf("cefTable (cef_table.go): %s is there for %q, which is no API", row.key, api)
			}
		}
	}
}
