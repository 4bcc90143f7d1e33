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

// Decode returns the time of an event and its record as one line of JSON. Keys keep their
// order and integers are exact. Doubles have the shortest form that reads back as the
// same number, always with a point or an exponent. Strings have no more escapes than JSON
// requires. Decode is for tests and the CLI. The error wraps ErrMalformed.
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

// appendFloat writes f as encoding/json does, but always with a point or an exponent, so
// that it is recognised as a double.
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
