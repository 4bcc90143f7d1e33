package terminal

import (
	"fmt"
	"io"
)

// Output is the standard output of a command. It keeps the first error, so that one look
// at the end of a command reports whether all of the result went out. After an error
// nothing more is written.
type Output struct {
	// W is where the result goes.
	W io.Writer
	// Columns returns how wide tables may be. Nil is for no limit: nobody looks at them.
	Columns func() int

	err error
}

// Err returns the first error of a Write.
func (o *Output) Err() error { return o.err }

// tableColumns returns how wide a table on w may be; 0 means that there is no limit.
func tableColumns(w io.Writer) int {
	if o, ok := w.(*Output); ok && o.Columns != nil {
		return o.Columns()
	}

	return 0
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}

	n, err := o.W.Write(p)
	o.note(err)

	return n, o.err
}

// WriteBare writes a text to the writer below W, such as control sequences that W would
// change. Its error counts as one of Write.
func (o *Output) WriteBare(below io.Writer, text string) {
	if o.err == nil {
		_, err := io.WriteString(below, text)
		o.note(err)
	}
}

func (o *Output) note(err error) {
	if err != nil {
		o.err = fmt.Errorf("the result could not be written: %w", err)
	}
}
