package record

import (
	"fmt"

	"fluent-bit-defender/internal/record/msgpack"
)

// Next splits a batch of events into the first one and the rest. It finds the end of the
// event and does not look at its meaning. The error wraps ErrMalformed: the batch is
// empty, cut, or was not written by this package.
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
