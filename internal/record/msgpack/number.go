package msgpack

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// Number transcodes the JSON number at src[i] (RFC 8259 §6) to b[o] and returns the
// offsets behind both; o is BadSyntax or BadRange when it fails. Integers from −2⁶³ to
// 2⁶⁴−1 stay integers in their shortest form (−0 is 0), all else is a double.
func Number(b []byte, o int, src []byte, i int) (int, int) {
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
		return BadSyntax, first
	}

	if i < len(src) && (src[i] == '.' || src[i]|0x20 == 'e') {
		return fraction(b, o, src, start, i, u, digits)
	}

	if digits > 19 {
		var over bool
		if u, over = integer20(src[first:i]); over {
			return double(b, o, src, start, i)
		}
	}

	if !negative {
		return putUint(b, o, u), i
	}

	if u > 1<<63 {
		return double(b, o, src, start, i)
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

// AppendInt appends an integer in its shortest form.
func AppendInt(dst []byte, v int64) []byte {
	var b [9]byte
	if v < 0 {
		return append(dst, b[:putNegative(b[:], 0, v)]...)
	}

	return append(dst, b[:putUint(b[:], 0, uint64(v))]...)
}

func putUint(b []byte, o int, u uint64) int {
	switch {
	case u < 1<<7:
		b[o] = byte(u)
		return o + 1
	case u < 1<<8:
		b[o], b[o+1] = Uint8, byte(u)
		return o + 2
	case u < 1<<16:
		b[o] = Uint16
		binary.BigEndian.PutUint16(b[o+1:], uint16(u))

		return o + 3
	case u < 1<<32:
		b[o] = Uint32
		binary.BigEndian.PutUint32(b[o+1:], uint32(u))

		return o + 5
	default:
		b[o] = Uint64
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
		b[o], b[o+1] = Int8, byte(v)
		return o + 2
	case v >= math.MinInt16:
		b[o] = Int16
		binary.BigEndian.PutUint16(b[o+1:], uint16(v))

		return o + 3
	case v >= math.MinInt32:
		b[o] = Int32
		binary.BigEndian.PutUint32(b[o+1:], uint32(v))

		return o + 5
	default:
		b[o] = Int64
		binary.BigEndian.PutUint64(b[o+1:], uint64(v))

		return o + 9
	}
}

// Powers of ten that a double holds exactly.
var exact10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
	1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// fraction is Number from the point or the exponent at src[i] on; u is the value of the
// integer part and digits its length. If mantissa and power of ten are both exact, one
// division returns the nearest double (W. D. Clinger, "How to Read Floating Point Numbers
// Accurately", 1990). All other numbers are left to strconv; those with an exponent
// always, because they are rare in these APIs.
func fraction(b []byte, o int, src []byte, start, i int, u uint64, digits int) (int, int) {
	decimals := 0

	if src[i] == '.' {
		first := i + 1

		if u, i = moreDigits(u, src, first); i == first {
			return BadSyntax, i
		}

		decimals = i - first
	}

	if i < len(src) && src[i]|0x20 == 'e' {
		end, ok := exponent(src, i)
		if !ok {
			return BadSyntax, end
		}

		return double(b, o, src, start, end)
	}

	if digits+decimals > 19 || u >= 1<<53 || decimals >= len(exact10) {
		return double(b, o, src, start, i)
	}

	f := float64(u) / exact10[decimals]
	if src[start] == '-' {
		f = -f
	}

	return putDouble(b, o, f), i
}

// moreDigits appends the decimal digits from src[i] on to the number u. It returns the
// number, which is right up to 19 digits in all, and the offset behind the digits.
func moreDigits(u uint64, src []byte, i int) (uint64, int) {
	for i < len(src) && src[i]-'0' < 10 {
		u = u*10 + uint64(src[i]-'0')
		i++
	}

	return u, i
}

// exponent returns the offset behind the exponent whose "e" is src[i]. If no digit
// follows it, ok is false and end is where the digit is missing.
func exponent(src []byte, i int) (end int, ok bool) {
	i++

	if i < len(src) && (src[i] == '+' || src[i] == '-') {
		i++
	}

	_, end = moreDigits(0, src, i)

	return end, end > i
}

// double writes the number src[start:end], which is valid JSON, as a double. It refuses a
// number beyond the range of doubles: JSON outputs cannot write an infinity, and the
// largest double would be a different number.
func double(b []byte, o int, src []byte, start, end int) (int, int) {
	text := src[start:end]

	// ParseFloat takes a string and does not keep it unless it fails. A copy would cost
	// an allocation per number.
	f, err := strconv.ParseFloat(unsafe.String(&text[0], len(text)), 64)
	if err != nil {
		return BadRange, start
	}

	return putDouble(b, o, f), end
}

func putDouble(b []byte, o int, f float64) int {
	b[o] = Float64
	binary.BigEndian.PutUint64(b[o+1:], math.Float64bits(f))

	return o + 9
}
