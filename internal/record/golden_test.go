package record

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/test/golden"
	"fluent-bit-defender/internal/tick"
)

const goldenDir = "../../testdata/record/"

func testdata(t *testing.T, name string) []byte {
	t.Helper()

	b, err := os.ReadFile(goldenDir + name)
	if err != nil {
		t.Fatal(err)
	}

	return b
}

// goldenNames returns the names of the files of alerts.
func goldenNames(t testing.TB) (names []string) {
	t.Helper()

	files, err := filepath.Glob(goldenDir + "*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no alerts in %s: %v", goldenDir, err)
	}

	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".json"))
	}

	return names
}

// goldenAPI returns the API of a file of an alert: the one with the longest name that the
// file's name begins with.
func goldenAPI(name string) (longest alert.API) {
	for _, api := range alert.APIs() {
		if (name == string(api) || strings.HasPrefix(name, string(api)+"-")) && len(api) > len(longest) {
			longest = api
		}
	}

	return longest
}

// TestGoldenRecords holds the bytes, the record and the CEF line of one alert per API,
// and its record in each other format, against files: whatever changes here changes what
// every customer's SIEM gets.
func TestGoldenRecords(t *testing.T) {
	at, err := tick.Parse("2026-02-03T09:13:33.2Z")
	if err != nil {
		t.Fatal(err)
	}

	seen := map[alert.API]bool{}

	for _, name := range goldenNames(t) {
		api := string(goldenAPI(name))
		seen[alert.API(api)] = true
		raw := bytes.TrimSpace(testdata(t, name+".json"))
		id := alert.MakeID("99999999-8888-7777-6666-555555555555", alert.API(api), []byte("1"), []byte("2"))
		e := newEncoder(t,
			Options{
				TenantID: "99999999-8888-7777-6666-555555555555",
				Tenant:   "contoso",
				API:      alert.API(api),
				Format:   FormatJSONCEF,
			},
		)

		event, err := e.Alert(nil, alert.Version{Time: at, ID: id}, raw)
		if err != nil {
			t.Fatalf("%s: %v", api, err)
		}

		back, text, err := Decode(event)
		if err != nil || back != at {
			t.Fatalf("%s: time %v, %v", api, back, err)
		}

		line := gjson.GetBytes(text, "cef").Str
		if _, err := parseCEF(line); err != nil {
			t.Errorf("%s: %v", api, err)
		}

		message := recordText(t, e.opt, FormatRawCEF, at, id, raw)
		if gjson.GetBytes(message, "message").Str != string(raw) || gjson.GetBytes(message, "cef").Str != line {
			t.Errorf("%s: %s", name, message)
		}

		golden.File(t, goldenDir+name+".record", string(text)+"\n")
		golden.File(t, goldenDir+name+".cef", line+"\n")
		golden.File(t, goldenDir+name+".event.hex", hex.Dump(event))

		for f := FormatRaw + 1; f < FormatCEF; f++ { // what a record of json and raw holds was held against the row
			var indented bytes.Buffer
			if err := json.Indent(&indented, recordText(t, e.opt, f, at, id, raw), "", "  "); err != nil {
				t.Fatal(err)
			}

			golden.File(t, goldenDir+name+"."+f.String(), indented.String()+"\n")
		}
	}

	for _, api := range alert.APIs() {
		if !seen[api] {
			t.Errorf("there is no %s%s.json", goldenDir, api)
		}
	}
}

// recordText returns the record of a row in another format.
func recordText(t *testing.T, o Options, f Format, at tick.Tick, id alert.ID, raw []byte) []byte {
	t.Helper()

	o.Format = f

	event, err := newEncoder(t, o).Alert(nil, alert.Version{Time: at, ID: id, History: alert.FirstVersion}, raw)
	if err != nil {
		t.Fatal(err)
	}

	_, text, err := Decode(event)
	if err != nil {
		t.Fatal(err)
	}

	return text
}

// TestSamplesOfOthersComeBack sends every published sample that lies beside the
// repository through page reader and encoder and compares the record with the sample,
// key by key.
func TestSamplesOfOthersComeBack(t *testing.T) {
	names, err := filepath.Glob("../../../shared/samples/*/*.json")
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range goldenNames(t) {
		names = append(names, goldenDir+name+".json")
	}

	for _, name := range names {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}

		var rows []string

		p := page.NewReader(iotest.HalfReader(bytes.NewReader(doc)), page.Options{Buffer: 100})
		for {
			row, err := p.Next()
			if errors.Is(err, io.EOF) {
				break
			}

			if errors.Is(err, page.ErrNotPage) { // a single object
				rows = []string{string(doc)}
				break
			}

			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}

			rows = append(rows, string(row))
		}

		for _, api := range alert.APINames() {
			for _, row := range rows {
				compareRow(t, filepath.Base(name), api, row)
			}
		}
	}
}

func compareRow(t *testing.T, name, api, row string) {
	t.Helper()
	e := newEncoder(t, Options{TenantID: "t", API: alert.API(api), Format: FormatJSONCEF})

	event, err := e.Alert(nil, alert.Version{Time: 1, ID: alert.ID{}}, []byte(row))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}

	_, text, err := Decode(event)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}

	var got, want bytes.Buffer

	added := `{"mssp":` + gjson.GetBytes(text, "mssp").Raw + `,"cef":` + gjson.GetBytes(text, "cef").Raw + `,`

	text = []byte(`{` + strings.TrimPrefix(string(text), added))
	if err := json.Compact(&got, text); err != nil {
		t.Fatalf("%s: %v", name, err)
	}

	ordered, err := readOrdered([]byte(row))
	if err != nil {
		t.Fatal(err)
	}

	printOrdered(&want, ordered)

	if got.String() != want.String() {
		t.Errorf("%s: becomes\n%s\nwant\n%s", name, got.String(), want.String())
	}
}

func printOrdered(w *bytes.Buffer, v any) {
	switch v := v.(type) {
	case object:
		for i, m := range v {
			w.WriteByte("{,"[min(i, 1)])
			w.Write(appendQuoted(nil, []byte(m.key)))
			w.WriteByte(':')
			printOrdered(w, m.value)
		}

		w.WriteString(map[bool]string{true: "{}", false: "}"}[len(v) == 0])
	case []any:
		for i, x := range v {
			w.WriteByte("[,"[min(i, 1)])
			printOrdered(w, x)
		}

		w.WriteString(map[bool]string{true: "[]", false: "]"}[len(v) == 0])
	case string:
		w.Write(appendQuoted(nil, []byte(v)))
	default:
		b, _ := json.Marshal(v)
		w.Write(b)
	}
}
