package msgpack

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// text transcodes a JSON string as the transcoder does, and returns the text in the str
// that it wrote.
func text(t *testing.T, quoted string) (string, error) {
	t.Helper()

	b := make([]byte, len(quoted)+Slack)

	o, i := Text(b, 0, []byte(quoted), 1)
	if o < 0 {
		return "", Failure(o, i)
	}

	if i != len(quoted) {
		t.Errorf("%.60q: it ends at %d of %d", quoted, i, len(quoted))
	}

	return content(t, b[:o]), nil
}

// content returns the text of a str, whose header must be the shortest.
func content(t *testing.T, b []byte) string {
	t.Helper()

	head, n := 1, int(b[0]&0x1f)

	switch b[0] {
	case Str8:
		head, n = 2, int(b[1])
	case Str16:
		head, n = 3, int(binary.BigEndian.Uint16(b[1:]))
	case Str32:
		head, n = 5, int(binary.BigEndian.Uint32(b[1:]))
	}

	if head+n != len(b) || !bytes.Equal(AppendStrHeader(nil, n), b[:head]) {
		t.Errorf("a str of %d bytes in %d begins with % x", n, len(b), b[:head])
	}

	return string(b[head:])
}

func TestTextsOfAllLengthsAndKindsAreWhole(t *testing.T) {
	lengths := []int{0, 1, 7, 8, 9, 31, 32, 33, 47, 48, 49, 255, 256, 257, 65535, 65536, 65537}

	for _, n := range lengths {
		plain := strings.Repeat("x", n)
		for quoted, want := range map[string]string{
			`"` + plain + `"`:             plain,
			`"` + plain + `\n"`:           plain + "\n",
			`"\\` + plain + `"`:           `\` + plain,
			`"` + plain + `é"`:            plain + "é",
			`"` + plain + `\u00e9"`:       plain + "é",
			`"` + plain + `\ud83d\ude00"`: plain + "😀",
			`"` + plain + `\ud83d"`:       plain + "\ufffd",
			`"` + plain + `\ud83d\u0041"`: plain + "\ufffdA",
		} {
			if got, err := text(t, quoted); got != want || err != nil {
				t.Errorf("%d bytes, %.20q: %.20q, %v", n, quoted, got, err)
			}
		}
	}
}

func TestABrokenTextFailsWhereItBreaks(t *testing.T) {
	cases := map[string]error{
		"":               ErrSyntax,
		"x":              ErrSyntax,
		`\`:              ErrSyntax,
		`\x"`:            ErrSyntax,
		`\u12"`:          ErrSyntax,
		"\n\"":           ErrSyntax,
		"\x00\"":         ErrSyntax,
		"\xff\"":         ErrUTF8,
		"\xc3\"":         ErrUTF8,
		"\xed\xa0\x80\"": ErrUTF8, // a surrogate
	}

	for _, lead := range []string{"", strings.Repeat("x", 40)} {
		for tail, want := range cases {
			if _, err := text(t, `"`+lead+tail); !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", lead+tail, err, want)
			}
		}
	}
}

func TestANumberStaysExactInItsShortestForm(t *testing.T) {
	for in, want := range map[string]string{
		"0":                     "\x00",
		"-0":                    "\x00",
		"127":                   "\x7f",
		"128":                   "\xcc\x80",
		"255":                   "\xcc\xff",
		"256":                   "\xcd\x01\x00",
		"65536":                 "\xce\x00\x01\x00\x00",
		"4294967296":            "\xcf\x00\x00\x00\x01\x00\x00\x00\x00",
		"18446744073709551615":  "\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
		"-1":                    "\xff",
		"-32":                   "\xe0",
		"-33":                   "\xd0\xdf",
		"-129":                  "\xd1\xff\x7f",
		"-32769":                "\xd2\xff\xff\x7f\xff",
		"-2147483649":           "\xd3\xff\xff\xff\xff\x7f\xff\xff\xff",
		"-9223372036854775808":  "\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
		"1.5":                   "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00",
		"1e2":                   "\xcb\x40\x59\x00\x00\x00\x00\x00\x00",
		"18446744073709551616":  "\xcb\x43\xf0\x00\x00\x00\x00\x00\x00",
		"-9223372036854775809":  "\xcb\xc3\xe0\x00\x00\x00\x00\x00\x00",
		"100000000000000000000": "\xcb\x44\x15\xaf\x1d\x78\xb5\x8c\x40",
	} {
		var b [Slack]byte
		if o, i := Number(b[:], 0, []byte(in+","), 0); o < 0 || i != len(in) || string(b[:max(o, 0)]) != want {
			t.Errorf("%s: % x, ends at %d", in, b[:max(o, 0)], i)
		}
	}

	for in, want := range map[string]error{
		"-":     ErrSyntax,
		"01":    ErrSyntax,
		"-01":   ErrSyntax,
		"1.":    ErrSyntax,
		"1.e1":  ErrSyntax,
		"1e":    ErrSyntax,
		"1e+":   ErrSyntax,
		"-x":    ErrSyntax,
		"1e999": ErrNumber,
	} {
		var b [Slack]byte
		if o, i := Number(b[:], 0, []byte(in+","), 0); o >= 0 || !errors.Is(Failure(o, i), want) {
			t.Errorf("%s: %d, want %v", in, o, want)
		}
	}
}

