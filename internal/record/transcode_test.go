package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/record/msgpack"
)

// recordOf sends raw through an Encoder and returns what follows mssp in the
// record.
func recordOf(t *testing.T, raw string) (string, error) {
	t.Helper()
	e := newEncoder(t, Options{TenantID: "t", API: "graph"})

	event, err := e.Alert([]byte("before"), alert.Version{Time: 1, ID: alert.ID{}}, []byte(raw))
	if err != nil {
		if string(event) != "before" {
			t.Errorf("%q: after an error dst is %q", raw, event)
		}

		return "", err
	}

	_, text, err := Decode(event[len("before"):])
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}

	mssp := gjson.GetBytes(text, "mssp").Raw
	rest := strings.TrimPrefix(string(text), `{"mssp":`+mssp)

	return "{" + strings.TrimPrefix(rest, ","), nil
}

func TestAlertKeepsEveryFieldAsSent(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	for _, c := range []struct{ promise, raw, want string }{
		{"an empty object", `{}`, `{}`},
		{"white space anywhere", " \t\r\n{ \"a\" \n:\t1 , \"b\" : [ 1 , 2 ] , \"c\" : { } , \"d\" : [ ]\n" +
			"          }\n  ",
			`{"a":1,"b":[1,2],"c":{},"d":[]}`},
		{"key order", `{"z":1,"a":2,"m":3}`, ""},
		{"duplicate keys, in place", `{"a":1,"b":2,"a":3}`, ""},
		{"empty keys", `{"":{"":""}}`, ""},
		{"null, true, false", `{"a":null,"b":true,"c":false}`, ""},
		{"integers of all sizes", `{"a":[0,127,128,255,256,65535,65536,4294967295,4294967296,18446744073709551615]}`,
			""},
		{"negative integers of all sizes",
			`{"a":[-1,-32,-33,-128,-129,-32768,-32769,-2147483648,-2147483649,-9223372036854775808]}`, ""},
		{"minus zero as integer 0", `{"a":-0}`, `{"a":0}`},
		{"minus zero with a fraction as double", `{"a":[-0.0,-0e5,0.0]}`, `{"a":[-0.0,-0.0,0.0]}`},
		{"integers beyond 64 bits as doubles",
			`{"a":[18446744073709551616,-9223372036854775809,100000000000000000000]}`,
			`{"a":[18446744073709552000.0,-9223372036854776000.0,100000000000000000000.0]}`},
		{"integers of 20 digits above 64 bits", `{"a":[99999999999999999999]}`, `{"a":[100000000000000000000.0]}`},
		{"doubles", `{"a":[1.5,-2.25,1.0,1e3,1E+2,25e-1,0.1,3.141592653589793,1.7976931348623157e308,5e-324,` +
			`123456789.125]}`,
			`{"a":[1.5,-2.25,1.0,1000.0,100.0,2.5,0.1,3.141592653589793,1.7976931348623157e+308,5e-324,` +
				`123456789.125]}`},
		{"doubles of many digits", `{"a":[0.12345678901234567890123,9007199254740993.5,` +
			`0.00000000000000000000000000001]}`,
			`{"a":[0.12345678901234568,9007199254740994.0,1e-29]}`},
		{"too small for a double: 0", `{"a":[1e-400,-1e-400]}`, `{"a":[0.0,-0.0]}`},
		{"short escapes", `{"a":"\"\\\/\b\f\n\r\t"}`, `{"a":"\"\\/\b\f\n\r\t"}`},
		{"unicode escapes", `{"a":"\u0041\u00e9\u4e2d\uFFFF"}`, "{\"a\":\"Aé中\uffff\"}"},
		{"NUL", `{"a":"x\u0000y"}`, `{"a":"x\u0000y"}`},
		{"surrogate pairs", `{"a":"\ud83d\ude00\uD83D\uDE00"}`, `{"a":"😀😀"}`},
		{"lone surrogates as U+FFFD", `{"a":"\ud83d|\ude00|\ud83d\ud83d\ude00|\ud83d\u0041|\ud83dx|\ud83d\n"}`,
			`{"a":"�|�|�😀|�A|�x|�\n"}`},
		{"a surrogate at the end", `{"a":"\ud83d"}`, `{"a":"�"}`},
		{"UTF-8", `{"ключ":"中文 é 😀, plain text behind it, and again é"}`, ""},
		{"DEL and line separators", "{\"a\":\"\x7f\u2028\u2029\"}", ""},
		{"a title with everything", `{"t":"a|b\\c=d\r\ne 😀 <&>"}`, ""},
		{"a Windows path", `{"p":"C:\\Windows\\SysWOW64\\WindowsPowerShell\\v1.0\\powershell.exe",` +
			`"q":"\\\\server\\share"}`, ""},
		{"own mssp and cef renamed", `{"mssp":1,"cef":{"mssp":2,"mssp_":3}}`,
			`{"mssp_":1,"cef_":{"mssp":2,"mssp_":3}}`},
		{"own mssp_ and cef_ kept", `{"mssp_":1,"cef__":2}`, ""},
		{"own mssp renamed to what is free", `{"mssp_":1,"cef_":2,"cef":3,"mssp":4,"mssp__":5,"mssp____":6,"x":7}`,
			`{"mssp_":1,"cef_":2,"cef__":3,"mssp___":4,"mssp__":5,"mssp____":6,"x":7}`},
		{"own mssp renamed to what is free under any spelling", `{"\u006dssp":1,"mssp\u005f":2}`,
			`{"mssp__":1,"mssp_":2}`},
		{"own mssp renamed to a long name", longNames(`{"mssp":1,%s}`, 30),
			longNames(`{"mssp`+strings.Repeat("_", 31)+`":1,%s}`, 30)},
		{"own mssp renamed under any spelling", `{"\u006dssp":1,"\u0063\u0065f":2,"MSSP":3}`,
			`{"mssp_":1,"cef_":2,"MSSP":3}`},
		{"a long string", `{"a":"` + long + `","b":1}`, ""},
		{"a long string with an escape", `{"a":"` + long + `\n` + long + `","b":1}`, ""},
		{"a long key", `{"` + long + `":"` + long + `"}`, ""},
	} {
		want := c.want
		if want == "" {
			want = c.raw
		}

		if got, err := recordOf(t, c.raw); err != nil || got != want {
			t.Errorf("%s: %.300s becomes %.300s, %v; want %.300s", c.promise, c.raw, got, err, want)
		}
	}
}

