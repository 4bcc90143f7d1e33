package msgpack

import (
	"encoding/binary"
	"math"
)

// First bytes of the types that are written
// (https://github.com/msgpack/msgpack/blob/master/spec.md). The "fix" ones carry a
// length or a number in their low bits.
const (
	FixMap   = 0x80
	FixArray = 0x90
	FixStr   = 0xa0
	Nil      = 0xc0
	False    = 0xc2
	True     = 0xc3
	Float64  = 0xcb
	Uint8    = 0xcc
	Uint16   = 0xcd
	Uint32   = 0xce
	Uint64   = 0xcf
	Int8     = 0xd0
	Int16    = 0xd1
	Int32    = 0xd2
	Int64    = 0xd3
	FixExt8  = 0xd7
	Str8     = 0xd9
	Str16    = 0xda
	Str32    = 0xdb
	Array16  = 0xdc
	Array32  = 0xdd
	Map16    = 0xde
	Map32    = 0xdf
	Negative = 0xe0 // and above: the integers from -32 to -1
)

// MaxDepth is how deep objects and arrays of an alert may nest, the alert itself
// counted. Fluent Bit decodes with msgpack-c, whose stack holds 32 containers
// (MSGPACK_EMBED_STACK_SIZE in msgpack/unpack_define.h); one of them is the array
// around the event. If containers nest deeper, an output drops the event and all that
// follow it in its chunk, and does not report it.
const MaxDepth = 31

// Slack is the room that must be free in the output of Text and Number in addition to the
// length of what they read. It is for one header, one number, and stores of whole words
// that go beyond the end of a short string.
const Slack = 64

// PutStrHeader writes the header of a str of n bytes and returns its length.
func PutStrHeader(b []byte, n int) int {
	switch {
	case n < 32:
		b[0] = FixStr | byte(n)
		return 1
	case n < 1<<8:
		b[0], b[1] = Str8, byte(n)
		return 2
	case n < 1<<16:
		b[0], b[1], b[2] = Str16, byte(n>>8), byte(n)
		return 3
	default:
		b[0] = Str32
		binary.BigEndian.PutUint32(b[1:], uint32(n))

		return 5
	}
}

// AppendStrHeader appends the header of a str of n bytes.
func AppendStrHeader(dst []byte, n int) []byte {
	var b [5]byte
	return append(dst, b[:PutStrHeader(b[:], n)]...)
}

// AppendStr appends a text as a str.
func AppendStr[T string | []byte](dst []byte, s T) []byte {
	return append(AppendStrHeader(dst, len(s)), s...)
}

// AppendDouble appends a float 64.
func AppendDouble(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, Float64), math.Float64bits(f))
}

// PutSize writes the size n into the header at offset at, whose content ends at o. It
// returns the end, which moves if the header has to become longer.
func PutSize(b []byte, at, o, n int) int {
	if n < 1<<16 {
		binary.BigEndian.PutUint16(b[at+1:], uint16(n))
		return o
	}

	return widen(b, at, o, n)
}

// widen makes a map32 or array32 of the map16 or array16 at offset at, whose content ends
// at o, and returns the new end. It moves a byte at most once for each container around
// it, so the cost stays linear in the size of the input.
func widen(b []byte, at, o, n int) int {
	copy(b[at+5:o+2], b[at+3:o])
	b[at]++ // 16 → 32, for both kinds
	binary.BigEndian.PutUint32(b[at+1:], uint32(n))

	return o + 2
}
