package jsontext

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestWhiteSpaceIsSkippedFromAnyOffset(t *testing.T) {
	for _, spaces := range []int{0, 1, 7, 8, 9, 17, 40} {
		for _, kind := range []string{" ", "\n", "\r", "\t", "\n ", "\r\n\t "} {
			blank := strings.Repeat(kind, spaces)
			for _, end := range []string{"", "x", "\v", "\u00a0", "\x00"} {
				b := []byte("{" + blank + end)
				if got, fast := SkipSpace(b, 1), SkipIndent(b, 1); got != 1+len(blank) || fast != got {
					t.Errorf("%q: got %d, %d", b, got, fast)
				}
			}
		}
	}

	if got, fast := SkipSpace([]byte(" "), 2), SkipIndent([]byte(" "), 2); got != 2 || fast != 2 {
		t.Errorf("behind the end: got %d, %d", got, fast)
	}
}

func TestAByteIsWhatTheStandardSaysItIs(t *testing.T) {
	for i := range 256 {
		c := byte(i)
		if got, want := IsSpace(c), strings.IndexByte(" \n\r\t", c) >= 0; got != want {
			t.Errorf("%q: white space %v", c, got)
		}

		if got, want := EndsScalar(c), strings.IndexByte(",]} \n\r\t", c) >= 0; got != want {
			t.Errorf("%q: ends a number %v", c, got)
		}

		digit := -1
		if strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 {
			_, _ = fmt.Sscanf(string(c), "%x", &digit)
		}

		if got := Hex(c); got != digit {
			t.Errorf("%q: hex digit %d, want %d", c, got, digit)
		}

		var text string

		valid := json.Unmarshal([]byte{'"', '\\', c, '"'}, &text) == nil
		if got := Unescaped[c]; (got != 0) != valid || valid && text != string(got) {
			t.Errorf("the escape of %q stands for %q, want %q", c, got, text)
		}
	}
}

func TestLiteralsAreFoundWholeOnly(t *testing.T) {
	for word, is := range map[string]func([]byte, int) bool{"null": IsNull, "true": IsTrue, "false": IsFalse} {
		if !is([]byte("["+word), 1) || !is([]byte(word+",x"), 0) {
			t.Errorf("%s is not found", word)
		}

		for cut := 1; cut < len(word); cut++ {
			changed := []byte(word)

			changed[cut]++
			if is([]byte(word[:cut]), 0) || is(changed, 0) {
				t.Errorf("%s: %q or %q is taken for it", word, word[:cut], changed)
			}
		}
	}
}

func TestAnEscapedUnitHasFourDigits(t *testing.T) {
	for in, want := range map[string]rune{
		`\u002B`:  '+',
		`\u00e9x`: 'é',
		`\uD83D`:  0xd83d,
		`\uFfFf`:  0xffff,
		`\u002`:   -1,
		`\u00g0`:  -1,
		`\U0041`:  -1,
		`u00410`:  -1,
		``:        -1,
	} {
		if got := EscapedUnit([]byte(in)); got != want {
			t.Errorf("%s: got %x, want %x", in, got, want)
		}
	}
}

// FuzzWords holds the first byte that each function marks against a search byte by byte.
func FuzzWords(f *testing.F) {
	f.Add([]byte(`plain "text\`))
	f.Add([]byte("\x80\x81\"\x1f\x20\x21\\\xff"))
	f.Add([]byte("!!!!!!!!\x7f\x00\x01\"#[]^"))

	marks := map[string]struct {
		mark func(uint64) uint64
		is   func(byte) bool
	}{
		"Special": {Special, func(c byte) bool { return c < ' ' || c == '"' || c == '\\' }},
		"SpecialOrForeign": {SpecialOrForeign,
			func(c byte) bool { return c < ' ' || c == '"' || c == '\\' || c >= 0x80 }},
		"QuoteOrBackslash": {QuoteOrBackslash, func(c byte) bool { return c == '"' || c == '\\' }},
		"Backslash":        {Backslash, func(c byte) bool { return c == '\\' }},
	}

	f.Fuzz(func(t *testing.T, b []byte) {
		for ; len(b) >= 8; b = b[1:] {
			for name, m := range marks {
				want := slices.IndexFunc(b[:8], m.is)

				got := -1
				if found := m.mark(binary.LittleEndian.Uint64(b)); found != 0 {
					got = bits.TrailingZeros64(found) / 8
				}

				if got != want {
					t.Errorf("%s of %q: got %d, want %d", name, b[:8], got, want)
				}
			}
		}
	})
}

func TestTheScannersGetTheFactsInline(t *testing.T) {
	// The other flags are those of the Makefile: what the package needs is in Go's build
	// cache with them.
	build := []string{
		"build", "-trimpath", "-tags=netgo,osusergo", "-buildmode=pie", "-gcflags=all=-dwarf=false", "-gcflags=-m", ".",
	}

	out, err := exec.Command("go", build...).CombinedOutput()
	if err != nil {
		t.Skipf("no compiler: %v", err)
	}

	for _, name := range []string{
		"IsSpace", "SkipSpace", "SkipIndent", "EndsScalar", "IsNull", "IsTrue", "IsFalse", "Hex",
		"Special", "SpecialOrForeign", "QuoteOrBackslash", "Backslash",
	} {
		if !strings.Contains(string(out), "can inline "+name) {
			t.Errorf("%s is not inlined any more, which makes the scanners slower", name)
		}
	}
}