func TestStringsOfEveryLengthComeBack(t *testing.T) {
	for n := range 600 {
		for _, special := range []string{"", `\n`, "é", `\u00e9`} {
			for _, at := range []int{0, n / 2, n} {
				s := strings.Repeat("a", at) + special + strings.Repeat("b", n-at)
				for _, tail := range []string{"}", `,"z":"` + strings.Repeat("pad", 20) + `"}`} {
					raw := `{"k":"` + s + `"` + tail

					want := strings.ReplaceAll(raw, `\u00e9`, "é")
					if got, err := recordOf(t, raw); err != nil || got != want {
						t.Fatalf("%s becomes %s, %v", raw, got, err)
					}
				}
			}
		}
	}

	for _, n := range []int{65_534, 65_535, 65_536, 65_537} {
		for _, raw := range []string{
			`{"k":"` + strings.Repeat("a", n) + `"}`, `{"k":"\n` + strings.Repeat("a", n-1) + `"}`,
		} {
			if got, err := recordOf(t, raw); err != nil || got != raw {
				t.Errorf("a string of %d bytes does not come back: %v", n, err)
			}
		}
	}
}

func TestEveryByteOfAStringIsLookedAt(t *testing.T) {
	for c := range 256 {
		for at := range 80 {
			b := []byte(`{"k":"` + strings.Repeat("a", 80) + `","z":"` + strings.Repeat("pad", 20) + `"}`)
			b[6+at] = byte(c)
			_, err := recordOf(t, string(b))

			var want error

			switch {
			case c < ' ', c == '"', c == '\\':
				want = ErrSyntax
			case c >= utf8.RuneSelf:
				want = ErrUTF8
			}

			if !errors.Is(err, want) {
				t.Fatalf("byte %#x at %d: %v; want %v", c, at, err, want)
			}
		}
	}
}

func TestDoublesAreTheNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 50_000 {
		digits := fmt.Sprint(r.Uint64() >> r.IntN(60))
		point := r.IntN(len(digits) + 1)

		text := "0." + strings.Repeat("0", r.IntN(25)) + digits
		if point > 0 {
			text = strings.TrimLeft(digits[:point-1], "0") + "1." + digits[point:] + "0"
		}

		if r.IntN(4) == 0 {
			text += fmt.Sprintf("e%+d", r.IntN(600)-300)
		}

		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}

		var b [100]byte

		o, i := msgpack.Number(b[:], 0, []byte(text+","), 0)
		if got := math.Float64frombits(binary.BigEndian.Uint64(b[1:])); o != 9 || i != len(text) || got != want {
			t.Fatalf("%s is read as %v; want %v", text, got, want)
		}
	}
}