func TestAnIntegerIsAppendedAsItIsTranscoded(t *testing.T) {
	for _, v := range []int64{
		0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxInt64, -1, -32, -33, -128, -129, math.MinInt64,
	} {
		var b [Slack]byte

		o, _ := Number(b[:], 0, []byte(strconv.FormatInt(v, 10)+","), 0)
		if got := AppendInt([]byte{7}, v); !bytes.Equal(got[1:], b[:o]) || got[0] != 7 {
			t.Errorf("%d: % x, want % x", v, got[1:], b[:o])
		}
	}
}

func TestAHeaderWidensForManyMembers(t *testing.T) {
	for n, want := range map[int]string{
		0:         "\xde\x00\x00content",
		1<<16 - 1: "\xde\xff\xffcontent",
		1 << 16:   "\xdf\x00\x01\x00\x00content",
	} {
		b := append([]byte("before\xde??content"), make([]byte, Slack)...)

		end := PutSize(b, len("before"), len("before\xde??content"), n)
		if got := string(b[:end]); got != "before"+want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestAnErrorNamesTheOffsetAndNothingOfTheRow(t *testing.T) {
	err := Failure(TooDeep, 17)
	if !errors.Is(err, ErrTooDeep) || !strings.HasSuffix(err.Error(), " at byte 17") {
		t.Errorf("%v", err)
	}
}

// FuzzText holds Text against encoding/json, which replaces bytes that are not UTF-8
// instead of refusing them.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		`plain`, `a\"b\\c\/d\b\f\n\r\t`, `\u0041\ud83d\ude00\ud83d`, "é\xff", "\x01", strings.Repeat("x", 300),
	} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, s string) {
		var want string

		quoted := `"` + s + `"`
		valid := json.Unmarshal([]byte(quoted), &want) == nil

		b := make([]byte, len(quoted)+Slack)

		o, i := Text(b, 0, []byte(quoted), 1)
		if i < len(quoted) && o >= 0 {
			return // a quote within s ends the string
		}

		if valid && utf8.ValidString(s) != (o >= 0) || !valid && o >= 0 {
			t.Fatalf("%q: %d at %d; valid JSON: %v", quoted, o, i, valid)
		}

		if o >= 0 {
			if got := content(t, b[:o]); got != want {
				t.Errorf("%q: %q, want %q", quoted, got, want)
			}
		}
	})
}

// FuzzNumber holds Number against encoding/json and strconv.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{
		"0", "-1", "1.25", "1e5", "-0.0", "12345678901234567890", "1e400", "01", "0.1234567890123456789",
	} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, s string) {
		if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
			return
		}

		b := make([]byte, len(s)+Slack)

		o, i := Number(b, 0, []byte(s), 0)
		if o < 0 {
			if errors.Is(Failure(o, i), ErrSyntax) && json.Valid([]byte(s)) {
				t.Errorf("%q is refused at %d", s, i)
			}

			return
		}

		if !json.Valid([]byte(s[:i])) {
			t.Fatalf("%q is taken for a number", s[:i])
		}

		if b[0] != Float64 {
			return
		}

		want, err := strconv.ParseFloat(s[:i], 64)
		if got := math.Float64frombits(binary.BigEndian.Uint64(b[1:])); err != nil || got != want {
			t.Errorf("%q: %v, want %v (%v)", s[:i], got, want, err)
		}
	})
}
