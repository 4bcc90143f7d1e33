package flbhost

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluent-bit-defender/internal/tick"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()

	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}

	return b
}

func TestEventsAreAcceptedAsFluentBitDoes(t *testing.T) {
	const good = "92 92 d7 00 00000001 00000064 80 81 a1 61 01"
	cases := []struct {
		name, hex string
		events    int
	}{
		{"v2 with EventTime", good, 1},
		{"ext8 EventTime", "92 92 c7 08 00 00000001 00000000 80 80", 1},
		{"forward with integer time", "92 01 80", 1},
		{"forward with float time", "92 cb 3ff0000000000000 80", 1},
		{"forward with EventTime", "92 d7 00 00000001 00000000 80", 1},
		{"metadata with content", "92 92 01 81 a1 61 91 c0 80", 1},
		{"time after 2038", "92 d7 00 fffffffd 00000000 80", 1},
		{"two events", good + good, 2},
		{"group marks are no records", "92 92 d7 00 ffffffff 00000000 80 80" + good +
			"92 92 d7 00 fffffffe 00000000 80 80", 1},
		{"group mark with nanoseconds stops", "92 92 d7 00 ffffffff 00000001 80 80" + good, 0},
		{"ext type 1", "92 92 d7 01 00000001 00000000 80 80", 0},
		{"msgpack timestamp", "92 92 d6 ff 00000001 80 80", 0},
		{"negative time", "92 92 ff 80 80", 0},
		{"bare map", "81 a1 61 01", 0},
		{"one element", "91 80", 0},
		{"three elements", "93 01 80 80", 0},
		{"array of events", "91" + good, 0},
		{"body is no map", "92 92 01 80 90", 0},
		{"metadata is no map", "92 92 01 90 80", 0},
		{"short header", "92 91 01 80", 0},
		{"the rest after a bad event is lost", good + "80" + good, 1},
		{"cut short", good + "92 92 d7 00 0000", 1},
		{"a length beyond the end", "dd ffffffff", 0},
		{"the byte that is never used", "c1", 0},
		{"nothing", "", 0},
	}

	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := DecodeEvents("t", unhex(t, c.hex)); len(got) != c.events {
				t.Errorf("%d events, want %d", len(got), c.events)
			}
		})
	}
}

func TestARecordKeepsTagTimeAndBytes(t *testing.T) {
	r := DecodeEvents("a.b", unhex(t, "92 92 d7 00 00000002 0000012c 81 a1 6d c3 81 a1 61 01"))[0]
	if r.Tag != "a.b" || r.Time != 2*tick.Second+3 || hex.EncodeToString(r.Event) != "81a16101" ||
		hex.EncodeToString(r.Metadata) != "81a16dc3" {
		t.Errorf("%+v", r)
	}
}

func TestJSONIsExact(t *testing.T) {
	r := Record{Event: unhex(t, "8a"+
		"a1 7a cf ffffffffffffffff"+
		"a1 79 d3 8000000000000000"+
		"a1 78 ff"+
		"a1 77 c0"+
		"a1 76 92 c2 c3"+
		"a1 75 cb 3fb999999999999a"+
		"a1 74 a5 c3a4 22 0a 3c"+
		"a1 73 ca 3f800000"+
		"a1 72 80"+
		"a1 71 c4 02 ff00")}

	want := `{"z":18446744073709551615,"y":-9223372036854775808,"x":-1,"w":null,"v":[false,true],` +
		`"u":0.1,"t":"ä\"\n\u003c","s":1,"r":{},"q":"/wA="}`
	if got := string(r.JSON()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRecordsReadsOnlyWhatWasCommitted(t *testing.T) {
	dir := t.TempDir()
	event := unhex(t, "92 01 80")
	whole := encodeChunk("t", append(append([]byte{}, event...), event...))

	uncommitted := append(encodeChunk("u", event), event...)
	for name, text := range map[string][]byte{
		"0000000001.chunk": whole,
		"0000000002.chunk": uncommitted,
		"0000000003.chunk": nil,
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}

	got, err := Records(dir)
	must(t, err)

	if len(got) != 3 || got[0].Tag != "t" || got[2].Tag != "u" {
		t.Errorf("%+v", got)
	}

	must(t, os.WriteFile(filepath.Join(dir, "0000000004.chunk"), []byte("something else entirely"), 0o600))

	if _, err := Records(dir); !errors.Is(err, ErrChunk) {
		t.Errorf("error %v", err)
	}
}

func FuzzDecodeEvents(f *testing.F) {
	f.Add(unhex(f, "92 92 d7 00 00000001 00000064 80 81 a1 61 01"))
	f.Add(unhex(f, "92 01 80 dd ffffffff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for _, r := range DecodeEvents("t", b) {
			n += len(r.Event)
			if o, ok := peekObject(r.Event); !ok || o.kind != kindMap || skipObject(r.Event) != len(r.Event) {
				t.Fatalf("record % x", r.Event)
			}

			_ = r.JSON()
		}

		if n > len(b) {
			t.Fatal("more bytes than there are")
		}
	})
}

func FuzzChunk(f *testing.F) {
	f.Add(encodeChunk("tag", []byte{0x92, 1, 0x80}))
	f.Fuzz(func(t *testing.T, b []byte) {
		tag, data, err := parseChunk(b)
		if err != nil || len(data) == 0 {
			return
		}

		if again := encodeChunk(tag, data); !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("% x, was % x", again, b)
		}
	})
}
