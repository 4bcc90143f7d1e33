package plain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text keeps the printable characters of s and writes the others as escapes, so that the result is one line free of what a
// terminal would obey; after most characters it is cut.
func Text(s string, most int) string {
	var b strings.Builder
	n := 0
	for i := 0; i < len(s); n++ {
		if n == most {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := fmt.Sprintf("%+q", r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += size
	}
	return b.String()
}

// Quoted is Text of a value, cut to 64 characters, in quotation marks.
func Quoted(s string) string { return `"` + Text(s, 64) + `"` }

// Line makes a sentence that holds foreign text fit for one line of a log: line breaks become blanks; what a terminal
// would obey, what is invisible (it could turn the order around) and what is no text go; it ends at most bytes. Unlike Text it writes no escapes.
func Line(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return -1
		case unicode.IsGraphic(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return -1
	}, s)
	if len(s) <= most {
		return s
	}
	cut := max(most-len("…"), 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
