package plain

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text keeps the printable characters of s and writes the others as escapes, so that the
// result is one line free of what a terminal would obey: control characters, those of C1
// too, and marks that turn the order of writing around. After most characters it is cut.
func Text(s string, most int) string {
	var b strings.Builder

	n := 0
	for i := 0; i < len(s); n++ {
		if n == most {
			b.WriteString("…")
			break
		}

		i += put(&b, s[i:])
	}

	return b.String()
}

// put writes the first character of s, as an escape unless it is printable, and returns
// its length. Escapes are those of JSON, so that a record stays what it is; only a byte
// that is no text has one of its own.
func put(b *strings.Builder, s string) int {
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && size == 1:
		fmt.Fprintf(b, `\x%02x`, s[0])
	case unicode.IsPrint(r):
		b.WriteRune(r)
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		fmt.Fprintf(b, `\u%04x\u%04x`, high, low)
	default:
		fmt.Fprintf(b, `\u%04x`, r)
	}

	return size
}

// Quoted is Text of a value, cut to 64 characters, in quotation marks.
func Quoted(s string) string { return `"` + Text(s, 64) + `"` }

// Line makes a sentence that holds foreign text fit for one line of a log: line breaks
// become blanks; what a terminal would obey, what is invisible (it could turn the order
// around) and what is no text go; it ends at most bytes. Unlike Text it writes no
// escapes.
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

// A Screen writes lines to a terminal: everything but line breaks and tabs goes through
// Text, so that no text of a server or file is obeyed by the terminal. It is for what
// people look at; programs get the bytes as they are. It is safe for concurrent use.
type Screen struct {
	mu sync.Mutex
	w  io.Writer
	// begun is the beginning of a character of which the rest is not there yet.
	begun []byte
}

// NewScreen returns a Screen that writes to w.
func NewScreen(w io.Writer) *Screen { return &Screen{w: w} }

// Write implements io.Writer.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	text := string(append(s.begun, p...))
	s.begun = nil

	var b strings.Builder

	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\n' || c == '\t':
			b.WriteByte(c)

			i++
		case c >= utf8.RuneSelf && !utf8.FullRuneInString(text[i:]):
			s.begun = []byte(text[i:])
			i = len(text)
		default:
			i += put(&b, text[i:])
		}
	}

	if _, err := s.w.Write([]byte(b.String())); err != nil {
		return 0, err
	}

	return len(p), nil
}
