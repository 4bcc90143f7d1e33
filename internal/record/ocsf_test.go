package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/test/ocsfcheck"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
)

// eventOf returns the OCSF event of a row.
func eventOf(t testing.TB, api alert.API, row []byte) []byte {
	t.Helper()
	e := newEncoder(t, Options{
		TenantID: "99999999-8888-7777-6666-555555555555",
		Tenant:   "contoso",
		API:      api,
		Format:   FormatOCSF,
	})

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

// captioned are the fields, beside the severity, whose words become an id and a caption.
var captioned = map[string]bool{
	"status":            true,
	"classification":    true,
	"verdict":           true,
	"determination":     true,
	"riskscore":         true,
	"algorithm":         true,
	"registryvaluetype": true,
}

// isCaptioned reports whether the words of a field become an id and a caption.
func isCaptioned(t testing.TB, key string) bool {
	t.Helper()

	return captioned[strings.ToLower(key)] || slices.ContainsFunc(alert.APIs(), func(api alert.API) bool {
		facts, err := api.Descriptor()
		if err != nil {
			t.Fatal(err)
		}

		return strings.EqualFold(key, facts.Alert.Severity)
	})
}

// lost returns a value of a row that is nowhere in its event, empty if there is none.
func lost(t testing.TB, row, event []byte) string {
	t.Helper()

	has := holdings{numbers: map[string]bool{}, truths: map[bool]bool{}}
	leaves("", decodeJSON(t, event), has.add)

	missing := ""

	leaves("", decodeJSON(t, row), func(key string, v any) {
		_, isText := v.(string)
		if !has.holds(v) && (!isText || !isCaptioned(t, key)) {
			missing = fmt.Sprintf("%s: %.100q (name the field in captioned if it becomes a caption)",
				key, fmt.Sprint(v))
		}
	})

	return missing
}

// holdings are the values of an event.
type holdings struct {
	texts   string
	numbers map[string]bool
	truths  map[bool]bool
}

func (h *holdings) add(_ string, v any) {
	switch v := v.(type) {
	case string:
		h.texts += v + "\n"
	case json.Number:
		h.numbers[v.String()] = true
		if f, err := v.Float64(); err == nil {
			h.numbers[fmt.Sprint(f)] = true
		}
	case bool:
		h.truths[v] = true
	}
}

// holds reports whether the value of a row is in the event, be it as a time or a number.
func (h *holdings) holds(v any) bool {
	switch v := v.(type) {
	case string:
		at, err := tick.Parse(v)
		isTime := err == nil && (h.numbers[fmt.Sprint(int64(at/tick.Millisecond))] || at < 0)

		return isTime || strings.Contains(h.texts, v) || h.numbers[strings.TrimLeft(v, "+0")]
	case json.Number:
		f, err := v.Float64()
		same := err == nil && h.numbers[fmt.Sprint(f+0)] // +0: -0 is the integer 0

		return same || h.numbers[v.String()] || strings.Contains(h.texts, v.String())
	case bool:
		return h.truths[v]
	}

	return true
}

// ownRows returns the alerts of an API in the golden files, and one for each piece of
// evidence of those that have much.
func ownRows(t testing.TB, api alert.API) (rows [][]byte) {
	t.Helper()

	const large = 20_000

	for _, name := range goldenNames(t) {
		if goldenAPI(name) != api {
			continue
		}

		row, err := os.ReadFile(goldenDir + name + ".json")
		if err != nil {
			t.Fatal(err)
		}

		if len(row) < large {
			rows = append(rows, row)
			continue
		}

		for _, evidence := range gjson.GetBytes(row, "evidence").Array() {
			rows = append(rows, fmt.Appendf(nil, `{"id":"x","evidence":[%s]}`, evidence.Raw))
		}
	}

	return rows
}

// wrongValues are put in place of every value of a row in turn.
var wrongValues = []string{
	`null`, `""`, `"x"`, `" "`, `0`, `-1`, `4711`, `1.5`,
	`1e400`, `-1e999`, `18446744073709551615`, `99999999999999999999`, `true`,
	`[]`, `{}`, `[null]`, `["a",5,{"b":[true]}]`, `{"id":{"id":"x"}}`, `"0001-01-01T00:00:00Z"`,
	`"1969-12-31T23:59:59Z"`,
	`"9999-12-31T23:59:59.9999999Z"`, `"2026-13-01T00:00:00Z"`, `"a@b.c"`, `"a@b"`, `"192.0.2.1"`, `"fe80::1%eth0"`,
	`"\ud83d"`, `"\u0000\n"`, `"T1059.0011"`, `"T1059.001"`, `"resolved"`, `"ReSoLvEd"`,
	`[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]`,
	`[{"@odata.type":5},{"entityType":"File"},{"@odata.type":"#microsoft.graph.security.ipEvidence"},null,"x"]`,
}

// TestAnyValueAnywhereIsValidOCSF puts every wrong value in place of every value of
// every row; a long run takes all of them, others some, and not the same ones each time.
func TestAnyValueAnywhereIsValidOCSF(t *testing.T) {
	schema := ocsfcheck.Load(t)
	for _, api := range alert.APIs() {
		for _, row := range ownRows(t, api) {
			k := 0
			for at, end := range valuesIn(row) {
				k++
				for i, wrong := range wrongValues {
					if (i+k)%setup.Size(31, 1) != 0 {
						continue
					}

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

// Every alert that the simulator lists, of every API, is valid and whole.
func TestGeneratedAlertsAreValidOCSF(t *testing.T) {
	schema := ocsfcheck.Load(t)
	customers := simulator.Generate(1, setup.Size(100, 5000), 16)

	sim := setup.Simulator(t, simulator.Config{Tenants: customers, Seed: 16})
	for _, api := range alert.APIs() {
		rows := sim.Ledger(customers[0].ID, string(api)).Exists
		if len(rows) < 60 {
			t.Errorf("%s: only %d rows", api, len(rows))
		}

		for _, row := range rows {
			event := eventOf(t, api, row)
			schema.Report(t, string(api), event)

			if text := lost(t, row, event); text != "" {
				t.Errorf("%s: %s is not in %s\nof %s", api, text, event, row)
			}
		}
	}
}

// What no format but raw could hold is held: numbers beyond the doubles, any depth, keys
// twice and in any case. What is no JSON is refused, whatever comes before.
func TestOCSFTakesAllThatIsJSON(t *testing.T) {
	schema := ocsfcheck.Load(t)
	deep := func(n int) string { return strings.Repeat(`[{"a":`, n) + "1" + strings.Repeat("}]", n) }
	written := `{"\u0069d":"a","evidence":[` +
		`{"\u0040odata.type":"#microsoft.graph.security.urlEvidence","u\u0072l":"https://x/"}]}`

	for row, want := range map[string]error{
		`{"id":"a","x":1e400,"evidence":[{"y":-1e999}]}`:                                   nil,
		`{"id":"a","x":` + deep(5) + `,"evidence":[{"y":` + deep(500) + `}]}`:              nil,
		`{"id":"a","x":` + deep(200_000) + `}`:                                             nil,
		`{"ID":null,"Id":"b","id":"c","TITLE":"t","title":{"x":"y"},"EVIDENCE":[{"A":1}]}`: nil,
		written: nil,
		" {\n\t\"evidence\" : [ { } , { \"a\" : [ ] } , null ] \r\n} ": nil,
		``:                       ErrNotObject,
		`[]`:                     ErrNotObject,
		`{"id":"a"`:              ErrSyntax,
		`{"id":"a"}}`:            ErrSyntax,
		`{"id":"a",}`:            ErrSyntax,
		`{"x":[1,2}`:             ErrSyntax,
		`{"x":01}`:               ErrSyntax,
		`{"x":"\q"}`:             ErrSyntax,
		`{"evidence":[{"a":1]}`:  ErrSyntax,
		`{"x":"` + "\x01" + `"}`: ErrSyntax,
		`{"x":"` + "\xff" + `"}`: ErrUTF8,
	} {
		for _, api := range alert.APIs() {
			e := newEncoder(t, Options{TenantID: "t", API: api, Format: FormatOCSF})

			_, err := e.Alert(nil, alert.Version{Time: 1}, []byte(row))
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s: %.100q: %v; want %v", api, row, err, want)
			} else if want == nil && len(row) < 10_000 {
				event := eventOf(t, api, []byte(row))
				schema.Report(t, row, event)

				if text := lost(t, []byte(row), event); text != "" {
					t.Errorf("%s: %s is not in %s\nof %s", api, text, event, row)
				}
			}
		}
	}
}

// An encoder keeps little for the next row, however large the last one was, and the
// event of a large alert needs no memory but for its own bytes.
func TestALargeAlertLeavesNoMemoryBehind(t *testing.T) {
	piece := gjson.GetBytes(testdata(t, "graph-evidence.json"), "evidence").Raw
	piece = strings.Trim(piece, "[]")
	row := []byte(`{"id":"a","description":"` + strings.Repeat(`\u0041`, 200_000) + `","evidence":[` +
		strings.Repeat(piece+",", 40) + piece + `]}`)
	e := newEncoder(t, Options{TenantID: "t", API: alert.Graph, Format: FormatOCSF})
	before := heap()
	size := func() int {
		event, err := e.Alert(nil, alert.Version{Time: 1}, row)
		if err != nil {
			t.Fatal(err)
		}

		return len(event)
	}()

	if left := heap() - before; left > 1<<20 {
		t.Errorf("%d bytes are left of a row of %d", left, len(row))
	}

	dst := make([]byte, 0, 2*size)

	if n := testing.AllocsPerRun(1, func() { _, _ = e.Alert(dst, alert.Version{Time: 1}, row) }); n > 40 {
		t.Errorf("%.0f allocations for a row of %d bytes", n, len(row))
	}

	runtime.KeepAlive(e)
}

func heap() int64 {
	runtime.GC()

	var m runtime.MemStats
	runtime.ReadMemStats(&m)

	return int64(m.HeapAlloc)
}

// FuzzOCSF: an event is valid, or the row is no JSON object in UTF-8.
func FuzzOCSF(f *testing.F) {
	schema := ocsfcheck.Load(f)
	for _, name := range goldenNames(f) {
		for _, row := range ownRows(f, goldenAPI(name)) {
			f.Add(row)
		}
	}

	encoders := map[alert.API]*Encoder{}
	for _, api := range alert.APIs() {
		encoders[api] = newEncoder(f, Options{TenantID: "t", API: api, Format: FormatOCSFCEF})
	}

	f.Fuzz(func(t *testing.T, row []byte) {
		isObject := gjson.ValidBytes(row) && gjson.ParseBytes(row).IsObject() && utf8.Valid(row)
		for api, e := range encoders {
			event, err := e.Alert(nil, alert.Version{Time: 1}, row)
			if (err == nil) != isObject {
				t.Fatalf("%s: %v of %q", api, err, row)
			}

			if err != nil {
				continue
			}

			_, text, err := Decode(event)
			if err != nil {
				t.Fatalf("%s: %v of %q", api, err, row)
			}

			schema.Report(t, string(api), text)
		}
	})
}
