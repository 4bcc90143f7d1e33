package msgpack

import (
	"errors"
	"strconv"
)

// The reasons why a row cannot become an event.
var (
	// ErrNotObject: the row is not a JSON object (a number, a string, an array, nothing).
	ErrNotObject = errors.New("not a JSON object")
	// ErrSyntax: the row is not JSON by RFC 8259, or something follows the object.
	ErrSyntax = errors.New("invalid JSON")
	// ErrTooDeep: containers nest deeper than MaxDepth, which Fluent Bit cannot decode.
	ErrTooDeep = errors.New("nested too deeply")
	// ErrUTF8: a string is not UTF-8 (RFC 8259 §8.1 requires it), so it cannot be a
	// msgpack str.
	ErrUTF8 = errors.New("invalid UTF-8 in a string")
	// ErrNumber: a number that is beyond the doubles, such as 1e400.
	ErrNumber = errors.New("number out of range")
	// ErrTooLarge: a string or container beyond the 2³²−1 of msgpack.
	ErrTooLarge = errors.New("too large for msgpack")
)

// rowError is an error at an offset in a row. It never quotes the row: alerts are
// confidential.
type rowError struct {
	err    error
	offset int
}

// RowError returns an error that wraps one of this package's and names the offset in the
// row.
func RowError(err error, offset int) error { return &rowError{err, offset} }

// Error implements error.
func (e *rowError) Error() string { return e.err.Error() + " at byte " + strconv.Itoa(e.offset) }

// Unwrap returns the error below it, for errors.Is and errors.As.
func (e *rowError) Unwrap() error { return e.err }

// Failure returns the error for the code that a step returned as its output offset; i is
// the offset in the input.
func Failure(code, i int) error {
	switch code {
	case BadUTF8:
		return RowError(ErrUTF8, i)
	case BadRange:
		return RowError(ErrNumber, i)
	case TooDeep:
		return RowError(ErrTooDeep, i)
	default:
		return RowError(ErrSyntax, i)
	}
}
