package record

import (
	"encoding/binary"
	"math"
	"slices"
)

// MaxDepth is how deep objects and arrays of an alert may nest, the alert itself
// counted. Fluent Bit decodes with msgpack-c, whose stack holds 32 containers
// (MSGPACK_EMBED_STACK_SIZE in msgpack/unpack_define.h); one of them is the array
// around the event. Beyond that an output drops the event, and all behind it in its
// chunk, without a word.
const MaxDepth = 31

// slack is the room that has to be free in the output beyond what is left of the input:
// for one header, one number, and stores of whole words that run past the end of a
// short string.
const slack = 64

// roomFor is the room to begin with. Headers with a 32-bit length cost 2 bytes more
// than the quotes or brackets they stand for, but no more than once in 65,536 bytes.
func roomFor(src []byte) int { return len(src) + len(src)>>14 + slack }

// A frame is an open object or array: where its header is, how many members it has, and
// which of the two it is.
type frame struct {
	at, n int
	array bool
}

// A transcoder turns JSON into msgpack in one pass: it validates, and writes as it
// reads. Headers of objects and arrays are written as map16 and array16 before their
// size is known and get it when they close.
type transcoder struct {
	open [MaxDepth]frame
}

// object appends the members of the JSON object src to dst, without a header around
// them, and gives their number. Its own keys mssp and cef are renamed. On an error the
// bytes of dst beyond its length are undefined.
//
// The labels are the states of the grammar: behind a key comes a value, behind a value
// the next member or the end. One function with jumps keeps the offsets in registers
// and needs no stack but that of the open containers.
//
// All offsets obey one rule: the room behind o is at least the input left behind i plus
// slack. Only numbers ("1.5," is 4 bytes, a double 9) and containers ("[0]" is 3,
// array16 around 0 is 4) can grow, so only they look.
func (t *transcoder) object(dst, src []byte) ([]byte, int, error) {
	margin := roomFor(src) - len(src)
	b := slices.Grow(dst, roomFor(src))
	b = b[:cap(b)]

	var (
		o     = len(dst)
		i     = skipSpace(src, 0)
		depth = 1
		n     int  // members so far of the innermost container
		at    int  // its header, none for the outermost
		array bool // what it is
		c     byte
	)
	if len(src) > math.MaxUint32 {
		return dst, 0, &rowError{ErrTooLarge, 0}
	}

	if i >= len(src) || src[i] != '{' {
		return dst, 0, &rowError{ErrNotObject, i}
	}

	i = skipSpace(src, i+1)
	if i < len(src) && src[i] == '}' {
		i++
		goto done
	}

key:
	if i >= len(src) || src[i] != '"' {
		if i = skipSpace(src, i); i >= len(src) || src[i] != '"' {
			goto syntax
		}
	}
	{
		start := o
		if o, i = text(b, o, src, i+1); o < 0 {
			return dst, 0, textError(o, i)
		}

		if depth == 1 {
			o = rename(b, start, o)
		}
	}

	if i < len(src) && src[i] == ':' {
		i++
	} else {
		if i = skipSpace(src, i); i >= len(src) || src[i] != ':' {
			goto syntax
		}

		i++
	}

value:
	if i >= len(src) {
		goto syntax
	}

	switch c = src[i]; c {
	case '"':
		if o, i = text(b, o, src, i+1); o < 0 {
			return dst, 0, textError(o, i)
		}
	case '{', '[':
		if depth == MaxDepth {
			return dst, 0, &rowError{ErrTooDeep, i}
		}

		if len(b)-o < len(src)-i+margin {
			b = grow(b, o, len(src)-i+margin)
		}

		if i++; i < len(src) && src[i] <= ' ' {
			i = skipSpace(src, i)
		}

		if c == '{' {
			if i < len(src) && src[i] == '}' {
				b[o] = mpFixMap
				o, i = o+1, i+1

				break
			}

			b[o] = mpMap16
		} else {
			if i < len(src) && src[i] == ']' {
				b[o] = mpFixArray
				o, i = o+1, i+1

				break
			}

			b[o] = mpArray16
		}

		t.open[depth-1] = frame{at, n, array}
		depth++
		at, n, array = o, 0, c == '['
		o += 3

		if array {
			goto value
		}

		goto key
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if len(b)-o < len(src)-i+margin {
			b = grow(b, o, len(src)-i+margin)
		}

		start := i
		if o, i = number(b, o, src, i); o < 0 {
			if o == badRange {
				return dst, 0, &rowError{ErrNumber, start}
			}

			goto syntax
		}
	case 'n':
		if len(src)-i < 4 || binary.LittleEndian.Uint32(src[i:]) != 'n'|'u'<<8|'l'<<16|'l'<<24 {
			goto syntax
		}

		b[o] = mpNil
		o, i = o+1, i+4
	case 't':
		if len(src)-i < 4 || binary.LittleEndian.Uint32(src[i:]) != 't'|'r'<<8|'u'<<16|'e'<<24 {
			goto syntax
		}

		b[o] = mpTrue
		o, i = o+1, i+4
	case 'f':
		if len(src)-i < 5 || binary.LittleEndian.Uint32(src[i+1:]) != 'a'|'l'<<8|'s'<<16|'e'<<24 {
			goto syntax
		}

		b[o] = mpFalse
		o, i = o+1, i+5
	case ' ', '\n', '\r', '\t':
		i = skipSpace(src, i)
		goto value
	default:
		goto syntax
	}

next:
	n++

	if i >= len(src) {
		goto syntax
	}

	if c = src[i]; c <= ' ' {
		if i = skipSpace(src, i); i >= len(src) {
			goto syntax
		}

		c = src[i]
	}

	i++

	if c == ',' {
		if array {
			goto value
		}

		goto key
	}

	if array != (c == ']') || !array && c != '}' {
		i--
		goto syntax
	}

	if depth--; depth > 0 {
		if n < 1<<16 {
			binary.BigEndian.PutUint16(b[at+1:], uint16(n))
		} else {
			o = widen(b, at, o, n)
		}

		f := &t.open[depth-1]
		at, n, array = f.at, f.n, f.array

		goto next
	}

done:
	if i = skipSpace(src, i); i == len(src) {
		return b[:o], n, nil
	}

syntax:
	return dst, 0, &rowError{ErrSyntax, min(i, len(src))}
}

