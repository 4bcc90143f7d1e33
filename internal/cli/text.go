package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fluent-bit-defender/internal/config/plain"
)

// columns is how wide messages are at most; addresses and commands are not broken. A
// terminal is taken to have leastColumns at least.
const (
	columns      = 100
	leastColumns = 40
)

// command is a command with flags in a message: broken into lines it could not be copied.
var command = regexp.MustCompile(
	`defenderctl(?: [a-z][a-z-]*){1,2}(?: ` + argument + `)?(?: --[a-z-]+(?: ` + argument + `)?)+` +
		`|ch(?:mod|own)(?: -R)? \S+ ` + argument,
)

// argument is a word as a shell takes it.
const argument = `(?:'[^']*'|\\'|[^\s;()'-][^\s;()']*)+`

// fixed stands for a blank at which a line must not be broken.
const fixed = "\x00"

// wrap breaks text into lines of at most columns characters; all but the first begin with
// indent.
func wrap(text, indent string) string { return wrapTo(text, indent, columns) }

// below prints a line below a table, about what stands there under the name. text may
// hold what a service said.
func (c *cli) below(name, text string) {
	fmt.Fprintln(c.Out, c.wrap(name+": "+plain.Text(text, 4000), "    "))
}

func wrapTo(text, indent string, columns int) string {
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
			n := width(word)
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

// width returns how many columns a text takes in a terminal: two for the wide
// characters of East Asia, and for emoji.
func width(s string) int {
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

// cut shortens a text to n columns.
func cut(s string, n int) string {
	if width(s) <= n {
		return s
	}

	return head(s, n-1) + "…"
}

// head returns the beginning of a text that fits n columns.
func head(s string, n int) string {
	for s != "" && width(s) > n {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}

	return s
}

// cutMiddle shortens a text to n columns so that both ends stay: names differ at either.
func cutMiddle(s string, n int) string {
	if width(s) <= n {
		return s
	}

	begin := head(s, n/2)

	rest := s[len(begin):]
	for rest != "" && width(rest) > n-1-width(begin) {
		_, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
	}

	return begin + "…" + rest
}

// Distances of a table.
const (
	gap   = 2 // blanks between columns
	least = 8 // columns that are left of what is shortened
)

// table prints rows under a header. On a terminal that is too narrow, what the columns
// named by shrink hold is shortened, the first of them first; elsewhere nothing is.
func table(w io.Writer, header []string, rows [][]string, shrink ...int) {
	paintedTable(w, header, rows, nil, shrink...)
}

// paintedTable is table with cells that paint, if it is not nil, puts into colour.
func paintedTable(
	w io.Writer,
	header []string,
	rows [][]string,
	paint func(column int, cell string) string,
	shrink ...int,
) {
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = width(h)
	}

	for _, row := range rows {
		for i := range row {
			row[i] = plain.Text(row[i], 400)
			if row[i] == "" {
				row[i] = "-"
			}

			widths[i] = max(widths[i], width(row[i]))
		}
	}

	if columns := tableColumns(w); columns > 0 {
		narrow(widths, header, columns, shrink)
	}

	printRow(w, header, widths, nil)

	for _, row := range rows {
		printRow(w, row, widths, paint)
	}
}

// without leaves out columns, the first named ones first, until the table fits the
// terminal.
func without(w io.Writer, header []string, rows [][]string, columns ...string) ([]string, [][]string) {
	most := tableColumns(w)

	for _, name := range columns {
		i := slices.Index(header, name)
		if most == 0 || tableWidth(header, rows) <= most {
			break
		}

		if i < 0 {
			continue
		}

		header = slices.Delete(slices.Clone(header), i, i+1)
		for n, row := range rows {
			rows[n] = slices.Delete(row, i, i+1)
		}
	}

	return header, rows
}

// tableWidth returns how wide a table is.
func tableWidth(header []string, rows [][]string) int {
	total := gap * (len(header) - 1)
	for i, h := range header {
		widest := width(h)
		for _, row := range rows {
			widest = max(widest, width(plain.Text(row[i], 400)))
		}

		total += widest
	}

	return total
}

// narrow takes from the widths of the columns named by shrink what does not fit.
func narrow(widths []int, header []string, columns int, shrink []int) {
	over := gap*(len(widths)-1) - columns
	for _, n := range widths {
		over += n
	}

	for _, i := range shrink {
		if over <= 0 {
			return
		}

		room := max(min(over, widths[i]-max(least, width(header[i]))), 0)
		widths[i] -= room
		over -= room
	}
}

func printRow(w io.Writer, row []string, widths []int, paint func(column int, cell string) string) {
	var b strings.Builder

	for i, cell := range row {
		cell = cutMiddle(cell, widths[i])

		fill := 0
		if i < len(row)-1 {
			fill = widths[i] - width(cell) + gap
		}

		if paint != nil {
			cell = paint(i, cell)
		}

		b.WriteString(cell + strings.Repeat(" ", fill))
	}

	fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
}

// printJSON prints v for programs.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")

	return e.Encode(v)
}

// age says how long ago a time is, in one unit.
func age(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}

	return span(now.Sub(t))
}

// span returns a duration in one unit.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d/time.Second))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d/time.Hour))
	}

	return fmt.Sprintf("%dd", int(d/(24*time.Hour)))
}

func date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}

	return t.UTC().Format(time.DateOnly)
}
