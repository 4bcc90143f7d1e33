package cli

import (
	"fmt"
	"io"
)

// output is the standard output. It keeps the first error, so that one look at the end of
// a command reports whether all of the result went out; after it nothing more is written.
type output struct {
	w   io.Writer
	err error
	// columns is how wide tables may be; nil: as wide as they are, since nobody looks at
	// them.
	columns func() int
}

// tableColumns returns how wide a table on w may be; 0 means that there is no limit.
func tableColumns(w io.Writer) int {
	if o, ok := w.(*output); ok && o.columns != nil {
		return o.columns()
	}

	return 0
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}

	n, err := o.w.Write(p)
	if err != nil {
		o.err = fmt.Errorf("the result could not be written: %w", err)
	}

	return n, o.err
}