// widen makes a map32 or array32 of the map16 or array16 at offset at, whose content
// ends at o. It happens at most once for each level of nesting of a byte, so it costs a
// share of the whole, not its square.
func widen(b []byte, at, o, n int) int {
	copy(b[at+5:o+2], b[at+3:o])
	b[at]++ // 16 → 32, for both kinds
	binary.BigEndian.PutUint32(b[at+1:], uint32(n))

	return o + 2
}

func grow(b []byte, o, room int) []byte {
	b = slices.Grow(b[:o], room)
	return b[:cap(b)]
}

// rename puts an underscore behind the key in b[start:o] when it is one of those that
// the records reserve. It looks at the decoded key, so a spelling with escapes is found
// too.
func rename(b []byte, start, o int) int {
	switch b[start] {
	case mpFixStr | 4:
		if string(b[start+1:o]) != "mssp" {
			return o
		}
	case mpFixStr | 3:
		if string(b[start+1:o]) != "cef" {
			return o
		}
	default:
		return o
	}

	b[start]++
	b[o] = '_'

	return o + 1
}

// skipSpace gives the offset of the first byte from i on that is not JSON white space,
// or len(src).
func skipSpace(src []byte, i int) int {
	for i < len(src) {
		switch src[i] {
		case ' ', '\n', '\r', '\t':
			i++
			for len(src)-i >= 8 && binary.LittleEndian.Uint64(src[i:]) == 0x20*ones { // indented pages
				i += 8
			}
		default:
			return i
		}
	}

	return i
}
