package cli

import (
	"fmt"
	"io"
)

// output is the standard output. It keeps the first error, so that one look at the end of a command tells whether all of the result went out;
// after it nothing more is written.
type output struct {
	w   io.Writer
	err error
}

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
