package page

import (
	"encoding/binary"
	"math/bits"

	"fluent-bit-defender/internal/jsontext"
)

// A scanner finds the end of one JSON value in text that arrives in pieces. It follows
// strings and counts brackets. It does not check that the text between them is JSON, nor
// that brackets match in kind: internal/record does.
type scanner struct {
	scalar   bool // a number or literal: it ends before the next delimiter
	inString bool
	escaped  bool // the last byte was a backslash within a string
	depth    int  // open brackets
}

// newScanner returns the scanner for a value with the given first byte. That byte must be
// passed to scan too. ok is false if no JSON value begins with it.
func newScanner(first byte) (s scanner, ok bool) {
	switch first {
	case '{', '[', '"':
		return scanner{}, true
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 't', 'f', 'n':
		return scanner{scalar: true}, true
	}

	return scanner{}, false
}

// The meanings of a byte outside strings.
const (
	other = iota
	quote
	opening
	closing
)

var meaning = [256]uint8{'"': quote, '{': opening, '[': opening, '}': closing, ']': closing}

// scan continues with the bytes b. It returns how many of them belong to the value, and
// whether the value ends there.
func (s *scanner) scan(b []byte) (n int, done bool) {
	if s.scalar {
		for i, c := range b {
			if jsontext.EndsScalar(c) {
				return i, true
			}
		}

		return len(b), false
	}

	i := 0
	if s.inString {
		if i = s.stringEnd(b, 0); s.inString {
			return i, false
		}

		if s.depth == 0 {
			return i, true
		}
	}

	for i < len(b) {
		c := b[i]
		i++

		switch meaning[c] {
		case quote:
			s.inString = true
			if i = s.stringEnd(b, i); s.inString {
				return i, false
			}

			if s.depth == 0 {
				return i, true
			}
		case opening:
			s.depth++
		case closing:
			if s.depth--; s.depth == 0 {
				return i, true
			}
		}
	}

	return i, false
}

// stringEnd returns the offset behind the quote that ends the string, where b[i:] is
// inside that string, and clears inString. It returns len(b) if the string does not end
// in b.
func (s *scanner) stringEnd(b []byte, i int) int {
	if s.escaped && i < len(b) {
		s.escaped = false
		i++
	}

	for {
		for len(b)-i >= 8 { // eight bytes at a time up to the next quote or backslash
			if m := jsontext.QuoteOrBackslash(binary.LittleEndian.Uint64(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}

			i += 8
		}

		for i < len(b) && b[i] != '"' && b[i] != '\\' {
			i++
		}

		if i >= len(b) {
			return len(b)
		}

		if b[i] == '"' {
			s.inString = false
			return i + 1
		}

		if i += 2; i > len(b) {
			s.escaped = true
			return len(b)
		}
	}
}
