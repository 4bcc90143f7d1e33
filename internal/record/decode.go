package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"fluent-bit-defender/internal/tick"
)

// Next splits a batch of events into the first one and the rest. It finds the end of
// the event and does not look at its meaning. The error wraps ErrMalformed: the batch
// is empty, cut, or nothing that this package wrote.
func Next(batch []byte) (event, rest []byte, err error) {
	if len(batch) == 0 || batch[0] != mpFixArray|2 {
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

// header reads what a msgpack value begins with: the length of its type and size bytes,
// the bytes that follow those, and how many values it contains.
func header(b []byte) (head, size, count int, ok bool) {
	if len(b) == 0 {
		return 0, 0, 0, false
	}

	switch c := b[0]; {
	case c < mpFixMap, c >= 0xe0, c == mpNil, c == mpFalse, c == mpTrue:
		return 1, 0, 0, true
	case c < mpFixArray:
		return 1, 0, 2 * int(c&0x0f), true
	case c < mpFixStr:
		return 1, 0, int(c & 0x0f), true
	case c < mpNil:
		return 1, int(c & 0x1f), 0, true
	case c >= mpUint8 && c <= mpUint64:
		return 1, 1 << (c - mpUint8), 0, true
	case c >= mpInt8 && c <= mpInt64:
		return 1, 1 << (c - mpInt8), 0, true
	case c == mpFloat64:
		return 1, 8, 0, true
	case c == mpFixExt8:
		return 1, 9, 0, true
	case c >= mpStr8 && c <= mpStr32:
		n, width, ok := size32(b, 1<<(c-mpStr8))
		return 1 + width, n, 0, ok
	case c == mpArray16, c == mpArray32:
		n, width, ok := size32(b, 2<<(c-mpArray16))
		return 1 + width, 0, n, ok
	case c == mpMap16, c == mpMap32:
		n, width, ok := size32(b, 2<<(c-mpMap16))
		return 1 + width, 0, 2 * n, ok
	}

	return 0, 0, 0, false
}

// size32 reads the big-endian number of the given width behind b[0].
func size32(b []byte, width int) (n, w int, ok bool) {
	if len(b) < 1+width {
		return 0, 0, false
	}

	for _, c := range b[1 : 1+width] {
		n = n<<8 | int(c)
	}

	return n, width, true
}

// Decode gives back what an event says: its time and its record as one line of JSON,
// keys in their order, integers exact, doubles in the shortest form that reads back as
// the same one and always with a point or an exponent, strings with no more escapes
// than JSON requires. It is for tests, the CLI and the demo. The error wraps
// ErrMalformed.
func Decode(event []byte) (at tick.Tick, json []byte, err error) {
	const timeSize = atRecord
	if len(event) < timeSize+1 ||
		!bytes.Equal(event[:atTime], []byte{mpFixArray | 2, mpFixArray | 2, mpFixExt8, 0}) ||
		event[timeSize-1] != mpFixMap {
		return 0, nil, fmt.Errorf("%w: it does not begin with [[EventTime, {}]", ErrMalformed)
	}

	sec, nsec := binary.BigEndian.Uint32(event[atTime:]), binary.BigEndian.Uint32(event[atTime+4:])
	at = tick.Tick(sec)*tick.Second + tick.Tick(nsec/100)

	d := decoder{b: event, p: timeSize}
	if c := event[timeSize]; c>>4 != mpFixMap>>4 && c != mpMap16 && c != mpMap32 {
		return 0, nil, fmt.Errorf("%w: its record is no map", ErrMalformed)
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

func (d *decoder) value(dst []byte, depth int) ([]byte, bool) {
	head, size, count, ok := header(d.b[d.p:])
	if !ok || depth > MaxDepth+1 || size > len(d.b)-d.p-head || count > len(d.b)-d.p-head {
		return dst, false
	}

	c, body := d.b[d.p], d.b[d.p+head:d.p+head+size]
	d.p += head + size

	switch {
	case c < mpFixMap:
		return strconv.AppendUint(dst, uint64(c), 10), true
	case c >= 0xe0:
		return strconv.AppendInt(dst, int64(int8(c)), 10), true
	case c == mpNil:
		return append(dst, "null"...), true
	case c == mpFalse, c == mpTrue:
		return strconv.AppendBool(dst, c == mpTrue), true
	case c == mpFloat64:
		return appendFloat(dst, math.Float64frombits(binary.BigEndian.Uint64(body))), true
	case c >= mpUint8 && c <= mpUint64:
		var u uint64
		for _, x := range body {
			u = u<<8 | uint64(x)
		}

		return strconv.AppendUint(dst, u, 10), true
	case c >= mpInt8 && c <= mpInt64:
		v := int64(int8(body[0]))
		for _, x := range body[1:] {
			v = v<<8 | int64(x)
		}

		return strconv.AppendInt(dst, v, 10), true
	case c >= mpFixStr && c < mpNil, c >= mpStr8 && c <= mpStr32:
		return appendQuoted(dst, body), true
	case c == mpFixExt8:
		return dst, false
	case c < mpFixArray, c == mpMap16, c == mpMap32:
		return d.members(dst, count/2, depth, true)
	default:
		return d.members(dst, count, depth, false)
	}
}

func (d *decoder) members(dst []byte, n, depth int, object bool) ([]byte, bool) {
	brackets := "[]"
	if object {
		brackets = "{}"
	}

	dst = append(dst, brackets[0])

	ok := true
	for k := 0; k < n && ok; k++ {
		if k > 0 {
			dst = append(dst, ',')
		}

		if object {
			if d.p >= len(d.b) || !isStr(d.b[d.p]) {
				return dst, false
			}

			if dst, ok = d.value(dst, depth+1); !ok {
				return dst, false
			}

			dst = append(dst, ':')
		}

		dst, ok = d.value(dst, depth+1)
	}

	return append(dst, brackets[1]), ok
}

func isStr(c byte) bool { return c >= mpFixStr && c < mpNil || c >= mpStr8 && c <= mpStr32 }

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
