package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/tick"
)

func newEncoder(t testing.TB, o Options) *Encoder {
	t.Helper()

	e, err := NewEncoder(o)
	if err != nil {
		t.Fatal(err)
	}

	return e
}

func TestFormatNames(t *testing.T) {
	for f := range numFormats {
		if got, err := ParseFormat(strings.ToUpper(f.String())); err != nil || got != f {
			t.Errorf("%s: %v, %v", f, got, err)
		}
	}

	for _, s := range []string{"", "jsoncef", "json+", "xml"} {
		if f, err := ParseFormat(s); err == nil {
			t.Errorf("%q is %s", s, f)
		}
	}

	if s := Format(200).String(); s != "Format(200)" {
		t.Errorf("an unknown format is %s", s)
	}
}

func TestEventTimesAreThoseFluentBitCanHold(t *testing.T) {
	e := newEncoder(t, Options{TenantID: "t", API: "graph"})
	for _, c := range []struct {
		promise   string
		at        tick.Tick
		sec, nsec uint32
	}{
		{"100 ns", 16014749601234567, 1601474960, 123456700},
		{"1970", 0, 0, 0},
		{"before 1970", -1, 0, 0},
		{"the year 1", tick.FromTime(time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)), 0, 0},
		{"the last second", 4294967293 * tick.Second, 4294967293, 0},
		{"a group marker", 4294967294 * tick.Second, 4294967293, 999999900},
		{"the other one", 4294967295 * tick.Second, 4294967293, 999999900},
		{"the year 9999", tick.FromTime(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)), 4294967293, 999999900},
	} {
		event, err := e.Alert(nil, alert.Version{Time: c.at, ID: alert.ID{}}, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}

		want := binary.BigEndian.AppendUint32(
			binary.BigEndian.AppendUint32([]byte{0x92, 0x92, 0xd7, 0}, c.sec),
			c.nsec,
		)
		if !bytes.HasPrefix(event, append(want, 0x80)) {
			t.Errorf("%s: %x; want %x80…", c.promise, event[:13], want)
		}
	}
}

func TestBatchesSplitIntoTheirEvents(t *testing.T) {
	e := newEncoder(t, Options{
		TenantID: "t",
		Tenant:   strings.Repeat("long ", 20),
		API:      "graph",
		Format:   FormatJSONCEF,
	})
	rows := []string{
		`{}`,
		`{"a":[1.5,-200,300000,"é",{"b":null}]}`,
		`{"t":"` + strings.Repeat("x", 70_000) + `"}`,
		`{"a":[` + strings.Repeat("0,", 70_000) + `0]}`,
	}

	var (
		batch []byte
		err   error
	)
	for i, row := range rows {
		batch, err = e.Alert(batch, alert.Version{
			Time: tick.Tick(i),
			ID:   alert.ID{byte('0' + i)},
		}, []byte(row))
		if err != nil {
			t.Fatal(err)
		}
	}

	whole := batch

	for i := range rows {
		var event []byte
		if event, batch, err = Next(batch); err != nil {
			t.Fatal(err)
		}

		at, text, err := Decode(event)
		if id := gjson.GetBytes(text, "mssp.record_id").Str; err != nil || at != tick.Tick(i) ||
			id[0] != byte('0'+i) {
			t.Errorf("event %d: time %d, id %q, %v", i, at, id, err)
		}

		if cap(event) != len(event) {
			t.Errorf("event %d can be appended to, over the next one", i)
		}
	}

	if len(batch) != 0 {
		t.Errorf("%d bytes are left", len(batch))
	}

	one, _, _ := Next(whole)
	for cut := range one {
		if _, _, err := Next(one[:cut]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", cut, err)
		}

		if _, _, err := Decode(one[:cut]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}

	if _, _, err := Decode(append(bytes.Clone(one), 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte behind the event: %v", err)
	}
}

func TestTextsThatAreNotUTF8AreMended(t *testing.T) {
	e := newEncoder(t, Options{TenantID: "t\xff", API: "graph", Format: FormatJSONCEF})
	batch := e.Health(nil, Health{
		Trouble:    health.Trouble{Message: "a\xffb", Remedy: "\xff", Trace: "\xff"},
		State:      health.Failing,
		LagSeconds: math.Inf(1),
	})

	batch = e.Raw(batch, 0, alert.ID{}, []byte("{"))
	for len(batch) > 0 {
		event, rest, err := Next(batch)
		if err != nil {
			t.Fatal(err)
		}

		_, text, err := Decode(event)
		if err != nil || !gjson.ValidBytes(text) || bytes.Contains(text, []byte("\xff")) ||
			gjson.GetBytes(text, "mssp.tenant").Str != "t\uFFFD" {
			t.Errorf("%q, %v", text, err)
		}

		batch = rest
	}
}

func TestErrorsDoNotQuoteTheAlert(t *testing.T) {
	for _, raw := range []string{`secret`, `{"secret":secret}`, `{"secret":"\xsecret"}`, "{\"secret\":\"secret\xff\"}",
		`{"secret":1e999}`} {
		if _, err := recordOf(t, raw); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

// FuzzDecode: foreign bytes never upset Next and Decode, and what Decode accepts, the
// transcoder reads back.
func FuzzDecode(f *testing.F) {
	e := newEncoder(f, Options{TenantID: "t", API: "graph"})
	for _, s := range []string{
		`{}`, `{"a":[1.5,-200,300000,"é\n",{"b":null}],"c":18446744073709551615,"d":-9223372036854775808}`,
	} {
		event, err := e.Alert(nil, alert.Version{Time: 1, ID: alert.ID{}}, []byte(s))
		if err != nil {
			f.Fatal(err)
		}

		f.Add(event)
	}

	f.Add([]byte{0x92, 0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Add(bytes.Repeat([]byte{0x92}, 1000))
	f.Fuzz(func(t *testing.T, b []byte) {
		event, rest, err := Next(b)
		if err == nil && len(event)+len(rest) != len(b) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("%x: %d + %d bytes of %d, %v", b, len(event), len(rest), len(b), err)
		}

		_, text, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}

			return
		}

		if len(rest) != 0 {
			t.Fatalf("%x: Decode accepts what Next splits", b)
		}

		var tc transcoder
		_, _, err = tc.object(nil, text)
		if err != nil && !errors.Is(err, ErrUTF8) && !errors.Is(err, ErrTooDeep) &&
			!bytes.Contains(text, []byte("Inf")) && !bytes.Contains(text, []byte("NaN")) {
			t.Fatalf("%x is decoded as %s: %v", b, text, err)
		}
	})
}

func ExampleEncoder() {
	e, err := NewEncoder(Options{TenantID: "contoso.onmicrosoft.com", Tenant: "contoso", API: "endpoint"})
	if err != nil {
		fmt.Println(err)
		return
	}

	row := []byte(`{"id":"da1_2","lastUpdateTime":"2026-02-03T09:13:33.2Z","severity":"Low"}`)
	at, _ := tick.Parse("2026-02-03T09:13:33.2Z")
	id := alert.MakeID("contoso.onmicrosoft.com", "endpoint", []byte("da1_2"), fmt.Append(nil, int64(at)))

	batch, err := e.Alert(nil, alert.Version{Time: at, ID: id}, row)
	if err != nil {
		batch = e.Raw(nil, at, id, row)
	}

	event, _, _ := Next(batch)
	_, text, _ := Decode(event)

	fmt.Println(at)
	fmt.Println(strings.ReplaceAll(string(text), `,"`, ",\n\"")) // a key a line
	// Output:
	// 2026-02-03T09:13:33.2000000Z
	// {"mssp":{"kind":"alert",
	// "tenant_id":"contoso.onmicrosoft.com",
	// "tenant":"contoso",
	// "api":"endpoint",
	// "record_id":"5db6f93682de33a3d78739614c494d05"},
	// "id":"da1_2",
	// "lastUpdateTime":"2026-02-03T09:13:33.2Z",
	// "severity":"Low"}
}
