package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/test/ocsfcheck"
	"fluent-bit-defender/internal/tick"
)

// eventOf returns the OCSF event of a row.
func eventOf(t testing.TB, api alert.API, row []byte) []byte {
	t.Helper()
	e := newEncoder(t, Options{TenantID: "99999999-8888-7777-6666-555555555555", Tenant: "contoso", API: api, Format: FormatOCSF})
	event, err := e.Alert(nil, alert.Version{Time: 1, ID: alert.MakeID("t", api, row, nil)}, row)
	if err != nil {
		t.Fatalf("%v in %s", err, row)
	}
	_, text, err := Decode(event)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// rowsOf returns the rows of a page, or the file as one row.
func rowsOf(t testing.TB, doc []byte) (rows [][]byte) {
	t.Helper()
	p := page.NewReader(bytes.NewReader(doc), page.Options{})
	for {
		row, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			return rows
		case errors.Is(err, page.ErrNotPage):
			return [][]byte{doc}
		case err != nil:
			t.Fatal(err)
		}
		rows = append(rows, bytes.Clone(row))
	}
}

func TestSamplesAreValidOCSF(t *testing.T) {
	schema := ocsfcheck.Load(t)
	names, err := filepath.Glob("../../../shared/samples/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	own, err := filepath.Glob(goldenDir + "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, own...) {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rowsOf(t, doc) {
			for _, api := range alert.APIs() {
				event := eventOf(t, api, row)
				schema.Report(t, filepath.Base(name)+" as "+string(api), event)
				if text := lost(t, row, event); text != "" {
					t.Errorf("%s as %s: %s is not in %s", filepath.Base(name), api, text, event)
				}
			}
		}
	}
}

// leaves calls do with every text, number and truth value in a JSON value, and the key
// that it stands under.
func leaves(key string, v any, do func(key string, v any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			leaves(k, x, do)
		}
	case []any:
		for _, x := range v {
			leaves(key, x, do)
		}
	case nil:
	default:
		do(key, v)
	}
}

func decodeJSON(t testing.TB, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// captioned are the fields whose words become an id and a caption.
var captioned = map[string]bool{"severity": true, "status": true, "classification": true, "verdict": true,
	"determination": true, "riskscore": true, "algorithm": true, "registryvaluetype": true}

// lost returns a value of a row that is nowhere in its event, empty if there is none.
func lost(t testing.TB, row, event []byte) string {
	t.Helper()
	var texts strings.Builder
	numbers := map[string]bool{}
	truths := map[bool]int{}
	leaves("", decodeJSON(t, event), func(_ string, v any) {
		switch v := v.(type) {
		case string:
			texts.WriteString(v + "\n")
		case json.Number:
			numbers[v.String()] = true
			if f, err := v.Float64(); err == nil {
				numbers[fmt.Sprint(f)] = true
			}
		case bool:
			truths[v]++
		}
	})
	all, missing := texts.String(), ""
	leaves("", decodeJSON(t, row), func(key string, v any) {
		switch v := v.(type) {
		case string:
			at, err := tick.Parse(v)
			isTime := err == nil && (numbers[fmt.Sprint(int64(at/tick.Millisecond))] || at < 0)
			if !strings.Contains(all, v) && !isTime && !captioned[strings.ToLower(key)] && !numbers[strings.TrimLeft(v, "+0")] {
				missing = fmt.Sprintf("%s: %.100q", key, v)
			}
		case json.Number:
			f, err := v.Float64()
			if !numbers[v.String()] && !strings.Contains(all, v.String()) && (err != nil || !numbers[fmt.Sprint(f)]) {
				missing = key + ": " + v.String()
			}
		case bool:
			if truths[v] == 0 {
				missing = fmt.Sprint(key, ": ", v)
			}
		}
	})
	return missing
}

// ownRows returns the rows of the golden files of an API.
func ownRows(t testing.TB, api alert.API) (rows [][]byte) {
	t.Helper()
	names, err := filepath.Glob(goldenDir + "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if of, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(name), ".json"), "-"); of == string(api) {
			doc, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, rowsOf(t, doc)...)
		}
	}
	return rows
}

// wrongValues stand in place of every value of a row in turn.
var wrongValues = []string{
	`null`, `""`, `"x"`, `" "`, `0`, `-1`, `4711`, `1.5`, `1e400`, `-1e999`, `18446744073709551615`, `99999999999999999999`, `true`,
	`[]`, `{}`, `[null]`, `["a",5,{"b":[true]}]`, `{"id":{"id":"x"}}`, `"0001-01-01T00:00:00Z"`, `"1969-12-31T23:59:59Z"`,
	`"9999-12-31T23:59:59.9999999Z"`, `"2026-13-01T00:00:00Z"`, `"a@b.c"`, `"a@b"`, `"192.0.2.1"`, `"fe80::1%eth0"`, `"\ud83d"`,
	`"\u0000\n"`, `"T1059.0011"`, `"T1059.001"`, `"resolved"`, `"ReSoLvEd"`,
	`[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]`,
	`[{"@odata.type":5},{"entityType":"File"},{"@odata.type":"#microsoft.graph.security.ipEvidence"},null,"x"]`,
}

// TestAnyValueAnywhereIsValidOCSF puts every wrong value in place of every value of every
// row, writes keys in another case, and twice.
func TestAnyValueAnywhereIsValidOCSF(t *testing.T) {
	schema := ocsfcheck.Load(t)
	for _, api := range alert.APIs() {
		for _, row := range ownRows(t, api) {
			for at, end := range valuesIn(row) {
				for _, wrong := range wrongValues {
					changed := slices.Concat(row[:at], []byte(wrong), row[end:])
					event := eventOf(t, api, changed)
					if faults := schema.Check(event); len(faults) > 0 {
						t.Fatalf("%s: %s\nin %s\nof %s", api, faults, event, changed)
					}
					if text := lost(t, changed, event); text != "" {
						t.Fatalf("%s: %s is not in %s\nof %s", api, text, event, changed)
					}
				}
			}
		}
	}
}

// valuesIn returns where each value of a row begins and ends.
func valuesIn(row []byte) map[int]int {
	found := map[int]int{}
	var walk func(v gjson.Result, base int)
	walk = func(v gjson.Result, base int) {
		found[base] = base + len(v.Raw)
		if v.IsObject() || v.IsArray() {
			v.ForEach(func(_, x gjson.Result) bool {
				walk(x, base+x.Index-v.Index)
				return true
			})
		}
	}
	gjson.ParseBytes(row).ForEach(func(_, x gjson.Result) bool {
		walk(x, x.Index)
		return true
	})
	return found
}
