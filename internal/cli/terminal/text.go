package terminal

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How wide texts for people are, in columns.
const (
	PageColumns  = 100 // at most, and where the width of the terminal is not known
	LeastColumns = 40  // what every terminal is taken to have
)

// command is a command with flags in a message: broken into lines it could not be copied.
var command = regexp.MustCompile(
	`defenderctl(?: [a-z][a-z-]*){1,2}(?: ` + argument + `)?(?: --[a-z-]+(?: ` + argument + `)?)+` +
		`|ch(?:mod|own)(?: -R)? \S+ ` + argument +
		`|pg_(?:dump|restore)(?: --?[A-Za-z]\S*| ` + argument + `)+`,
)

// argument is a word as a shell takes it.
const argument = `(?:'[^']*'|\\'|[^\s;()'-][^\s;()']*)+`

// fixed stands for a blank at which a line must not be broken.
const fixed = "\x00"

// Wrap breaks text into lines of at most columns columns. All but the first begin with
// indent. Addresses, and commands that a person may copy, are not broken.
func Wrap(text, indent string, columns int) string {
	text = command.ReplaceAllStringFunc(text, func(s string) string { return strings.ReplaceAll(s, " ", fixed) })
	return strings.ReplaceAll(fold(text, indent, columns), fixed, " ")
}

func fold(text, indent string, columns int) string {
	var b strings.Builder

	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteString("\n")
		}

		at := 0

		for j, word := range strings.Split(line, " ") {
			n := Width(word)
			switch {
			case j > 0 && at+1+n > columns && at > len(indent):
				b.WriteString("\n" + indent)
				at = len(indent)
			case j > 0:
				b.WriteString(" ")

				at++
			}

			b.WriteString(word)

			at += n
		}
	}

	return b.String()
}

// Width returns how many columns a text takes in a terminal: two for the wide
// characters of East Asia, and for emoji.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n++

		if unicode.Is(wide, r) {
			n++
		}
	}

	return n
}

// wide are the characters that take two columns in a terminal.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1}, // Hangul
		{Lo: 0x2e80, Hi: 0xa4cf, Stride: 1}, // Chinese, Japanese, Yi
		{Lo: 0xac00, Hi: 0xd7a3, Stride: 1}, // Hangul syllables
		{Lo: 0xf900, Hi: 0xfaff, Stride: 1},
		{Lo: 0xfe30, Hi: 0xfe6f, Stride: 1},
		{Lo: 0xff00, Hi: 0xff60, Stride: 1}, // full-width forms
		{Lo: 0xffe0, Hi: 0xffe6, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x1f300, Hi: 0x1faff, Stride: 1}, // emoji
		{Lo: 0x20000, Hi: unicode.MaxRune, Stride: 1},
	},
}

// Cut shortens a text to n columns.
func Cut(s string, n int) string {
	if Width(s) <= n {
		return s
	}

	return head(s, n-1) + "…"
}

// head returns the beginning of a text that fits n columns.
func head(s string, n int) string {
	for s != "" && Width(s) > n {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}

	return s
}

// cutMiddle shortens a text to n columns so that both ends stay: names differ at either.
func cutMiddle(s string, n int) string {
	if Width(s) <= n {
		return s
	}

	begin := head(s, n/2)

	rest := s[len(begin):]
	for rest != "" && Width(rest) > n-1-Width(begin) {
		_, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
	}

	return begin + "…" + rest
}
