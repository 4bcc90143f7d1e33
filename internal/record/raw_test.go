package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
)

// What JSON readers and writers like to change must stay as it is.
var oddRows = []string{
	`{}`,
	" {\n\t\"id\" : \"a\",\r\n \"n\" : 1.0E+2 } ",
	`{"id":"caf\u00e9 \/ \ud83d\ude00 \ud83d"}`,
	`{"n":[1e400,-0,0.10,123456789012345678901234567890]}`,
	`{"id":"a","id":"b","mssp":1,"cef":2,"message":3}`,
	`{"deep":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
	`{"text":"` + strings.Repeat("日本 ", 30_000) + `"}`,
	`{"id":"not quite JSON",}`,
}

func TestRawKeepsEveryByteOfTheRow(t *testing.T) {
	for _, f := range []Format{FormatRaw, FormatRawCEF} {
		e := newEncoder(t, Options{TenantID: "t", API: alert.Graph, Format: f})

		for _, row := range oddRows {
			event, err := e.Alert(nil, alert.Version{Time: 1, ID: alert.ID{}}, []byte(row))
			if err != nil {
				t.Errorf("%v: %.40q: %v", f, row, err)
				continue
			}

			_, text, err := Decode(event)
			if err != nil {
				t.Fatal(err)
			}

			var record struct {
				MSSP    struct{ Kind string }
				Message string
				CEF     string
			}
			if err := json.Unmarshal(text, &record); err != nil {
				t.Fatal(err)
			}

			if record.Message != row || record.MSSP.Kind != "alert" || (record.CEF != "") != (f == FormatRawCEF) {
				t.Errorf("%v: %.40q became %.200s", f, row, text)
			}
		}
	}
}

func TestRawRefusesOnlyWhatIsNoObjectOrNotUTF8(t *testing.T) {
	e := newEncoder(t, Options{TenantID: "t", API: alert.Graph, Format: FormatRaw})

	for row, want := range map[string]error{
		"":                            ErrNotObject,
		"5":                           ErrNotObject,
		`["a"]`:                       ErrNotObject,
		"{\"id\":\"caf\xe9\"}":        ErrUTF8,
		"{\"id\":\"\xed\xa0\xbd\"}":   ErrUTF8,
		"{\"a\":\"é\",\"b\":\"\xc3\"": ErrUTF8,
	} {
		dst := []byte("before")

		got, err := e.Alert(dst, alert.Version{Time: 1, ID: alert.ID{}}, []byte(row))
		if !errors.Is(err, want) || string(got) != "before" {
			t.Errorf("%q: %q, %v; want %v", row, got, err, want)
		}

		if errors.Is(err, ErrUTF8) && !strings.HasSuffix(err.Error(), offsetText(row)) {
			t.Errorf("%q: %v", row, err)
		}
	}
}

// offsetText is the end of the message that names the first byte that is not UTF-8.
func offsetText(row string) string {
	valid := strings.ToValidUTF8(row, "\x00")
	return "at byte " + strconv.Itoa(strings.IndexByte(valid, 0))
}

// The key cef stands straight behind mssp, whatever else the record holds.
func TestTheCEFLineStandsBehindMSSP(t *testing.T) {
	for f := range numFormats {
		e := newEncoder(t, Options{TenantID: "t", API: alert.Graph, Format: f})
		if e.cef == nil {
			continue
		}

		event, err := e.Alert(nil, alert.Version{Time: 1, ID: alert.ID{}}, []byte(`{"id":"a","cef":1}`))
		if err != nil {
			t.Fatal(err)
		}

		_, text, err := Decode(event)
		if err != nil {
			t.Fatal(err)
		}

		if !bytes.HasPrefix(text, []byte(`{"mssp":`+gjson.GetBytes(text, "mssp").Raw+`,"cef":"CEF:0|`)) {
			t.Errorf("%v: %s", f, text)
		}
	}
}

// Health and raw records are the same in every format but for the CEF line.
func TestHealthAndRawKindsAreTheSameInEveryFormat(t *testing.T) {
	var first []string

	for f := range numFormats {
		e := newEncoder(t, Options{TenantID: "t", API: alert.Graph, Format: f})

		var got []string

		for _, event := range [][]byte{
			e.Health(nil, Health{State: "failing", Trouble: health.Trouble{Message: "m"}}),
			e.Raw(nil, 1, alert.ID{}, []byte("\xff")),
			e.Raw(nil, 1, alert.ID{}, []byte("{")),
		} {
			_, text, err := Decode(event)
			if err != nil {
				t.Fatal(err)
			}

			line := gjson.GetBytes(text, "cef")
			if line.Exists() != (e.cef != nil) {
				t.Errorf("%v: %s", f, text)
			}

			got = append(got, strings.Replace(string(text), `,"cef":`+line.Raw, "", 1))
		}

		if first == nil {
			first = got
		}

		for k := range got {
			if got[k] != first[k] {
				t.Errorf("%v: %s; in %v: %s", f, got[k], Format(0), first[k])
			}
		}
	}
}
