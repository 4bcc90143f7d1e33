package metrics

import (
	"io"
	"strconv"
	"strings"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config/plain"
)

// markup writes HTML. Only constant text goes through raw; everything else goes through
// text, which escapes it.
type markup struct {
	to  io.Writer
	err error // the first one
}

// raw writes markup that is part of the program.
func (m *markup) raw(parts ...string) {
	for _, part := range parts {
		if m.err == nil {
			_, m.err = io.WriteString(m.to, part)
		}
	}
}

var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")

// maxText is how many characters of a text are shown.
const maxText = 2000

// text writes text of any origin, in an element or between quotation marks.
func (m *markup) text(s string) { m.raw(escapes.Replace(plain.Text(s, maxText))) }

// number writes a number with separators: 12,345.
func (m *markup) number(n uint64) { m.raw(grouped(n)) }

// grouped returns a number with separators.
func grouped(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}

	return digits
}

// moment begins an element for a time, which the caller ends.
func (m *markup) moment(t time.Time) {
	m.raw(`<time datetime="`, t.UTC().Format(time.RFC3339), `" title="`, t.UTC().Format("2006-01-02 15:04:05"),
		` UTC">`)
}

// ago writes how long ago something happened.
func (m *markup) ago(t, now time.Time) {
	if t.IsZero() {
		m.raw(`never`)
		return
	}

	m.moment(t)
	m.raw(span(now.Sub(t)), ` ago</time>`)
}

// since writes how long something has lasted that began at t.
func (m *markup) since(t, now time.Time) {
	if t.IsZero() {
		return
	}

	m.raw(`for `)
	m.moment(t)
	m.raw(span(now.Sub(t)), `</time>`)
}

// span returns a duration in its largest unit: "42 s", "5 min", "3 h", "12 d".
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}

	return strconv.Itoa(int(d.Hours()/24)) + " d"
}

// plural returns one of two words.
func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}

	return many
}

// reasonTitles are the titles of reasons that are not simply their name as words.
var reasonTitles = map[advice.Reason]string{
	advice.GDAPEnded:   "GDAP ended",
	advice.MFARequired: "MFA required",
	advice.ChainDead:   "Provider's sign-in ended",
	advice.TokenDead:   "Sign-in ended",
	advice.NotLicensed: "No licence",
	advice.BadAnswer:   "Unusable answer",
	advice.Store:       "Store",
	advice.Blocked:     "Fluent Bit takes nothing",
	advice.Budget:      "Call budget used up",
	advice.Internal:    "Fault of the plugin",
}

// reasonTitle returns the title of a reason on the page.
func reasonTitle(r advice.Reason) string {
	if title := reasonTitles[r]; title != "" || r == "" {
		return title
	}

	words := strings.ReplaceAll(string(r), "_", " ")

	return strings.ToUpper(words[:1]) + words[1:]
}
