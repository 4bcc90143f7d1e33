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
