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

// Text returns s with all characters that are not printable written as escapes. The
// result is one line that cannot control a terminal: it has no control characters, C1
// included, and no marks that change the direction of writing. It is cut after most
// characters.
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
// its length. The escapes are those of JSON, so that the meaning of a record stays the
// same; only a byte that is no text has another one (\x).
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

// Line returns a sentence that may hold foreign text as one line for a log. Line breaks
// become blanks. Characters that are invisible or control a terminal are removed, and
// so is what is no text. The result has at most most bytes. Unlike Text it has no
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

// Screen writes to a terminal. It writes everything except line breaks and tabs as Text
// does, so that no text of a server or file can control the terminal. It is for output
// that people read; programs get the bytes as they are. It is safe for concurrent use.
type Screen struct {
	mu sync.Mutex
	w  io.Writer
	// begun is the beginning of a character whose rest was not written yet.
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
