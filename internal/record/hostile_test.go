package record

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/ocsfcheck"
	"fluent-bit-defender/internal/test/setup"
	"fluent-bit-defender/internal/testbed/receiver"
)

// everyFormat encodes rows of one API in each format. Its encoders live on from row to
// row, as they do in the plugin.
type everyFormat struct {
	t         testing.TB
	api       alert.API
	schema    *ocsfcheck.Schema
	describer *alert.Describer
	encoders  [numFormats]*Encoder
}

func newEveryFormat(t testing.TB, api alert.API, schema *ocsfcheck.Schema) *everyFormat {
	t.Helper()

	describer, err := alert.NewDescriber(api)
	if err != nil {
		t.Fatal(err)
	}

	every := &everyFormat{
		t:         t,
		api:       api,
		schema:    schema,
		describer: describer,
	}
	for f := range every.encoders {
		promiseOf(t, Format(f)) // there is one
		every.encoders[f] = newEncoder(t, Options{
			TenantID: "99999999-8888-7777-6666-555555555555",
			Tenant:   "contoso | = \\",
			API:      api,
			Format:   Format(f),
		})
	}

	return every
}

// check demands of each format that it makes a record of the row that Fluent Bit and a
// receiver can read, with all of the row in it, or that the row becomes a record of kind
// raw for one of the reasons that docs/contract.md lists. It returns how many are raw.
func (every *everyFormat) check(row []byte) (refused int) {
	every.t.Helper()

	described := every.describer.Describe(row)
	version := alert.Version{
		Time: described.Updated,
		ID:   alert.MakeID("t", every.api, described.Identity, described.Version),
	}

	for f, e := range every.encoders {
		event, err := e.Alert([]byte("before"), version, row)
		if err != nil {
			refused++

			if why := every.excused(Format(f), err); why != "" || string(event) != "before" {
				every.t.Fatalf("%s %v: %s: %v of %.2000q", every.api, Format(f), why, err, row)
			}

			event = e.Raw(event, version.Time, version.ID, row)
		}

		_, text, decodeErr := Decode(event[len("before"):])
		if decodeErr != nil {
			every.t.Fatalf("%s %v: %v of %.2000q", every.api, Format(f), decodeErr, row)
		}

		if !json.Valid(text) || !utf8.Valid(text) {
			every.t.Fatalf("%s %v: the record is no JSON, or not UTF-8: %q of %.2000q", every.api, Format(f), text, row)
		}

		fault := every.record(Format(f), text, row)
		if err != nil {
			fault = every.rawRecord(text, row)
		}

		if line := gjson.GetBytes(text, "cef").Str; e.cef != nil {
			if _, err := parseCEF(line); err != nil {
				fault = fmt.Sprintf("%v in %s", err, line)
			}

			_, err := receiver.ParseCEF(line)
			if err != nil && strings.HasSuffix(err.Error(), "of this century") {
				err = nil // the receiver does not expect alerts of the last one
			}

			if err != nil || len(line) > DefaultCEFMaxBytes {
				fault = fmt.Sprintf("%v in %s", err, line)
			}
		}

		if fault != "" {
			every.t.Fatalf("%s %v: %s\nin %.2000s\nof %.2000q", every.api, Format(f), fault, text, row)
		}
	}

	return refused
}

// A promise is what a format promises of any row.
type promise struct {
	// refuses are the reasons for which it may refuse a row, besides ErrNotObject and
	// ErrUTF8.
	refuses []error
	// fault returns what is wrong with what a record holds of a row, beside mssp and the
	// CEF line, empty if nothing is. line is whether the format has the CEF line.
	fault func(every *everyFormat, line bool, text, row []byte) string
}

// promises has a row for each format that is not a body with the CEF line.
var promises = map[Format]promise{
	FormatJSON: {
		refuses: []error{ErrSyntax, ErrTooDeep, ErrNumber},
		fault: func(_ *everyFormat, _ bool, text, row []byte) string { // FuzzAlert compares each value
			want := len(gjson.ParseBytes(row).Map())
			if have := len(gjson.ParseBytes(text).Map()); have < want {
				return fmt.Sprintf("%d keys of %d", have, want)
			}

			return ""
		},
	},
	FormatRaw: {
		fault: func(_ *everyFormat, _ bool, text, row []byte) string {
			if gjson.GetBytes(text, "message").Str != string(row) {
				return "the message is not the row"
			}

			return ""
		},
	},
	FormatOCSF: {
		refuses: []error{ErrSyntax},
		fault: func(every *everyFormat, line bool, text, row []byte) string {
			if faults := every.schema.Check(text); len(faults) > 0 {
				return strings.Join(faults, "\n")
			}

			if line || len(row) >= 10_000 {
				return ""
			}

			if text := lost(every.t, row, text); text != "" {
				return text + " is lost"
			}

			return ""
		},
	},
	FormatCEF: {
		refuses: []error{ErrSyntax, ErrTooDeep, ErrNumber},
		fault: func(_ *everyFormat, _ bool, text, _ []byte) string {
			if keys := len(gjson.ParseBytes(text).Map()); keys != 2 {
				return fmt.Sprintf("%d keys", keys)
			}

			return ""
		},
	},
}

