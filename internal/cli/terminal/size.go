package terminal

import (
	"os"

	"golang.org/x/term"
)

// Columns returns the width of the terminal that the standard output or the standard
// error writes to, 0 if that is not known.
func Columns() int {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}

	return 0
}

// Rows returns how many lines the terminal of the standard output has, 0 if that is not
// known.
func Rows() int {
	if _, n, err := term.GetSize(int(os.Stdout.Fd())); err == nil && n > 0 {
		return n
	}

	return 0
}
