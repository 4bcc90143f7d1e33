package record

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
)

// decoded returns the record of an event as JSON.
func decoded(t testing.TB, event []byte) string {
	t.Helper()

	_, text, err := Decode(event)
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}

func TestEveryFormatMarksAReplay(t *testing.T) {
	for f := range numFormats {
		for _, name := range goldenNames(t) {
			o := Options{
				TenantID: "t",
				Tenant:   "contoso",
				API:      goldenAPI(name),
				Format:   f,
			}
			plain, marks := newEncoder(t, o), newEncoder(t, o)
			marks.Replay(true)

			for _, row := range ownRows(t, o.API) {
				v := alert.Version{Time: 16014749601234567, ID: alert.MakeID("t", o.API, []byte("x"), nil)}

				want, err := plain.Alert([]byte("before"), v, row)
				if err != nil {
					t.Fatal(err)
				}

				got, err := marks.Alert([]byte("before"), v, row)
				if err != nil {
					t.Fatal(err)
				}

				want, got = want[len("before"):], got[len("before"):]
				compareMarked(t, want, got)

				marks.Replay(false)

				if again, err := marks.Alert(nil, v, row); err != nil || !bytes.Equal(again, want) {
					t.Errorf("%s: without the mark it is another event: %v", f, err)
				}

				marks.Replay(true)
				compareMarked(t, plain.Raw(nil, 1, v.ID, row), marks.Raw(nil, 1, v.ID, row))
			}
		}
	}
}

// compareMarked demands that an event is another one with the mark, that MarkReplays
// makes it of the other one, and that it changes none that has it.
func compareMarked(t testing.TB, plain, marked []byte) {
	t.Helper()

	text := decoded(t, marked)
	if !gjson.Get(text, "mssp.replay").Bool() {
		t.Errorf("no mark in %s", text)
	}

	if without := strings.Replace(text, `,"replay":true}`, `}`, 1); without != decoded(t, plain) {
		t.Errorf("more than the mark differs:\n%s\n%s", text, decoded(t, plain))
	}

	if got := MarkReplays(plain); !bytes.Equal(got, marked) {
		t.Errorf("marked later it is\n%s", decoded(t, got))
	}

	if got := MarkReplays(marked); !bytes.Equal(got, marked) {
		t.Errorf("marked twice it is\n%s", decoded(t, got))
	}
}

func TestAHealthRecordIsNeverMarked(t *testing.T) {
	e := newEncoder(t, Options{TenantID: "t", API: "graph", Format: FormatJSONCEF})
	e.Replay(true)

	event := e.Health(nil, Health{State: health.OK, At: time.Unix(1, 0)})
	if text := decoded(t, event); strings.Contains(text, "replay") || !bytes.Equal(MarkReplays(event), event) {
		t.Errorf("it is marked: %s", text)
	}
}

func TestEveryEventOfABatchIsMarked(t *testing.T) {
	e := newEncoder(t, Options{TenantID: "t", API: "graph"})

	var batch []byte

	for i := range 5 {
		var err error

		row := fmt.Sprintf(`{"id":"%d","mssp":{"kind":"health"},"many":{%s}}`, i,
			strings.Repeat(`"x":1,`, 70000)+`"y":2`)
		if batch, err = e.Alert(batch, alert.Version{Time: 1}, []byte(row)); err != nil {
			t.Fatal(err)
		}
	}

	wide := `{` + strings.Repeat(`"x":1,`, 1<<16) + `"y":2}`

	batch, err := e.Alert(batch, alert.Version{Time: 1}, []byte(wide)) // a record with a size of 32 bits
	if err != nil {
		t.Fatal(err)
	}

	n := 0

	for rest := MarkReplays(batch); len(rest) > 0; n++ {
		var event []byte

		if event, rest, err = Next(rest); err != nil {
			t.Fatal(err)
		}

		if text := decoded(t, event); !gjson.Get(text, "mssp.replay").Bool() {
			t.Errorf("event %d has no mark: %.200s", n, text)
		}
	}

	if n != 6 {
		t.Errorf("%d events, want 6", n)
	}
}

func TestWhatIsNoEventIsNotMarked(t *testing.T) {
	for _, foreign := range []string{"", "x", "\x92\x92\xd7", "\x92\x92\xd700000000\x80\x81\xa4mssp\x80"} {
		if got := MarkReplays([]byte(foreign)); string(got) != foreign {
			t.Errorf("%q becomes %q", foreign, got)
		}
	}
}

// FuzzMarkReplays encodes rows in each format, and marks the events.
func FuzzMarkReplays(f *testing.F) {
	f.Add([]byte(`{"id":"x","title":"é"}`), "contoso")
	f.Add([]byte(`{"mssp":{"replay":true},"cef":1}`), "")
	f.Add([]byte(`{"record_id":"x"`), strings.Repeat("long ", 60))

	f.Fuzz(func(t *testing.T, row []byte, tenant string) {
		for f := range numFormats {
			o := Options{
				TenantID: "t",
				Tenant:   tenant,
				API:      "graph",
				Format:   f,
			}
			plain, marks := newEncoder(t, o), newEncoder(t, o)
			marks.Replay(true)

			want, err := plain.Alert(nil, alert.Version{Time: 1}, row)

			got, errMarked := marks.Alert(nil, alert.Version{Time: 1}, row)
			if (err == nil) != (errMarked == nil) {
				t.Fatalf("%v, and with the mark %v", err, errMarked)
			}

			if err == nil {
				compareMarked(t, want, got)
			}

			compareMarked(t, plain.Raw(nil, 1, alert.ID{}, row), marks.Raw(nil, 1, alert.ID{}, row))
		}
	})
}

// FuzzMarkForeign calls MarkReplays with bytes of any kind.
func FuzzMarkForeign(f *testing.F) {
	e := newEncoder(f, Options{TenantID: "t", API: "graph"})
	f.Add(e.Raw(nil, 1, alert.ID{}, []byte("x")))
	f.Add([]byte("\x92\x92\xd700000000\x80\x81\xa4mssp\x85"))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)

		if got := MarkReplays(b); len(got) < len(b) || !bytes.Equal(b, before) {
			t.Errorf("%x becomes %x", before, got)
		}
	})
}
