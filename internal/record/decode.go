package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"fluent-bit-defender/internal/record/msgpack"
	"fluent-bit-defender/internal/tick"
)

// Next splits a batch of events into the first one and the rest. It finds the end of
// the event and does not look at its meaning. The error wraps ErrMalformed: the batch
// is empty, cut, or nothing that this package wrote.
func Next(batch []byte) (event, rest []byte, err error) {
	if len(batch) == 0 || batch[0] != msgpack.FixArray|2 {
		return nil, batch, fmt.Errorf("%w: no event begins here", ErrMalformed)
	}

	p, left := 0, 1 // left: values still to come
	for left > 0 {
		head, size, count, ok := header(batch[p:])
		if !ok || size > len(batch)-p-head {
			return nil, batch, fmt.Errorf("%w: cut or foreign at byte %d", ErrMalformed, p)
		}

		p += head + size
		left += count - 1
	}

	return batch[:p:p], batch[p:], nil
}

// header reads the beginning of a msgpack value. It returns the length of its type and
// size bytes, the number of content bytes that follow, and how many values it contains.
func header(b []byte) (head, size, count int, ok bool) {
	if len(b) == 0 {
		return 0, 0, 0, false
	}

	switch c := b[0]; {
	case isSmallInt(c), c == msgpack.Nil, c == msgpack.False, c == msgpack.True:
		return 1, 0, 0, true
	case c < msgpack.FixArray: // fixmap
		return 1, 0, 2 * int(c&0x0f), true
	case c < msgpack.FixStr: // fixarray
		return 1, 0, int(c & 0x0f), true
	case c < msgpack.Nil: // fixstr
		return 1, int(c & 0x1f), 0, true
	}

	if size := fixedSize(b[0]); size > 0 {
		return 1, size, 0, true
	}

	return sizedHeader(b)
}

// isSmallInt reports whether a value that begins with c is an integer of one byte.
func isSmallInt(c byte) bool { return c < msgpack.FixMap || c >= msgpack.Negative }

// fixedSize returns the number of content bytes of a type whose values all have the same
// size, and 0 for other types.
func fixedSize(c byte) int {
	switch {
	case c >= msgpack.Uint8 && c <= msgpack.Uint64:
		return 1 << (c - msgpack.Uint8)
	case c >= msgpack.Int8 && c <= msgpack.Int64:
		return 1 << (c - msgpack.Int8)
	case c == msgpack.Float64:
		return 8
	case c == msgpack.FixExt8:
		return 1 + 8 // with the type of the extension
	}

	return 0
}

// sizedHeader is header for the types whose size or count is a number behind b[0].
func sizedHeader(b []byte) (head, size, count int, ok bool) {
	switch c := b[0]; c {
	case msgpack.Str8, msgpack.Str16, msgpack.Str32:
		n, width, ok := size32(b, 1<<(c-msgpack.Str8))
		return 1 + width, n, 0, ok
	case msgpack.Array16, msgpack.Array32:
		n, width, ok := size32(b, 2<<(c-msgpack.Array16))
		return 1 + width, 0, n, ok
	case msgpack.Map16, msgpack.Map32:
		n, width, ok := size32(b, 2<<(c-msgpack.Map16))
		return 1 + width, 0, 2 * n, ok
	}

	return 0, 0, 0, false
}

// size32 reads the big-endian number of the given width behind b[0].
func size32(b []byte, width int) (n, w int, ok bool) {
	if len(b) < 1+width {
		return 0, 0, false
	}

	return int(bigEndian(b[1 : 1+width])), width, true
}

// bigEndian returns the unsigned number of at most 8 bytes in b.
func bigEndian(b []byte) uint64 {
	var u uint64
	for _, c := range b {
		u = u<<8 | uint64(c)
	}

	return u
}

// Decode returns the time of an event and its record as one line of JSON. Keys keep
// their order and integers are exact. Doubles have the shortest form that reads back as
// the same number, always with a point or an exponent. Strings have no more escapes than
// JSON requires. Decode is for tests, the CLI and the demo. The error wraps ErrMalformed.
func Decode(event []byte) (at tick.Tick, json []byte, err error) {
	const timeSize = atRecord
	if len(event) < timeSize+1 ||
		!bytes.Equal(event[:atTime], []byte{msgpack.FixArray | 2, msgpack.FixArray | 2, msgpack.FixExt8, 0}) ||
		event[timeSize-1] != msgpack.FixMap {
		return 0, nil, fmt.Errorf("%w: it does not begin with [[EventTime, {}]", ErrMalformed)
	}

	sec, nsec := binary.BigEndian.Uint32(event[atTime:]), binary.BigEndian.Uint32(event[atTime+4:])
	at = tick.Tick(sec)*tick.Second + tick.Tick(nsec/100)

	d := decoder{b: event, p: timeSize}
	if !isMap(event[timeSize]) {
		return 0, nil, fmt.Errorf("%w: its record is not a map", ErrMalformed)
	}

	json, ok := d.value(make([]byte, 0, len(event)+len(event)/4), 1)
	if !ok || d.p != len(event) {
		return 0, nil, fmt.Errorf("%w: at byte %d", ErrMalformed, d.p)
	}

	return at, json, nil
}

