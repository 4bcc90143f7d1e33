package record

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// extensionText returns a value as the extension can hold it: without control characters
// other than line breaks, without spaces at its ends, and cut to limit bytes (0: no
// limit).
func extensionText(s string, limit int) string {
	s = strings.Trim(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\r' {
			return -1
		}

		return r
	}, s), " ")
	if limit > 0 {
		s = cutText(s, limit)
	}

	return s
}

// headerText returns a value as the header can hold it: as extensionText, but with a
// space in place of each line break.
func headerText(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return -1
		}

		return r
	}, strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n"))

	return cutText(strings.Trim(strings.ReplaceAll(s, "\n", " "), " "), limit)
}

// cutText cuts s to at most limit bytes, between characters, and leaves no space at the
// end.
func cutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}

	if limit <= 0 {
		return ""
	}

	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}

	return strings.TrimRight(s[:limit], " ")
}

// cutEscaped cuts s so that no more than limit bytes are left of it once it is escaped.
func cutEscaped(s string, limit int) string {
	n := 0
	for i, r := range s {
		n += utf8.RuneLen(r)
		switch r {
		case '\\', '=', '\n', '\r':
			n++
		}

		if n > limit {
			return strings.TrimRight(s[:i], " ")
		}
	}

	return s
}

// escapedLen returns the length of s in the extension, once it is escaped.
func escapedLen(s string) int {
	n := len(s)
	for i := range len(s) {
		switch s[i] {
		case '\\', '=', '\n', '\r':
			n++
		}
	}

	return n
}

// appendEscaped appends s with escapes for the backslash and the special byte, which is
// "|" in the header and "=" in the extension. Line breaks, which only the extension has,
// become \n and \r.
func appendEscaped(dst []byte, s string, special byte) []byte {
	for i := range len(s) {
		switch b := s[i]; b {
		case '\\', special:
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, b)
		}
	}

	return dst
}
