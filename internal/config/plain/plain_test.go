package plain

import (
	"strings"
	"testing"
)

func TestNothingLeavesItsLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain":      "plain",
		"grüße":      "grüße",
		"a\nb":       `a\nb`,
		"\x1b[31m":   `\u001b[31m`,
		"\xff":       `\xff`,
		"\u202e":     `\u202e`,
		"0123456789": "01234567…",
		"\u2028":     `\u2028`,
	} {
		if got := Text(in, 8); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}

	if Quoted("x") != `"x"` {
		t.Error("not quoted")
	}
}

func TestALineStaysOneAndInOrder(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                 "plain",
		"grüße":                 "grüße",
		"a\r\nb\tc":             "a  b c",
		"\x1b[31mred\u009b0m":   "[31mred0m",
		"\xff":                  "",
		"moc\u202eelpmaxe":      "mocelpmaxe",
		"a\u2028b\u0085c\u200b": "a b c",
		"0123456789abcdefgh":    "0123456789abc…",
		"0123456789abüüüü":      "0123456789ab…",
	} {
		if got := Line(in, 16); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestATerminalObeysNoTextThatIsShown(t *testing.T) {
	for in, want := range map[string]string{
		"a\n\tb\n":               "a\n\tb\n",
		"\x1b]0;title\x07":       `\u001b]0;title\u0007`,
		"\u009b31m":              `\u009b31m`,
		"\x9b31m":                `\x9b31m`,
		"a\rb\x7f":               `a\rb\u007f`,
		"moc\u202eelpmaxe\u2066": `moc\u202eelpmaxe\u2066`,
		"zero\u200bwidth\u200e":  `zero\u200bwidth\u200e`,
		"tag\U000e0041":          `tag\udb40\udc41`,
		"grüße 株式会社 🙂 ‘quoted’ – ok": "grüße 株式会社 🙂 ‘quoted’ – ok",
	} {
		for _, size := range []int{1, 3, 100} { // characters come in pieces
			var b strings.Builder

			s := NewScreen(&b)
			for rest := in; rest != ""; rest = rest[min(size, len(rest)):] {
				if n, err := s.Write([]byte(rest[:min(size, len(rest))])); err != nil || n != min(size, len(rest)) {
					t.Fatal(n, err)
				}
			}

			if b.String() != want {
				t.Errorf("%q in pieces of %d became %q", in, size, b.String())
			}
		}
	}
}

func TestAWordIsReadByAShellAsItIs(t *testing.T) {
	for in, want := range map[string]string{
		"/etc/fluent-bit/x.conf": "/etc/fluent-bit/x.conf",
		"":                       "''",
		"a b":                    "'a b'",
		"it's":                   `'it'\''s'`,
		"$(id)":                  "'$(id)'",
		"~":                      "'~'",
		"ü":                      "'ü'",
	} {
		if got := Shell(in); got != want {
			t.Errorf("%q became %s", in, got)
		}
	}
}
