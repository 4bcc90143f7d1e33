package ocsf

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"fluent-bit-defender/internal/jsontext"
	"fluent-bit-defender/internal/record/msgpack"
)

// A span is where a value is in the row. An empty span is no value.
type span struct {
	from, to uint32
	used     bool // the event has the value in a place of its own
	plain    bool // it is a text without escapes
}

// is reports whether there is a value.
func (v span) is() bool { return v.to > v.from }

// A scanner finds values in a row, and checks that they are JSON (RFC 8259). It does not
// check UTF-8. A method returns the offset behind what it has read. If that is not JSON,
// it returns failed, and sets at to the offset of the fault.
type scanner struct {
	src []byte
	at  int
	// escapes counts the escapes that were read: it shows whether a text has any.
	escapes int
	arrays  []uint64 // one bit for each container around the present place: whether it is an array
}

// failed is returned in place of an offset.
const failed = -1

// fail notes that there is no JSON at i, and returns failed.
func (s *scanner) fail(i int) int {
	s.at = min(i, len(s.src))
	return failed
}

// object reads the object at src[i], and stores in found where the values of the fields
// below n are. If a key is there several times, in any case, the first value that is not
// null counts.
func (s *scanner) object(n *node, found []span, i int) int {
	i = s.space(i + 1)
	if s.peek(i) == '}' {
		return i + 1
	}

	for {
		key, value := s.member(i)
		if value < 0 {
			return failed
		}

		end := s.known(n.lookup(key), found, value)
		if end < 0 {
			return failed
		}

		switch i = s.space(end); s.peek(i) {
		case ',':
			i = s.space(i + 1)
		case '}':
			return i + 1
		default:
			return s.fail(i)
		}
	}
}

// known reads the value at src[i] of a field, and stores where it is. n is nil for a
// field that is not in the shape.
func (s *scanner) known(n *node, found []span, i int) int {
	if n == nil || found[n.at].is() || s.peek(i) == 'n' {
		return s.value(i)
	}

	end, escapes := 0, s.escapes
	if n.children != nil && s.peek(i) == '{' {
		end = s.object(n, found, i)
	} else {
		end = s.value(i)
	}

	if end > 0 {
		found[n.at] = span{from: uint32(i), to: uint32(end), plain: s.escapes == escapes}
	}

	return end
}

// member reads a key and its colon. It returns the key without escapes, and the offset of
// the value.
func (s *scanner) member(i int) (key []byte, value int) {
	if s.peek(i) != '"' {
		return nil, s.fail(i)
	}

	escapes := s.escapes

	end := s.text(i)
	if end < 0 {
		return nil, failed
	}

	key = s.src[i+1 : end-1]
	if s.escapes != escapes {
		_, key = unescape(nil, s.src, i)
	}

	if i = end; s.peek(i) != ':' {
		if i = s.space(i); s.peek(i) != ':' {
			return nil, s.fail(i)
		}
	}

	if i++; s.peek(i) > ' ' {
		return key, i
	}

	return key, s.space(i)
}

// value reads any value.
func (s *scanner) value(i int) int {
	switch c := s.peek(i); c {
	case '"':
		return s.text(i)
	case '{', '[':
		return s.container(i)
	case 't':
		return s.literal(i, len("true"), jsontext.IsTrue(s.src, i))
	case 'f':
		return s.literal(i, len("false"), jsontext.IsFalse(s.src, i))
	case 'n':
		return s.literal(i, len("null"), jsontext.IsNull(s.src, i))
	default:
		return s.number(i)
	}
}

// container reads an object or array, however deep it nests.
func (s *scanner) container(i int) int {
	for depth := 0; ; {
		switch c := s.peek(i); c {
		case '{', '[':
			s.push(depth, c == '[')
			depth++

			if i = s.space(i + 1); s.peek(i) == c+2 { // ']' and '}' come two after their partners
				i++
				depth--

				break
			}

			if c == '{' {
				if _, i = s.member(i); i < 0 {
					return failed
				}
			}

			continue
		default:
			if i = s.value(i); i < 0 {
				return failed
			}
		}

		if i, depth = s.behind(i, depth); i < 0 || depth == 0 {
			return i
		}
	}
}