// A decoder writes the msgpack value at b[p] as JSON.
type decoder struct {
	b []byte
	p int
}

// value appends the next value to dst; depth is the number of containers around it, and
// one more. It reports whether the value is whole and of a type that this package writes.
func (d *decoder) value(dst []byte, depth int) ([]byte, bool) {
	head, size, count, ok := header(d.b[d.p:])
	if !ok || depth > MaxDepth+1 || size > len(d.b)-d.p-head || count > len(d.b)-d.p-head {
		return dst, false
	}

	c, body := d.b[d.p], d.b[d.p+head:d.p+head+size]
	d.p += head + size

	switch {
	case isStr(c):
		return appendQuoted(dst, body), true
	case isMap(c):
		return d.object(dst, count/2, depth)
	case isArray(c):
		return d.array(dst, count, depth)
	default:
		return appendScalar(dst, c, body)
	}
}

// appendScalar appends a number, a boolean or null. c is the first byte of its msgpack,
// body what follows. It reports whether c is one of these types.
func appendScalar(dst []byte, c byte, body []byte) ([]byte, bool) {
	switch {
	case c < msgpack.FixMap:
		return strconv.AppendUint(dst, uint64(c), 10), true
	case c >= msgpack.Negative:
		return strconv.AppendInt(dst, int64(int8(c)), 10), true
	case c == msgpack.Nil:
		return append(dst, "null"...), true
	case c == msgpack.False, c == msgpack.True:
		return strconv.AppendBool(dst, c == msgpack.True), true
	case c == msgpack.Float64:
		return appendFloat(dst, math.Float64frombits(bigEndian(body))), true
	case c >= msgpack.Uint8 && c <= msgpack.Uint64:
		return strconv.AppendUint(dst, bigEndian(body), 10), true
	case c >= msgpack.Int8 && c <= msgpack.Int64:
		unused := 64 - 8*len(body) // bits; shifting there and back extends the sign
		return strconv.AppendInt(dst, int64(bigEndian(body))<<unused>>unused, 10), true
	}

	return dst, false
}

// object appends the next n keys and values as a JSON object.
func (d *decoder) object(dst []byte, n, depth int) ([]byte, bool) {
	dst = append(dst, '{')

	for k := range n {
		if d.p >= len(d.b) || !isStr(d.b[d.p]) {
			return dst, false
		}

		if k > 0 {
			dst = append(dst, ',')
		}

		var ok bool
		if dst, ok = d.value(dst, depth+1); !ok {
			return dst, false
		}

		if dst, ok = d.value(append(dst, ':'), depth+1); !ok {
			return dst, false
		}
	}

	return append(dst, '}'), true
}

// array appends the next n values as a JSON array.
func (d *decoder) array(dst []byte, n, depth int) ([]byte, bool) {
	dst = append(dst, '[')

	for k := range n {
		if k > 0 {
			dst = append(dst, ',')
		}

		var ok bool
		if dst, ok = d.value(dst, depth+1); !ok {
			return dst, false
		}
	}

	return append(dst, ']'), true
}

// isStr, isMap and isArray report the type of a value that begins with c.
func isStr(c byte) bool { return c&^0x1f == msgpack.FixStr || c >= msgpack.Str8 && c <= msgpack.Str32 }
func isMap(c byte) bool { return c&^0x0f == msgpack.FixMap || c == msgpack.Map16 || c == msgpack.Map32 }
func isArray(c byte) bool {
	return c&^0x0f == msgpack.FixArray || c == msgpack.Array16 || c == msgpack.Array32
}

// appendFloat writes f as encoding/json does, but so that it stays recognisable as a
// double.
func appendFloat(dst []byte, f float64) []byte {
	start, form := len(dst), byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		form = 'e'
	}

	dst = strconv.AppendFloat(dst, f, form, -1, 64)
	if !bytes.ContainsAny(dst[start:], ".eIN") {
		dst = append(dst, ".0"...)
	}

	return dst
}

// appendQuoted writes s as a JSON string.
func appendQuoted(dst, s []byte) []byte {
	const digits = "0123456789abcdef"

	dst = append(dst, '"')
	done := 0

	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}

		dst = append(dst, s[done:i]...)
		done = i + 1

		if short := bytes.IndexByte([]byte("\"\\\b\f\n\r\t"), c); short >= 0 {
			dst = append(dst, '\\', `"\bfnrt`[short])
		} else {
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}

	return append(append(dst, s[done:]...), '"')
}