func TestContainersOfEverySizeComeBack(t *testing.T) {
	for _, n := range []int{1, 15, 16, 255, 65_535, 65_536, 70_000} {
		list := strings.TrimSuffix(strings.Repeat(`1,`, n), ",")

		keys := strings.TrimSuffix(strings.Repeat(`"k":1.5,`, n), ",")
		for _, raw := range []string{
			`{"a":[` + list + `],"b":2}`, `{"a":{` + keys + `},"b":2}`, `{` + keys + `}`, `{"a":[[` +
				list + `],{"c":[` + list + `]}]}`,
		} {
			if got, err := recordOf(t, raw); err != nil || got != raw {
				t.Errorf("%d members, %.20s: does not come back: %v", n, raw, err)
			}
		}
	}
}

// refusedAlert is a row that cannot be kept as sent, and the place of the error.
type refusedAlert struct {
	promise, raw string
	want         error
	at           int
}

func refusedAlerts() []refusedAlert {
	return []refusedAlert{
		{"nothing", "", ErrNotObject, 0},
		{"white space", "  ", ErrNotObject, 2},
		{"an array", " [{}]", ErrNotObject, 1},
		{"a string", `"{}"`, ErrNotObject, 0},
		{"HTML", `<html>`, ErrNotObject, 0},
		{"a byte order mark", "\ufeff{}", ErrNotObject, 0},
		{"an open object", `{`, ErrSyntax, 1},
		{"a cut object", `{"a":1`, ErrSyntax, 6},
		{"a cut string", `{"a":"b`, ErrSyntax, 7},
		{"a cut escape", `{"a":"\`, ErrSyntax, 7},
		{"a cut unicode escape", `{"a":"\u00`, ErrSyntax, 6},
		{"a cut literal", `{"a":nul`, ErrSyntax, 5},
		{"a wrong literal", `{"a":nulL}`, ErrSyntax, 5},
		{"a wrong false", `{"a":falsy}`, ErrSyntax, 5},
		{"two objects", `{}{}`, ErrSyntax, 2},
		{"something behind", `{} x`, ErrSyntax, 3},
		{"a comma too many in an object", `{"a":1,}`, ErrSyntax, 7},
		{"a comma too many in an array", `{"a":[1,]}`, ErrSyntax, 8},
		{"a leading comma", `{,"a":1}`, ErrSyntax, 1},
		{"a missing comma", `{"a":1 "b":2}`, ErrSyntax, 7},
		{"a missing colon", `{"a" 1}`, ErrSyntax, 5},
		{"a missing value", `{"a":}`, ErrSyntax, 5},
		{"a key that is no string", `{1:2}`, ErrSyntax, 1},
		{"brackets that do not match", `{"a":[1}`, ErrSyntax, 7},
		{"braces that do not match", `{"a":{"b":1]}`, ErrSyntax, 11},
		{"a control character", "{\"a\":\"x\ny\"}", ErrSyntax, 7},
		{"a NUL byte", "{\"a\":\"\x00\"}", ErrSyntax, 6},
		{"an unknown escape", `{"a":"\x41"}`, ErrSyntax, 6},
		{"a wrong unicode escape", `{"a":"\u00g0"}`, ErrSyntax, 6},
		{"a leading zero", `{"a":01}`, ErrSyntax, 5},
		{"a leading plus", `{"a":+1}`, ErrSyntax, 5},
		{"a bare minus", `{"a":-}`, ErrSyntax, 6},
		{"a bare point", `{"a":1.}`, ErrSyntax, 7},
		{"no digit before the point", `{"a":.5}`, ErrSyntax, 5},
		{"a bare exponent", `{"a":1e+}`, ErrSyntax, 8},
		{"hexadecimal", `{"a":0x1}`, ErrSyntax, 6},
		{"NaN", `{"a":NaN}`, ErrSyntax, 5},
		{"single quotes", `{'a':1}`, ErrSyntax, 1},
		{"a comment", `{/**/}`, ErrSyntax, 1},
		{"white space that JSON does not know", "{\"a\":\v1}", ErrSyntax, 5},
		{"a number beyond the doubles", `{"a":1e400}`, ErrNumber, 5},
		{"an integer beyond the doubles", `{"a":-1` + strings.Repeat("0", 400) + `}`, ErrNumber, 5},
		{"Latin-1", "{\"a\":\"M\xfcller\"}", ErrUTF8, 7},
		{"a cut sequence", "{\"a\":\"\xe4\xb8\"}", ErrUTF8, 6},
		{"an encoded surrogate", "{\"a\":\"\xed\xa0\xbd\"}", ErrUTF8, 6},
		{"an overlong slash", "{\"a\":\"\xc0\xaf\"}", ErrUTF8, 6},
		{"a key that is not UTF-8", "{\"a\xff\":1}", ErrUTF8, 3},
		{"32 levels", deep(MaxDepth + 1), ErrTooDeep, 5 + MaxDepth - 1},
		{"a million levels", strings.Repeat(`{"a":`, 1e6), ErrTooDeep, 5 * MaxDepth},
	}
}

// deep returns an object with arrays in it, n levels in all.
func deep(n int) string {
	return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`
}

func TestAlertRefusesWhatItCannotKeep(t *testing.T) {
	for _, raw := range []string{deep(MaxDepth), strings.Replace(deep(MaxDepth), "[]", `[1,"x"]`, 1)} {
		if got, err := recordOf(t, raw); err != nil || got != raw {
			t.Errorf("%d levels: %s, %v", MaxDepth, got, err)
		}
	}

	for _, c := range refusedAlerts() {
		got, err := recordOf(t, c.raw)
		if !errors.Is(err, c.want) || !strings.HasSuffix(err.Error(), fmt.Sprintf(" at byte %d", c.at)) {
			t.Errorf("%s: %.60q became %.60s, %v; want %v at byte %d", c.promise, c.raw, got, err, c.want, c.at)
		}
	}
}

func TestOutputGrowsOnlyAsFarAsItMust(t *testing.T) {
	// Inputs that become longer in msgpack than in JSON, in a buffer without room to
	// spare.
	for _, unit := range []string{
		`"` + strings.Repeat("x", 65_536) + `",`, `1.5,`, `[0],`, `[[[[[0]]]]],`, `[1e1],`, `{"":0.5},`,
		`[],`, `{},`, `100000,`, `-129,`, `"",`,
	} {
		raw := `{"a":[` + strings.TrimSuffix(strings.Repeat(unit, 20_000_000/(len(unit)+1_000)), ",") + `]}`

		var tc transcoder
		if _, _, err := tc.object(make([]byte, 0, roomFor([]byte(raw))), []byte(raw)); err != nil {
			t.Errorf("%.20s repeated: %v", unit, err)
		}
	}
}

func TestAlertDoesNotAllocate(t *testing.T) {
	e := newEncoder(t, Options{TenantID: "t", API: "graph"})
	dst := make([]byte, 0, 1<<20)

	for api := range corpusOf {
		some := corpus(api, 50)
		if n := testing.AllocsPerRun(10, func() {
			for _, a := range some {
				_, err := e.Alert(dst, alert.Version{
					Time: 1,
					ID:   alert.MakeID("t", alert.API(api), a[:40], a[40:60]),
				}, a)
				if err != nil {
					t.Fatal(err)
				}
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations for 50 alerts", api, n)
		}
	}
}

// FuzzAlert: the transcoder returns what encoding/json's reading returns in the plainest
// encoding, and refuses what encoding/json refuses; beyond that only what the package
// comment lists.
func FuzzAlert(f *testing.F) {
	for api := range corpusOf {
		f.Add(corpus(api, 1)[0])
	}

	for _, s := range []string{`{"a":[1,-2,3.5e-7,true,null,{"b":"\ud83d\ude00\\\n"}],"mssp":18446744073709551615}`,
		"{\"a\":\"\xff\"}", `{"a":1e999}`, `{"a":-0,"a":01}`} {
		f.Add([]byte(s))
	}

	samples, _ := filepath.Glob("../../../shared/samples/*/*.json")
	for _, name := range samples {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}

		f.Add(b)
	}

	var tc transcoder

	f.Fuzz(func(t *testing.T, raw []byte) {
		exact := make([]byte, 0, roomFor(raw)) // no room to spare, so that a missing check of it shows
		got, n, err := tc.object(exact, raw)
		v, bad := readOrdered(raw)
		o, isObject := v.(object)

		want, tooBig := appendReference(nil, v, true)
		if bad != nil || !isObject || tooBig != nil || !utf8.Valid(raw) || depth(v) > MaxDepth {
			if err == nil {
				t.Fatalf("%q is accepted", raw)
			}

			return
		}

		if err != nil {
			t.Fatalf("%q is refused: %v", raw, err)
		}

		if n != len(o) || !bytes.Equal(got, want) {
			t.Fatalf("%q becomes %d members\n%x; want %d\n%x", raw, n, got, len(o), want)
		}
	})
}

func depth(v any) int {
	deepest := 0

	switch v := v.(type) {
	case []any:
		for _, x := range v {
			deepest = max(deepest, depth(x))
		}
	case object:
		for _, m := range v {
			deepest = max(deepest, depth(m.value))
		}
	default:
		return 0
	}

	return deepest + 1
}

// longNames puts keys into an object that are mssp and up to n underscores.
func longNames(object string, n int) string {
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf(`"mssp%s":%d`, strings.Repeat("_", i+1), i))
	}

	return fmt.Sprintf(object, strings.Join(keys, ","))
}
