package record

import (
	"errors"

	"fluent-bit-defender/internal/record/msgpack"
)

// Why a row cannot become an event. Such a row goes out as a raw record (Encoder.Raw),
// which keeps every byte of it.
var (
	ErrNotObject = msgpack.ErrNotObject
	ErrSyntax    = msgpack.ErrSyntax
	ErrTooDeep   = msgpack.ErrTooDeep
	ErrUTF8      = msgpack.ErrUTF8
	ErrNumber    = msgpack.ErrNumber
	ErrTooLarge  = msgpack.ErrTooLarge
)

// ErrMalformed is returned for a batch that this package did not write, or that was cut
// (Next, Decode).
var ErrMalformed = errors.New("malformed event")