// behind reads what follows a value inside depth containers: the ends of as many of them
// as end here, then a comma and, in an object, the next key. It returns the offset of the
// next value and how many containers are around it, or of the end if it is 0.
func (s *scanner) behind(i, depth int) (next, around int) {
	for ; depth > 0; depth-- {
		array := s.arrays[(depth-1)>>6]>>((depth-1)&63)&1 != 0
		i = s.space(i)

		switch c := s.peek(i); {
		case c == ',' && array:
			return s.space(i + 1), depth
		case c == ',':
			_, i = s.member(s.space(i + 1))
			return i, depth
		case array != (c == ']') || !array && c != '}':
			return s.fail(i), depth
		}

		i++
	}

	return i, 0
}

// push notes that a container begins inside depth others.
func (s *scanner) push(depth int, array bool) {
	if depth>>6 == len(s.arrays) {
		s.arrays = append(s.arrays, 0)
	}

	bit := uint64(1) << (depth & 63)
	if s.arrays[depth>>6] &^= bit; array {
		s.arrays[depth>>6] |= bit
	}
}

// peek returns the byte at i, 0 behind the end.
func (s *scanner) peek(i int) byte {
	if uint(i) < uint(len(s.src)) {
		return s.src[i]
	}

	return 0
}

// space returns the offset of the first byte from i on that is not white space.
func (s *scanner) space(i int) int { return jsontext.SkipSpace(s.src, i) }

// text reads the string whose opening quote is src[i].
func (s *scanner) text(i int) int {
	src := s.src

	for i++; ; {
		for len(src)-i >= 8 {
			m := jsontext.Special(binary.LittleEndian.Uint64(src[i:]))
			if m == 0 {
				i += 8
				continue
			}

			if i += bits.TrailingZeros64(m) >> 3; src[i] == '"' {
				return i + 1
			}

			break
		}

		switch c := s.peek(i); {
		case c == '"':
			return i + 1
		case c == '\\':
			n := escapeLength(src[i:])
			if n == 0 {
				return s.fail(i)
			}

			s.escapes++
			i += n
		case c < ' ':
			return s.fail(i)
		default:
			i++ // one of the last bytes of src
		}
	}
}

// escapeLength returns the length of the escape at the start of b, 0 if it is none.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}

	switch {
	case jsontext.Unescaped[b[1]] != 0:
		return 2
	case jsontext.EscapedUnit(b) >= 0:
		return 6
	}

	return 0
}

// literal returns the offset behind a literal of n bytes that begins at i. It fails if
// the literal is not there.
func (s *scanner) literal(i, n int, there bool) int {
	if !there {
		return s.fail(i)
	}

	return i + n
}

// number reads a number (RFC 8259 §6).
func (s *scanner) number(i int) int {
	if s.peek(i) == '-' {
		i++
	}

	first := i
	if i = s.digits(i); i == first || i > first+1 && s.src[first] == '0' {
		return s.fail(first)
	}

	if s.peek(i) == '.' {
		first = i + 1
		if i = s.digits(first); i == first {
			return s.fail(i)
		}
	}

	if s.peek(i)|0x20 != 'e' {
		return i
	}

	i++
	if c := s.peek(i); c == '+' || c == '-' {
		i++
	}

	first = i
	if i = s.digits(i); i == first {
		return s.fail(i)
	}

	return i
}

// digits returns the offset of the first byte from i on that is not a digit.
func (s *scanner) digits(i int) int {
	for s.peek(i)-'0' < 10 {
		i++
	}

	return i
}

// escaped reports whether the content of a JSON string has escapes.
func escaped(content []byte) bool {
	for len(content) >= 8 {
		if jsontext.Backslash(binary.LittleEndian.Uint64(content)) != 0 {
			return true
		}

		content = content[8:]
	}

	for _, c := range content {
		if c == '\\' {
			return true
		}
	}

	return false
}

// unescape appends the text of the JSON string at src[i], which is valid, to dst as a
// msgpack str. It returns dst, and the text alone.
func unescape(dst, src []byte, i int) (all, text []byte) {
	end := (&scanner{src: src}).text(i)
	dst = slices.Grow(dst, end-i+msgpack.Slack)
	from := len(dst)
	to, _ := msgpack.Text(dst[:cap(dst)], from, src, i+1)
	all = dst[:to]

	switch all[from] {
	case msgpack.Str8:
		return all, all[from+2:]
	case msgpack.Str16:
		return all, all[from+3:]
	case msgpack.Str32:
		return all, all[from+5:]
	}

	return all, all[from+1:]
}
