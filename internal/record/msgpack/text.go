package msgpack

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"fluent-bit-defender/internal/jsontext"
)

// Codes that a step of the transcoder returns in place of an output offset if it fails;
// the input offset then says where. See Failure.
const (
	BadSyntax = -1 - iota
	BadUTF8
	BadRange
	TooDeep
)

// Text transcodes the JSON string whose opening quote is just before src[i] to a
// msgpack str at b[o], and returns the offsets behind both. Most strings are short and
// plain: those are copied while they are searched for their end.
func Text(b []byte, o int, src []byte, i int) (int, int) {
	if len(src)-i < 32 {
		return textSlow(b, o, src, i, i)
	}

	s, d := (*[32]byte)(src[i:]), (*[33]byte)(b[o:])
	x := binary.LittleEndian.Uint64(s[0:])
	binary.LittleEndian.PutUint64(d[1:], x)

	m, n := jsontext.SpecialOrForeign(x), 0
	if m == 0 {
		x, n = binary.LittleEndian.Uint64(s[8:]), 8
		binary.LittleEndian.PutUint64(d[9:], x)

		if m = jsontext.SpecialOrForeign(x); m == 0 {
			x, n = binary.LittleEndian.Uint64(s[16:]), 16
			binary.LittleEndian.PutUint64(d[17:], x)

			if m = jsontext.SpecialOrForeign(x); m == 0 {
				x, n = binary.LittleEndian.Uint64(s[24:]), 24
				binary.LittleEndian.PutUint64(d[25:], x)

				if m = jsontext.SpecialOrForeign(x); m == 0 {
					return textLong(b, o, src, i)
				}
			}
		}
	}

	n += bits.TrailingZeros64(m) >> 3
	if s[n&31] != '"' {
		return textSlow(b, o, src, i, i+n)
	}

	d[0] = FixStr | byte(n)

	return o + 1 + n, i + 1 + n
}

// textLong is Text for a string of which the first 32 bytes are known to be plain.
func textLong(b []byte, o int, src []byte, i int) (int, int) {
	j := i + 32
	for len(src)-j >= 16 {
		s := (*[16]byte)(src[j:])

		m0 := jsontext.SpecialOrForeign(binary.LittleEndian.Uint64(s[0:]))
		m1 := jsontext.SpecialOrForeign(binary.LittleEndian.Uint64(s[8:]))

		if m0|m1 == 0 {
			j += 16
			continue
		}

		if m0 == 0 {
			j, m0 = j+8, m1
		}

		j += bits.TrailingZeros64(m0) >> 3

		break
	}

	if j >= len(src) || src[j] != '"' {
		return textSlow(b, o, src, i, j)
	}

	o += PutStrHeader(b[o:], j-i)

	return o + copy(b[o:o+j-i], src[i:j]), j + 1 // with its end, so that too little room could not pass unseen
}

// textSlow is Text for any string; src[i:j] is known to be plain. The content is
// written three bytes ahead, the length of the commonest header it may need, and moved
// when it turns out to need another one.
func textSlow(b []byte, o int, src []byte, i, j int) (int, int) {
	p := o + 3

	p += copy(b[p:p+j-i], src[i:j])
	for {
		for len(src)-j >= 8 { // plain text between escapes
			x := binary.LittleEndian.Uint64(src[j:])
			binary.LittleEndian.PutUint64(b[p:], x)

			m := jsontext.SpecialOrForeign(x)
			if m != 0 {
				n := bits.TrailingZeros64(m) >> 3
				j, p = j+n, p+n

				break
			}

			j, p = j+8, p+8
		}

		if j >= len(src) {
			return BadSyntax, len(src)
		}

		switch c := src[j]; {
		case c == '"':
			return placeText(b, o, p), j + 1
		case c == '\\':
			if j+1 >= len(src) {
				return BadSyntax, len(src)
			}

			if r := jsontext.Unescaped[src[j+1]]; r != 0 {
				b[p] = r
				j, p = j+2, p+1

				continue
			}

			r, n := unicodeEscape(src[j:])
			if n == 0 {
				return BadSyntax, j
			}

			j, p = j+n, p+utf8.EncodeRune(b[p:], r)
		case c < ' ':
			return BadSyntax, j
		case c < utf8.RuneSelf: // the last bytes of src, one by one
			b[p] = c
			j, p = j+1, p+1
		default:
			end := foreignEnd(src, j)
			if !utf8.Valid(src[j:end]) {
				return BadUTF8, j
			}

			p += copy(b[p:p+end-j], src[j:end])
			j = end
		}
	}
}

// foreignEnd returns the end of the run from j on that has no quote, backslash or control
// character: such bytes are never part of a longer UTF-8 sequence, so the run can be
// checked by itself.
func foreignEnd(src []byte, j int) int {
	for len(src)-j >= 8 {
		if m := jsontext.Special(binary.LittleEndian.Uint64(src[j:])); m != 0 {
			return j + bits.TrailingZeros64(m)>>3
		}

		j += 8
	}

	for j < len(src) && src[j] != '"' && src[j] != '\\' && src[j] >= ' ' {
		j++
	}

	return j
}

// placeText writes the header of the content in b[o+3:p] at b[o], moves the content
// right behind it, and returns the end.
func placeText(b []byte, o, p int) int {
	n := p - o - 3
	switch {
	case n < 32:
		copy(b[o+1:], b[o+3:p])
	case n < 1<<8:
		copy(b[o+2:], b[o+3:p])
	case n >= 1<<16:
		copy(b[o+5:p+2], b[o+3:p])
	}

	return o + PutStrHeader(b[o:], n) + n
}

// unicodeEscape reads the \uXXXX at the start of s, or two of them that make a
// surrogate pair, and returns how many bytes it read, 0 if there is none. A surrogate
// without its partner becomes U+FFFD, as in encoding/json: UTF-8 cannot hold it.
func unicodeEscape(s []byte) (rune, int) {
	r := jsontext.EscapedUnit(s)
	if r < 0 {
		return 0, 0
	}

	if !utf16.IsSurrogate(r) {
		return r, 6
	}

	if low := jsontext.EscapedUnit(s[6:]); low >= 0 {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 12
		}
	}

	return utf8.RuneError, 6
}
