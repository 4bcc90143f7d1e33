package terminal

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"fluent-bit-defender/internal/config/plain"
)

// Distances of a table.
const (
	gap   = 2 // blanks between columns
	least = 8 // columns that are left of what is shortened
)

// Table prints rows under a header. On a terminal that is too narrow, what the columns
// named by shrink hold is shortened, the first of them first; elsewhere nothing is.
func Table(w io.Writer, header []string, rows [][]string, shrink ...int) {
	PaintedTable(w, header, rows, nil, shrink...)
}

// PaintedTable is Table with cells that paint, if it is not nil, puts into colour.
func PaintedTable(
	w io.Writer,
	header []string,
	rows [][]string,
	paint func(column int, cell string) string,
	shrink ...int,
) {
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = Width(h)
	}

	for _, row := range rows {
		for i := range row {
			row[i] = plain.Text(row[i], 400)
			if row[i] == "" {
				row[i] = "-"
			}

			widths[i] = max(widths[i], Width(row[i]))
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

// Without leaves out columns, the first named ones first, until the table fits the
// terminal.
func Without(w io.Writer, header []string, rows [][]string, columns ...string) ([]string, [][]string) {
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
		widest := Width(h)
		for _, row := range rows {
			widest = max(widest, Width(plain.Text(row[i], 400)))
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

		room := max(min(over, widths[i]-max(least, Width(header[i]))), 0)
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
			fill = widths[i] - Width(cell) + gap
		}

		if paint != nil {
			cell = paint(i, cell)
		}

		b.WriteString(cell + strings.Repeat(" ", fill))
	}

	fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
}
