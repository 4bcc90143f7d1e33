package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
)

// printStatus prints a survey: JSON, or a table with a line for each fault under it, and
// a summary. In a pipe the table always has the same columns.
func (c *cli) printStatus(seen survey, v statusView) error {
	if v.format == outputJSON {
		return printJSON(c.Out, seen.all)
	}

	if len(seen.all) == 0 {
		at, _ := c.at(place{}) // it was read from there
		c.tell("no input has written its status to %s yet", plain.Text(at.Name(), 1024))

		for _, line := range c.notes(seen) {
			c.bare(line + "\n")
		}

		return nil
	}

	if v.watch && c.OutTerminal {
		c.bare(c.screenful(seen, v))
		return nil
	}

	c.bare(c.page(seen, v))

	if seen.hidden > 0 {
		c.tell("%d more have not been polled for a day and are not shown: --all shows them, and defenderctl tenants "+
			"forget NAME removes them", seen.hidden)
	}

	return nil
}

// page returns table, faults and summary.
func (c *cli) page(seen survey, v statusView) string {
	var b bytes.Buffer

	c.statusTable(&b, seen, v)

	for _, line := range c.notes(seen) {
		b.WriteString(line + "\n")
	}

	b.WriteString("\n" + c.wrap(seen.summary(c.Now()), "  ") + "\n")

	return b.String()
}

// screenful returns the page of --watch: the summary first, then what needs attention,
// and no more lines than the terminal has.
func (c *cli) screenful(seen survey, v statusView) string {
	seen.byAttention()

	var b bytes.Buffer
	b.WriteString(c.wrap(c.Now().Format("15:04:05 ")+seen.summary(c.Now()), "  ") + "\n\n")
	c.statusTable(&b, seen, v)

	for _, line := range c.notes(seen) {
		b.WriteString(line + "\n")
	}

	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")

	if most := c.rows() - 1; most > 3 && len(lines) > most {
		more := len(lines) - most + 1
		lines = append(lines[:most-1], fmt.Sprintf("… %d more lines", more))
	}

	// From the top, each line to its end, and nothing below: without a flicker.
	return "\x1b[H" + strings.Join(lines, "\x1b[K\n") + "\x1b[K\n\x1b[J"
}

// rows is how many lines the terminal has; 0 if that is not known.
func (c *cli) rows() int {
	if c.Rows == nil {
		return 0
	}

	return c.Rows()
}

// statusTable writes the table of a survey.
func (c *cli) statusTable(b *bytes.Buffer, seen survey, v statusView) {
	columns := len(statusHeader)
	if v.format != outputWide {
		columns = wideFrom
	}

	var rows [][]string

	for _, r := range seen.all {
		row := c.statusRow(r)[:columns]
		for i := range row {
			row[i] = c.shown(row[i])
		}

		rows = append(rows, row)
	}

	out := &terminal.Output{W: b, Columns: c.out.Columns}
	header, rows := terminal.Without(out, statusHeader[:columns], rows,
		"REPEATS", "ERRORS", "ALERT", "POLLS", "INTERVAL", "LOGIN_HOST", "CLIENT_ID",
		"LEASE_AGE", "TOKEN_ENDS", "DEFERRED", "LAG")
	terminal.PaintedTable(out, header, rows, c.painter(header), 0, 1)
}

// shown returns a text as it may be written to the terminal, or as it is for a pipe.
func (c *cli) shown(text string) string {
	if !c.OutTerminal {
		return text
	}

	var b strings.Builder

	_, _ = io.WriteString(plain.NewScreen(&b), text) // a Builder never fails

	return b.String()
}

// painter returns what colours the cells of a table; nil where there is no colour: in a
// pipe, on a terminal without it, and when NO_COLOR is set (https://no-color.org).
func (c *cli) painter(header []string) func(column int, cell string) string {
	term, _ := c.LookupEnv("TERM")
	if no, _ := c.LookupEnv("NO_COLOR"); !c.OutTerminal || no != "" || term == "" || term == "dumb" {
		return nil
	}

	return func(column int, cell string) string {
		if header[column] != "STATE" {
			return cell
		}

		return colours[health.State(cell)] + cell + "\x1b[0m"
	}
}

// colours are those of the states, as SGR sequences (ECMA-48).
var colours = map[health.State]string{
	health.OK:       "\x1b[32m",
	health.Failing:  "\x1b[31m",
	health.Waiting:  "\x1b[33m",
	health.Stale:    "\x1b[33m",
	health.Starting: "\x1b[36m",
	health.Stopped:  "\x1b[2m",
}

// notes returns the lines under the table: what is wrong with an input as a whole, and
// with units. Units with the same fault share a line.
func (c *cli) notes(seen survey) (lines []string) {
	for _, text := range seen.notices {
		lines = append(lines, c.wrap(c.shown("inputs: "+plain.Text(text, 2000)), "  "))
	}

	var first []statusLine

	units := map[string][]string{}

	for _, r := range seen.all {
		for _, line := range c.statusLines(r) {
			if units[line.text] == nil {
				first = append(first, line)
			}

			units[line.text] = append(units[line.text], plain.Text(r.Tenant, 128)+" "+r.API)
		}
	}

	for _, line := range first {
		who := units[line.text]

		names := who[0]
		if len(who) > 1 {
			names = fmt.Sprintf("%s and %d more", strings.Join(who[:min(len(who)-1, 3)], ", "),
				len(who)-min(len(who)-1, 3))
		}

		text := names + ": " + plain.Text(line.text, 2000)
		if line.trace != "" {
			text += " (" + plain.Text(line.trace, 300) + ")"
		}

		lines = append(lines, c.wrap(c.shown(text), "  "))
	}

	return lines
}

// bare writes a text that was made fit for the terminal already.
func (c *cli) bare(text string) { c.out.WriteBare(c.bareOut, text) }
