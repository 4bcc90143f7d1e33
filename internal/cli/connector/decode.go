package connector

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

var errEncoding = errors.New("is neither UTF-8 nor UTF-16 text")

// decode returns the text of a file: UTF-8 or UTF-16, with or without a byte order mark
// (Windows editors write both), else ISO 8859-1, which is what Java's own files are in.
func decode(data []byte) (string, error) {
	if order, body := utf16Order(data); order != nil {
		if len(body)%2 != 0 {
			return "", errEncoding
		}

		units := make([]uint16, len(body)/2)
		for i := range units {
			units[i] = order.Uint16(body[2*i:])
		}

		return string(utf16.Decode(units)), nil
	}

	text := strings.TrimPrefix(string(data), "\ufeff")
	if strings.ContainsRune(text, 0) {
		return "", errEncoding
	}

	if utf8.ValidString(text) {
		return text, nil
	}

	latin := make([]rune, 0, len(text))
	for i := range len(text) {
		latin = append(latin, rune(text[i]))
	}

	return string(latin), nil
}

// utf16Order reports the byte order of UTF-16 data, by its mark, or by where the zero
// bytes of ASCII characters are; nil if it is not UTF-16. body is the data without the
// mark.
func utf16Order(data []byte) (order binary.ByteOrder, body []byte) {
	if len(data) < 2 {
		return nil, data
	}

	switch {
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
