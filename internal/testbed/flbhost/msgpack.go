package flbhost

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
)

type kind int

const (
	kindNil kind = iota
	kindBool
	kindUint
	kindInt
	kindFloat
	kindStr
	kindBin
	kindExt
	kindArray
	kindMap
)

// object is the first byte of a msgpack value, understood
// (https://github.com/msgpack/msgpack/blob/master/spec.md).
type object struct {
	kind  kind
	head  int // bytes of type and length
	body  int // bytes of data after the head, none for arrays and maps
	count int // elements of an array, pairs of a map
	ext   int8
}

// wide has the bytes of the length field, the fixed bytes of data and the kind for each
// type byte from 0xc4 to 0xdf.
var wide = [...]struct {
	length, data int
	kind         kind
}{
	{1, 0, kindBin}, {2, 0, kindBin}, {4, 0, kindBin},
	{1, 1, kindExt}, {2, 1, kindExt}, {4, 1, kindExt},
	{0, 4, kindFloat}, {0, 8, kindFloat},
	{0, 1, kindUint}, {0, 2, kindUint}, {0, 4, kindUint}, {0, 8, kindUint},
	{0, 1, kindInt}, {0, 2, kindInt}, {0, 4, kindInt}, {0, 8, kindInt},
	{0, 2, kindExt}, {0, 3, kindExt}, {0, 5, kindExt}, {0, 9, kindExt}, {0, 17, kindExt},
	{1, 0, kindStr}, {2, 0, kindStr}, {4, 0, kindStr},
	{2, 0, kindArray}, {4, 0, kindArray},
	{2, 0, kindMap}, {4, 0, kindMap},
}

// peekObject reads the head of the value at the start of b. ok is false when b ends too
// early or starts with the one byte that msgpack never uses.
func peekObject(b []byte) (o object, ok bool) {
	if len(b) == 0 {
		return o, false
	}

	if c := b[0]; c < 0xc4 || c >= 0xe0 {
		o, ok = narrow(c)
	} else {
		o, ok = peekWide(b)
	}

	if !ok || o.body > len(b)-o.head {
		return o, false
	}

	if o.kind == kindExt {
		o.ext = int8(b[o.head])
	}

	return o, true
}

// narrow reads a type byte that holds the length too.
func narrow(c byte) (o object, ok bool) {
	o.head = 1

	switch {
	case c < 0x80:
		o.kind = kindUint
	case c < 0x90:
		o.kind, o.count = kindMap, int(c&15)
	case c < 0xa0:
		o.kind, o.count = kindArray, int(c&15)
	case c < 0xc0:
		o.kind, o.body = kindStr, int(c&31)
	case c >= 0xe0:
		o.kind = kindInt
	case c == 0xc0:
		o.kind = kindNil
	case c == 0xc2 || c == 0xc3:
		o.kind = kindBool
	default:
		return o, false
	}

	return o, true
}

// peekWide reads a type byte from 0xc4 to 0xdf and the length behind it.
func peekWide(b []byte) (o object, ok bool) {
	w := wide[b[0]-0xc4]
	if len(b) < 1+w.length {
		return o, false
	}

	n := int(bigEndian(b[1 : 1+w.length]))

	o.kind, o.head = w.kind, 1+w.length
	if w.kind == kindArray || w.kind == kindMap {
		o.count = n
	} else {
		o.body = n + w.data
	}

	return o, true
}

func bigEndian(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}

	return v
}

// skipObject returns the length of the value at the start of b with all it contains, or 0
// when b ends too early. It does not recurse: the sender chooses the depth.
func skipObject(b []byte) int {
	at, todo := 0, 1
	for todo > 0 {
		o, ok := peekObject(b[at:])
		if !ok {
			return 0
		}

		at += o.head + o.body

		todo += o.count - 1
		if o.kind == kindMap {
			todo += o.count
		}

		if todo > len(b)-at {
			return 0
		}
	}

	return at
}

func (o object) uint(b []byte) uint64 {
	if o.body == 0 {
		return uint64(b[0])
	}

	return bigEndian(b[1 : 1+o.body])
}

func (o object) int(b []byte) int64 {
	if o.body == 0 {
		return int64(int8(b[0]))
	}

	shift := 64 - 8*o.body

	return int64(bigEndian(b[1:1+o.body])<<shift) >> shift
}

func (o object) float(b []byte) float64 {
	if o.body == 4 {
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b[1:])))
	}

	return math.Float64frombits(binary.BigEndian.Uint64(b[1:]))
}

// JSON writes the record's map as JSON with its keys in their order, integers as
// integers and a double in the shortest form that reads back the same. Binary values
// become base64, extensions and infinite numbers null.
func (r Record) JSON() []byte {
	out, _ := appendJSON(nil, r.Event)
	return out
}

func appendJSON(dst, b []byte) (out, rest []byte) {
	o, ok := peekObject(b)
	if !ok {
		return append(dst, "null"...), nil
	}

	data, rest := b[o.head:o.head+o.body], b[o.head+o.body:]
	switch o.kind {
	case kindBool:
		return strconv.AppendBool(dst, b[0] == 0xc3), rest
	case kindUint:
		return strconv.AppendUint(dst, o.uint(b), 10), rest
	case kindInt:
		return strconv.AppendInt(dst, o.int(b), 10), rest
	case kindFloat:
		if f := o.float(b); !math.IsInf(f, 0) && !math.IsNaN(f) {
			return strconv.AppendFloat(dst, f, 'g', -1, 64), rest
		}
	case kindStr:
		return appendString(dst, string(data)), rest
	case kindBin:
		return appendString(dst, base64.StdEncoding.EncodeToString(data)), rest
	case kindArray, kindMap:
		return appendContainer(dst, rest, o)
	}

	return append(dst, "null"...), rest
}

func appendContainer(dst, b []byte, o object) (out, rest []byte) {
	first, last := byte('['), byte(']')
	if o.kind == kindMap {
		first, last = '{', '}'
	}

	dst = append(dst, first)

	for i := range o.count {
		if i > 0 {
			dst = append(dst, ',')
		}

		if o.kind == kindMap {
			dst, b = appendJSON(dst, b)
			dst = append(dst, ':')
		}

		dst, b = appendJSON(dst, b)
	}

	return append(dst, last), b
}

func appendString(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		return append(dst, `""`...) // not possible: a string always has a JSON form
	}

	return append(dst, text...)
}