// promiseOf returns what a format promises, and whether it has the CEF line.
func promiseOf(t testing.TB, f Format) (p promise, line bool) {
	t.Helper()

	_, line, err := f.row()
	if err != nil {
		t.Fatal(err)
	}

	if f >= withLine {
		f -= withLine
	}

	p, ok := promises[f]
	if !ok {
		t.Fatalf("promises, in hostile_test.go, has no row for the format %s", f)
	}

	return p, line
}

// excused returns what is wrong with the reason for which a format refuses a row, empty
// if it may.
func (every *everyFormat) excused(f Format, err error) string {
	p, _ := promiseOf(every.t, f)

	allowed := append([]error{ErrNotObject, ErrUTF8}, p.refuses...)
	if slices.ContainsFunc(allowed, func(reason error) bool { return errors.Is(err, reason) }) {
		return ""
	}

	return "by promises, in hostile_test.go, the format may not refuse the row for this"
}

// record returns what is wrong with the record of a row, empty if nothing is.
func (every *everyFormat) record(f Format, text, row []byte) string {
	if kind := gjson.GetBytes(text, "mssp.kind").Str; kind != "alert" {
		return "the kind is " + kind
	}

	p, line := promiseOf(every.t, f)

	return p.fault(every, line, text, row)
}

// rawRecord returns what is wrong with the record of kind raw of a row, empty if nothing
// is.
func (every *everyFormat) rawRecord(text, row []byte) string {
	if kind := gjson.GetBytes(text, "mssp.kind").Str; kind != "raw" {
		return "the kind is " + kind
	}

	want := string(row)
	if !utf8.Valid(row) {
		want = base64.StdEncoding.EncodeToString(row)
	}

	if gjson.GetBytes(text, "raw").Str != want {
		return "the record has not the bytes of the row"
	}

	return ""
}

// hostileRows are rows that no API sends on a good day.
func hostileRows() []string {
	nested := func(open, in, end string, n int) string { return strings.Repeat(open, n) + in + strings.Repeat(end, n) }
	rows := []string{
		``, ` `, `{`, `}`, `{}`, `{}{}`, `[]`, `null`, `"x"`, `5`, "\ufeff{}", "<html>", `{"id"}`, `{"id":}`, `{,}`,
		`{"id":"a"`, `{"id":"a",}`, `{"id":"a"]`, `{'id':'a'}`, `{"id":NaN}`, `{"id":01}`, `{"id":+1}`, `{"id":.5}`,
		`{"id":"\q"}`, `{"id":"\u12"}`, "{\"id\":\"\n\"}", "{\"id\":\"\x00\"}", `{"id":tru}`, `{"id":"a" "title":"b"}`,
		"{\"id\":\"\xff\"}", "{\"\xc3\":1}", "{\"id\":\"\xed\xa0\x80\"}", "{\"id\":\xc0\xaf}", "\xff",
		"{\"evidence\":[\"\xf0\x9f\"]}",
		`{"":1}`, `{"":{"":[""]}}`, `{"\u0000":"\u0000"}`,
		`{"mssp":{"kind":"raw"},"cef":"CEF:0|x","message":1,"raw":2}`,
		`{"id":1e400}`, `{"id":-1e400}`, `{"id":18446744073709551616,"lastUpdateDateTime":99999999999999999999}`,
		`{"id":"a","x":` + nested("[", "", "]", 30) + `}`, `{"id":"a","x":` + nested("[", "", "]", 31) + `}`,
		`{"id":"a","evidence":` + nested(`[{"evidence":`, "null", "}]", 100) + `}`,
		`{"id":"a","alerts":` + nested(`[{"alerts":`, "[]", "}]", 2000) + `}`,
		`{"id":"a","x":` + nested("[", "", "]", 100_000) + `}`, nested(`{"a":`, "1", "}", 10_000),
		`{"id":"` + strings.Repeat("é", 100_000) + `","title":"` + strings.Repeat(`\u0000`, 50_000) + `"}`,
		`{"id":"a","` + strings.Repeat("k", 70_000) + `":1}`,
		`{"id":"a","evidence":[` + strings.Repeat(`{},null,[],"x",5,`, 500) + `{}]}`,
		`{"id":"a","alerts":[` + strings.Repeat(`{"id":"b"},null,7,`, 500) + `{}]}`,
	}

	var many strings.Builder
	for i := range 70_000 { // more keys than a map16 has room for
		fmt.Fprintf(&many, `"k%d":%d,`, i, i)
	}

	return append(rows, "{"+many.String()+`"id":"a"}`)
}

