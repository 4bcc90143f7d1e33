package record

import (
	"errors"

	"fluent-bit-defender/internal/record/msgpack"
)

// The reasons why a row cannot become an event. Such a row is emitted as a raw record
// (Encoder.Raw), which keeps every byte of it.
var (
	ErrNotObject = msgpack.ErrNotObject
	ErrSyntax    = msgpack.ErrSyntax
	ErrTooDeep   = msgpack.ErrTooDeep
	ErrUTF8      = msgpack.ErrUTF8
	ErrNumber    = msgpack.ErrNumber
	ErrTooLarge  = msgpack.ErrTooLarge
)

// ErrMalformed is returned by Next and Decode for events that this package did not write,
// or that were cut.
var ErrMalformed = errors.New("malformed event")
