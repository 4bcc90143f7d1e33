package plain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrEncoding is returned by Decode. It completes a sentence that begins with the name
// of a file.
var ErrEncoding = errors.New("is neither UTF-8 nor UTF-16 text: save it as UTF-8")

// Decode returns a text that people or Windows programs wrote as UTF-8 without a byte
// order mark. It reads UTF-8 and UTF-16 in both byte orders, each with or without the
// mark. UTF-16 without one is known by the zero bytes that it has in every ASCII
// character, so a secret in it is read and not taken for another.
func Decode(data []byte) ([]byte, error) {
	order, body := utf16Order(data)
	if order != nil {
		return decodeUTF16(order, body)
	}

	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, ErrEncoding
	}

	return data, nil
}

// utf16Order returns the byte order of UTF-16 data and the data without its mark; nil
// if it is not UTF-16.
func utf16Order(data []byte) (binary.ByteOrder, []byte) {
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

func decodeUTF16(order binary.ByteOrder, body []byte) ([]byte, error) {
	if len(body)%2 != 0 {
		return nil, ErrEncoding
	}

	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = order.Uint16(body[2*i:])
	}

	text := string(utf16.Decode(units))
	if bytes.ContainsRune([]byte(text), unicode.ReplacementChar) || bytes.IndexByte([]byte(text), 0) >= 0 {
		return nil, ErrEncoding
	}

	return []byte(text), nil
}
