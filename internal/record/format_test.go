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
	beyond := Format(len(contents))
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
	for _, c := range contents {
		alone := !c.cef || c.body == noBody
		if alone != (c.help != "") || !strings.Contains(FormatHelp(), "`"+c.name+"`") {
			t.Errorf("%s: the help is %q, in %q", c.name, c.help, FormatHelp())
		}
	}
}

// Every format has a row in the registry, and its records hold something of the alert.
func TestEveryFormatHasContent(t *testing.T) {
	for i := range contents {
		f := Format(i)
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

// The contract has a row for every format in the table of records.
func TestTheContractNamesEveryFormat(t *testing.T) {
	page, err := os.ReadFile("../../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}

	_, table, _ := strings.Cut(string(page), "### Kind `alert`")
	table, _, _ = strings.Cut(table, "\n#")

	for _, name := range FormatNames() {
		named := regexp.MustCompile("(?m)^\\|[^|]*`" + regexp.QuoteMeta(name) + "`")
		if !named.MatchString(table) {
			t.Errorf("docs/contract.md does not say what a record of the format %s holds", name)
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

		if m.class.get == nil || m.name.get == nil || m.severity.get == nil {
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
			if cefMappings[api] == nil {
				t.Errorf("cefTable (cef_table.go): %s is there for %q, which has no column", row.key, api)
			}
		}
	}
}
