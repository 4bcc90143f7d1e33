package record

import (
	"errors"
	"strconv"
)

// Why a row cannot become an event. Such a row goes out as a raw record (Encoder.Raw),
// which keeps every byte of it.
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
	// ErrMalformed: a batch that this package did not write, or that was cut (Next,
	// Decode).
	ErrMalformed = errors.New("malformed event")
)

// rowError says where in a row the fault is. It never quotes the row: alerts are
// confidential.
type rowError struct {
	err    error
	offset int
}

func (e *rowError) Error() string { return e.err.Error() + " at byte " + strconv.Itoa(e.offset) }

func (e *rowError) Unwrap() error { return e.err }
