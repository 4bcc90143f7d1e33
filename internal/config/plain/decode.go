package plain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrEncoding is returned by Decode. It completes a sentence that begins with the name
// of a file.
var ErrEncoding = errors.New("is neither UTF-8 nor UTF-16 text: save it as UTF-8")

// Decode returns a text that people or Windows programs wrote, as UTF-8 without a byte
// order mark. It reads UTF-8 and UTF-16 in both byte orders, each with or without the
// mark. It recognises UTF-16 without a mark by the zero bytes in ASCII characters, so
// that a secret in it is not read as another one.
func Decode(data []byte) ([]byte, error) {
	if order, body := UTF16Order(data); order != nil {
		return decodeUTF16(order, body)
	}

	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, ErrEncoding
	}

	return data, nil
}

// UTF16Order returns the byte order of UTF-16 data, and the data without its byte order
// mark. Without a mark the order is known by where the zero bytes of the first character
// are, if that is an ASCII one. The order is nil if data is not UTF-16.
func UTF16Order(data []byte) (order binary.ByteOrder, body []byte) {
	switch {
	case len(data) < 2:
		return nil, data
	case data[0] == 0xff && data[1] == 0xfe:
		return binary.LittleEndian, data[2:]
	case data[0] == 0xfe && data[1] == 0xff:
		return binary.BigEndian, data[2:]
	case data[0] != 0 && data[1] == 0:
		return binary.LittleEndian, data
	case data[0] == 0 && data[1] != 0:
		return binary.BigEndian, data
	}

	return nil, data
}

// FromUTF16 returns the text of UTF-16 data without a byte order mark, and false if there
// is half a character at the end.
func FromUTF16(order binary.ByteOrder, body []byte) (text string, ok bool) {
	if len(body)%2 != 0 {
		return "", false
	}

	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = order.Uint16(body[2*i:])
	}

	return string(utf16.Decode(units)), true
}

// decodeUTF16 is Decode for UTF-16.
func decodeUTF16(order binary.ByteOrder, body []byte) ([]byte, error) {
	text, ok := FromUTF16(order, body)
	if !ok || strings.ContainsRune(text, unicode.ReplacementChar) || strings.IndexByte(text, 0) >= 0 {
		return nil, ErrEncoding
	}

	return []byte(text), nil
}
