package connector

import (
	"errors"
	"strings"
	"unicode/utf8"

	"fluent-bit-defender/internal/config/plain"
)

var errEncoding = errors.New("is neither UTF-8 nor UTF-16 text")

// decode returns the text of a file: UTF-8 or UTF-16, with or without a byte order mark
// (Windows editors write both), else ISO 8859-1, which is what Java's own files are in.
func decode(data []byte) (string, error) {
	if order, body := plain.UTF16Order(data); order != nil {
		text, ok := plain.FromUTF16(order, body)
		if !ok {
			return "", errEncoding
		}

		return text, nil
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
