package record

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// number transcodes the JSON number at src[i] (RFC 8259 §6) to b[o] and gives the
// offsets behind both; o is badSyntax or badRange when it fails. Integers from −2⁶³ to
// 2⁶⁴−1 stay integers in their shortest form (−0 is 0), all else is a double.
func number(b []byte, o int, src []byte, i int) (int, int) {
	start, negative := i, src[i] == '-'
	if negative {
		i++
	}

	first := i

	var u uint64
	for i < len(src) && src[i]-'0' < 10 {
		u = u*10 + uint64(src[i]-'0') // right up to 19 digits
		i++
	}

	digits := i - first
	if digits == 0 || digits > 1 && src[first] == '0' {
		return badSyntax, first
	}

	if i < len(src) && (src[i] == '.' || src[i]|0x20 == 'e') {
		return fraction(b, o, src, start, i, u, digits)
	}

	if digits > 19 {
		var over bool
		if u, over = integer20(src[first:i]); over {
			return double(b, o, src[start:i], i)
		}
	}

	if !negative {
		return putUint(b, o, u), i
	}

	if u > 1<<63 {
		return double(b, o, src[start:i], i)
	}

	return putNegative(b, o, int64(-u)), i
}

// integer20 reads an integer of 20 digits or more; over says that it is beyond 2⁶⁴−1.
func integer20(digits []byte) (u uint64, over bool) {
	if len(digits) > 20 {
		return 0, true
	}

	for _, c := range digits {
		hi, lo := bits.Mul64(u, 10)

		var carry uint64

		u, carry = bits.Add64(lo, uint64(c-'0'), 0)
		if hi+carry != 0 {
			return 0, true
		}
	}

	return u, false
}

func putUint(b []byte, o int, u uint64) int {
	switch {
	case u < 1<<7:
		b[o] = byte(u)
		return o + 1
	case u < 1<<8:
		b[o], b[o+1] = mpUint8, byte(u)
		return o + 2
	case u < 1<<16:
		b[o] = mpUint16
		binary.BigEndian.PutUint16(b[o+1:], uint16(u))

		return o + 3
	case u < 1<<32:
		b[o] = mpUint32
		binary.BigEndian.PutUint32(b[o+1:], uint32(u))

		return o + 5
	default:
		b[o] = mpUint64
		binary.BigEndian.PutUint64(b[o+1:], u)

		return o + 9
	}
}

func putNegative(b []byte, o int, v int64) int {
	switch {
	case v >= -32:
		b[o] = byte(v)
		return o + 1
	case v >= math.MinInt8:
		b[o], b[o+1] = mpInt8, byte(v)
		return o + 2
	case v >= math.MinInt16:
		b[o] = mpInt16
		binary.BigEndian.PutUint16(b[o+1:], uint16(v))

		return o + 3
	case v >= math.MinInt32:
		b[o] = mpInt32
		binary.BigEndian.PutUint32(b[o+1:], uint32(v))

		return o + 5
	default:
		b[o] = mpInt64
		binary.BigEndian.PutUint64(b[o+1:], uint64(v))

		return o + 9
	}
}

// Powers of ten that a double holds exactly.
var exact10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
	1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// fraction is number from the point or the exponent at src[i] on; u and digits are the
// integer part. Where mantissa and power of ten are both exact, one division or
// multiplication gives the nearest double (W. D. Clinger, "How to Read Floating Point
// Numbers Accurately", 1990); the rest is left to strconv.
func fraction(b []byte, o int, src []byte, start, i int, u uint64, digits int) (int, int) {
	exp := 0

	if src[i] == '.' {
		i++

		first := i
		for i < len(src) && src[i]-'0' < 10 {
			u = u*10 + uint64(src[i]-'0')
			i++
		}

		if i == first {
			return badSyntax, i
		}

		exp = first - i
		digits -= exp
	}

	plain := digits <= 19
	if i < len(src) && src[i]|0x20 == 'e' {
		plain = false // rare in these APIs: not worth a way of its own

		if i++; i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}

		first := i
		for i < len(src) && src[i]-'0' < 10 {
			i++
		}

		if i == first {
			return badSyntax, i
		}
	}

	if !plain || u >= 1<<53 || -exp >= len(exact10) {
		return double(b, o, src[start:i], i)
	}

	f := float64(u) / exact10[-exp]
	if src[start] == '-' {
		f = -f
	}

	return putDouble(b, o, f), i
}

// double writes the number with the given text, which is valid JSON and ends at i, as a
// double. One beyond the doubles is refused: an infinity would be no number in any
// output, and the largest double would be another one.
func double(b []byte, o int, text []byte, i int) (int, int) {
	// strconv wants a string and does not keep it unless it fails; a copy would be an
	// allocation per number.
	f, err := strconv.ParseFloat(unsafe.String(&text[0], len(text)), 64)
	if err != nil {
		return badRange, i
	}

	return putDouble(b, o, f), i
}

func putDouble(b []byte, o int, f float64) int {
	b[o] = mpFloat64
	binary.BigEndian.PutUint64(b[o+1:], math.Float64bits(f))

	return o + 9
}
