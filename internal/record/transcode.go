package record

import (
	"math"
	"slices"

	"fluent-bit-defender/internal/jsontext"
	"fluent-bit-defender/internal/record/msgpack"
)

// MaxDepth is how deep objects and arrays of an alert may nest, the alert itself
// counted.
const MaxDepth = msgpack.MaxDepth

// roomFor returns the room for the output of src at the start. Headers with a 32-bit
// length have 2 bytes more than the quotes or brackets that they replace, but there is at
// most one of them in 65,536 bytes.
func roomFor(src []byte) int { return len(src) + len(src)>>14 + msgpack.Slack }

// A frame is an open object or array.
type frame struct {
	at, n int // offset of its header in the output, members so far
	array bool
}

// A transcoder turns JSON into msgpack in one pass: it validates what it reads and writes
// at the same time. Headers of objects and arrays are written as map16 and array16 before
// their size is known, and get the size when the container ends.
type transcoder struct {
	open    [MaxDepth]frame // the containers around the innermost one, outermost first
	renamed []int           // offsets in the output of keys of the object itself
}

// object appends the members of the JSON object src to dst, without a header around
// them, and returns how many there are. Keys mssp and cef of the object itself are
// renamed (freeNames). If it fails, the bytes of dst beyond its length are undefined.
//
// The labels are the states of the grammar: a value follows a key, and the next member or
// the end of the container follows a value. The steps that belong to one state have
// functions of their own; they take and return offsets, and a negative output offset is
// the code of a failure.
//
// The room in b from o on is always at least the input left from i on, plus
// msgpack.Slack. Only numbers ("1.5," has 4 bytes, a double 9) and containers ("[0]" has
// 3 bytes, an array16 around 0 has 4) can become longer than their JSON, so only these
// call reserve.
//
//nolint:cyclop,funlen // one function keeps the offsets in registers; loops over steps were up to 12 % slower
func (t *transcoder) object(dst, src []byte) ([]byte, int, error) {
	i, err := openingBrace(src)
	if err != nil {
		return dst, 0, err
	}

	t.renamed = t.renamed[:0]
	margin := roomFor(src) - len(src)
	b := slices.Grow(dst, roomFor(src))
	b = b[:cap(b)]

	var (
		o     = len(dst)
		depth = 1
		n     int  // members so far of the innermost container
		at    int  // offset of its header; none for the outermost object
		array bool // whether it is an array
		c     byte
	)

	if i < len(src) && src[i] == '}' {
		i++
		goto done
	}

key:
	if i >= len(src) || src[i] != '"' {
		if i = jsontext.SkipIndent(src, i); i >= len(src) || src[i] != '"' {
			goto syntax
		}
	}
	{
		start := o
		if o, i = msgpack.Text(b, o, src, i+1); o < 0 {
			goto failed
		}

		if depth == 1 {
			if end := rename(b, start, o); end != o {
				t.renamed = append(t.renamed, start)
				o = end
			}
		}
	}

	if i < len(src) && src[i] == ':' {
		i++
	} else {
		if i = jsontext.SkipIndent(src, i); i >= len(src) || src[i] != ':' {
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
		if o, i = msgpack.Text(b, o, src, i+1); o < 0 {
			goto failed
		}
	case '{', '[':
		if depth == MaxDepth {
			o = msgpack.TooDeep
			goto failed
		}

		b = reserve(b, o, len(src)-i+margin)

		if i++; i < len(src) && src[i] <= ' ' {
			i = jsontext.SkipIndent(src, i)
		}

		if c == '{' {
			if i < len(src) && src[i] == '}' {
				b[o] = msgpack.FixMap
				o, i = o+1, i+1

				break
			}

			b[o] = msgpack.Map16
		} else {
			if i < len(src) && src[i] == ']' {
				b[o] = msgpack.FixArray
				o, i = o+1, i+1

				break
			}

			b[o] = msgpack.Array16
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
		b = reserve(b, o, len(src)-i+margin)

		if o, i = msgpack.Number(b, o, src, i); o < 0 {
			goto failed
		}
	case 'n':
		if !jsontext.IsNull(src, i) {
			goto syntax
		}

		b[o] = msgpack.Nil
		o, i = o+1, i+4
	case 't':
		if !jsontext.IsTrue(src, i) {
			goto syntax
		}

		b[o] = msgpack.True
		o, i = o+1, i+4
	case 'f':
		if !jsontext.IsFalse(src, i) {
			goto syntax
		}

		b[o] = msgpack.False
		o, i = o+1, i+5
	case ' ', '\n', '\r', '\t':
		i = jsontext.SkipIndent(src, i)
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
		if i = jsontext.SkipIndent(src, i); i >= len(src) {
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
		o = msgpack.PutSize(b, at, o, n)

		f := &t.open[depth-1]
		at, n, array = f.at, f.n, f.array

		goto next
	}

done:
	if i = jsontext.SkipIndent(src, i); i == len(src) {
		if len(t.renamed) > 0 {
			return t.freeNames(b[:o], src), n, nil
		}

		return b[:o], n, nil
	}

syntax:
	o, i = msgpack.BadSyntax, min(i, len(src))

failed:
	return dst, 0, msgpack.Failure(o, i)
}

// openingBrace returns the offset of the first byte inside the object src that is not
// white space.
func openingBrace(src []byte) (int, error) {
	if len(src) > math.MaxUint32 {
		return 0, msgpack.RowError(ErrTooLarge, 0)
	}

	i := jsontext.SkipIndent(src, 0)
	if i >= len(src) || src[i] != '{' {
		return 0, msgpack.RowError(ErrNotObject, i)
	}

	return jsontext.SkipIndent(src, i+1), nil
}

// reserve returns b in its full capacity, with at least the given room from o on.
func reserve(b []byte, o, room int) []byte {
	if len(b)-o >= room {
		return b
	}

	return grow(b, o, room)
}

func grow(b []byte, o, room int) []byte {
	b = slices.Grow(b[:o], room)
	return b[:cap(b)]
}
