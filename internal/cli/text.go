package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"fluent-bit-defender/internal/config/plain"
)

// below prints a line below a table, about what stands there under the name. text may
// hold what a service said.
func (c *cli) below(name, text string) {
	fmt.Fprintln(c.Out, c.wrap(name+": "+plain.Text(text, 4000), "    "))
}

// printJSON prints v for programs.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")

	return e.Encode(v)
}

// counted returns "1 thing", "2 things" and so on.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}

	return fmt.Sprintf("%d %ss", n, thing)
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

// date returns the day of a time, in UTC.
func date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}

	return t.UTC().Format(time.DateOnly)
}
