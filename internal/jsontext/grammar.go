package jsontext

import "encoding/binary"

// IsSpace reports whether c is white space between tokens (RFC 8259 §2).
func IsSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// SkipSpace returns the offset of the first byte from i on that is not white space, or
// len(b) if there is none.
func SkipSpace(b []byte, i int) int {
	for uint(i) < uint(len(b)) {
		switch b[i] {
		case ' ', '\n', '\r', '\t':
			i++
		default:
			return i
		}
	}

	return i
}

// SkipIndent is SkipSpace for text that may be indented: it skips eight spaces at a time.
func SkipIndent(b []byte, i int) int {
	for i < len(b) {
		switch b[i] {
		case ' ', '\n', '\r', '\t':
			i++
			for len(b)-i >= 8 && binary.LittleEndian.Uint64(b[i:]) == ' '*ones {
				i += 8
			}
		default:
			return i
		}
	}

	return i
}

// EndsScalar reports whether c ends a number or a literal that stands before it.
func EndsScalar(c byte) bool { return delimits[c] }

var delimits = [256]bool{',': true, ']': true, '}': true, ' ': true, '\n': true, '\r': true, '\t': true}

// IsNull reports whether the literal null begins at b[i] (RFC 8259 §3). It does not look
// at what follows.
func IsNull(b []byte, i int) bool {
	return len(b)-i >= 4 && binary.LittleEndian.Uint32(b[i:]) == 'n'|'u'<<8|'l'<<16|'l'<<24
}

// IsTrue is IsNull for the literal true.
func IsTrue(b []byte, i int) bool {
	return len(b)-i >= 4 && binary.LittleEndian.Uint32(b[i:]) == 't'|'r'<<8|'u'<<16|'e'<<24
}

// IsFalse is IsNull for the literal false, of which the caller has seen the first byte.
func IsFalse(b []byte, i int) bool {
	return len(b)-i >= 5 && binary.LittleEndian.Uint32(b[i+1:]) == 'a'|'l'<<8|'s'<<16|'e'<<24
}

// Unescaped maps the byte behind a backslash to the byte that the two stand for (RFC 8259
// §7), or to 0 if that is no short escape.
var Unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// Hex returns the value of a hex digit in any case, and -1 for any other byte.
func Hex(c byte) int {
	switch {
	case c-'0' < 10:
		return int(c - '0')
	case c|0x20-'a' < 6:
		return int(c|0x20-'a') + 10
	}

	return -1
}

// EscapedUnit returns the UTF-16 code unit of the \uXXXX at the start of b, and -1 if b
// does not begin with one.
func EscapedUnit(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}

	unit := 0

	for _, c := range b[2:6] {
		digit := Hex(c)
		if digit < 0 {
			return -1
		}

		unit = unit<<4 | digit
	}

	return rune(unit)
}