// TestEveryHostileRowIsARecordInEveryFormat of every API; a long run spoils all good
// rows, others some.
func TestEveryHostileRowIsARecordInEveryFormat(t *testing.T) {
	schema := ocsfcheck.Find(t)

	for _, api := range alert.APIs() {
		every := newEveryFormat(t, api, schema)

		rows, refused := hostileRows(), 0
		for _, row := range rows {
			refused += every.check([]byte(row))
		}

		for i, row := range ownRows(t, api) {
			if i%setup.Size(12, 1) != 0 {
				continue
			}

			for _, changed := range spoiled(row) {
				rows = append(rows, string(changed))
				refused += every.check(changed)
			}
		}

		t.Logf("%s: %d rows, %d of %d records of kind raw", api, len(rows), refused, len(rows)*int(numFormats))
	}
}

// spoiled returns a row with all of its values of one kind replaced, with all keys twice,
// and with a byte that is not UTF-8 or a cut in the middle.
func spoiled(row []byte) (list [][]byte) {
	ends := valuesIn(row)
	starts := slices.Sorted(maps.Keys(ends))

	for _, wrong := range []string{`null`, `{}`, `[]`, `[null]`, `5`, `true`, `1e999`, `"\ud800"`, `"a|b=c\\\n"`} {
		var changed []byte

		done := 0
		for _, at := range starts {
			if inner := row[at] == '{' || row[at] == '['; at < done || inner && len(list)%2 == 0 {
				continue
			}

			changed = append(append(changed, row[done:at]...), wrong...)
			done = ends[at]
		}

		list = append(list, append(changed, row[done:]...))
	}

	inside := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(row)), "{"), "}")
	list = append(list,
		[]byte("{"+inside+","+inside+"}"),
		[]byte("{"+strings.ToUpper(inside)+"}"),
		[]byte("{"+inside+`,"\u0069d":[],"lastUpdateDateTime":{},"lastUpdateTime":[],"evidence":5,"alerts":{}}`),
	)

	middle := len(row) / 2

	return append(list,
		slices.Concat(row[:middle], []byte{0xff}, row[middle:]),
		slices.Concat(row[:middle], []byte{0}, row[middle:]),
		row[:middle],
		slices.Concat(row, row),
	)
}

// TestAnyValueAnywhereIsARecordInEveryFormat puts every wrong value in place of every
// value of every row; a long run takes all of them, others some.
func TestAnyValueAnywhereIsARecordInEveryFormat(t *testing.T) {
	schema := ocsfcheck.Find(t)

	for _, api := range alert.APIs() {
		every := newEveryFormat(t, api, schema)
		k := 0

		for _, row := range ownRows(t, api) {
			for at, end := range valuesIn(row) {
				k++

				for i, wrong := range wrongValues {
					if (i+k)%setup.Size(61, 1) == 0 {
						every.check(slices.Concat(row[:at], []byte(wrong), row[end:]))
					}
				}
			}
		}
	}
}

// FuzzEveryFormat: whatever a row is, each format makes a record of it for each API.
func FuzzEveryFormat(f *testing.F) {
	schema := ocsfcheck.Find(f)

	for _, api := range alert.APIs() {
		for _, row := range ownRows(f, api) {
			f.Add(row)
		}
	}

	for _, row := range hostileRows() {
		if len(row) < 10_000 {
			f.Add([]byte(row))
		}
	}

	var all []*everyFormat
	for _, api := range alert.APIs() {
		all = append(all, newEveryFormat(f, api, schema))
	}

	f.Fuzz(func(t *testing.T, row []byte) {
		for _, every := range all {
			every.t = t
			every.check(row)
		}
	})
}
