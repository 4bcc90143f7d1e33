package record

import (
	"encoding/binary"
	"math"
)

// First bytes of the msgpack types written here
// (https://github.com/msgpack/msgpack/blob/master/spec.md). The "fix" ones carry a
// length or a number in their low bits.
const (
	mpFixMap   = 0x80
	mpFixArray = 0x90
	mpFixStr   = 0xa0
	mpNil      = 0xc0
	mpFalse    = 0xc2
	mpTrue     = 0xc3
	mpFloat64  = 0xcb
	mpUint8    = 0xcc
	mpUint16   = 0xcd
	mpUint32   = 0xce
	mpUint64   = 0xcf
	mpInt8     = 0xd0
	mpInt16    = 0xd1
	mpInt32    = 0xd2
	mpInt64    = 0xd3
	mpFixExt8  = 0xd7
	mpStr8     = 0xd9
	mpStr16    = 0xda
	mpStr32    = 0xdb
	mpArray16  = 0xdc
	mpArray32  = 0xdd
	mpMap16    = 0xde
	mpMap32    = 0xdf
	mpNegative = 0xe0 // and above: the integers from -32 to -1
)

// putStrHeader writes the header of a str of n bytes and returns its length.
func putStrHeader(b []byte, n int) int {
	switch {
	case n < 32:
		b[0] = mpFixStr | byte(n)
		return 1
	case n < 1<<8:
		b[0], b[1] = mpStr8, byte(n)
		return 2
	case n < 1<<16:
		b[0], b[1], b[2] = mpStr16, byte(n>>8), byte(n)
		return 3
	default:
		b[0] = mpStr32
		binary.BigEndian.PutUint32(b[1:], uint32(n))

		return 5
	}
}

func appendStrHeader(dst []byte, n int) []byte {
	var b [5]byte
	return append(dst, b[:putStrHeader(b[:], n)]...)
}

func appendStr[T string | []byte](dst []byte, s T) []byte {
	return append(appendStrHeader(dst, len(s)), s...)
}

func appendDouble(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, mpFloat64), math.Float64bits(f))
}
