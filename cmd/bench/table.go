package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// table is the table that is printed at the end.
type table struct{ rows [][]string }

// head begins a part of the table.
func (t *table) head(title string, columns ...string) {
	if len(t.rows) > 0 {
		t.rows = append(t.rows, nil)
	}

	t.rows = append(t.rows, append([]string{title}, columns...))
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)

	for _, row := range t.rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}

			fmt.Fprint(w, cell)
		}

		fmt.Fprintln(w)
	}

	return w.Flush()
}

// median returns the median of a list, which it sorts; if the list has two middle
// values, the upper one.
func median[T int64 | float64 | time.Duration](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
func mb(n int64) string              { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }
