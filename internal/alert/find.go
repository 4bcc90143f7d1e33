package alert

import (
	"bytes"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/jsontext"
)

// find looks up top-level fields of a JSON object in one pass, without copying: v gets
// their values, byte for byte as raw has them. A field with exactly the name is preferred
// to one that differs in case, and of several the first counts. find stops as soon as it
// has found all fields. It also stops where raw is no longer JSON, and v then has what
// it has found so far.
func find(raw []byte, names *fieldNames, v *[fieldCount][]byte) {
	i := jsontext.SkipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return
	}

	var alikes [fieldCount][]byte // values of fields whose names differ in case

	i = jsontext.SkipSpace(raw, i+1)
	for missing := names.count(); missing > 0; {
		key, value, end := member(raw, i)
		if end < 0 {
			break
		}

		for n, name := range names {
			switch {
			case name == nil || v[n] != nil:
			case string(key) == string(name):
				v[n] = value
				missing--
			case alikes[n] == nil && alike(key, name):
				alikes[n] = value
			}
		}

		i = skipComma(raw, end)
	}

	for n := range v {
		if v[n] == nil {
			v[n] = alikes[n]
		}
	}
}

// count returns how many names there are.
func (f *fieldNames) count() int {
	n := 0

	for _, name := range f {
		if name != nil {
			n++
		}
	}

	return n
}

// member reads the member of an object that begins at i. It returns its key without
// escapes, its value as it is in raw, and the position behind it. That is -1 if there is
// no member at i, or if it is not JSON.
func member(raw []byte, i int) (key, value []byte, end int) {
	if i >= len(raw) || raw[i] != '"' {
		return nil, nil, -1
	}

	keyEnd := textEnd(raw, i)
	if keyEnd < 0 {
		return nil, nil, -1
	}

	key = raw[i+1 : keyEnd-1]
	if bytes.IndexByte(key, '\\') >= 0 {
		key = []byte(gjson.ParseBytes(raw[i:keyEnd]).Str)
	}

	colon := jsontext.SkipSpace(raw, keyEnd)
	if colon >= len(raw) || raw[colon] != ':' {
		return nil, nil, -1
	}

	from := jsontext.SkipSpace(raw, colon+1)

	end = valueEnd(raw, from)
	if end < 0 {
		return nil, nil, -1
	}

	return key, raw[from:end], end
}

// skipComma returns the first position from i on that is neither white space nor the
// comma between two members or elements.
func skipComma(b []byte, i int) int {
	i = jsontext.SkipSpace(b, i)
	if i < len(b) && b[i] == ',' {
		i = jsontext.SkipSpace(b, i+1)
	}

	return i
}

// alike reports whether a key and a name are equal but for their case. If they differ in
// length, they can only be equal if the key has letters beyond ASCII, as "ſ" for "s".
func alike(key, name []byte) bool {
	if len(key) < len(name) {
		return false
	}

	if len(key) == len(name) {
		return (key[0]|0x20) == (name[0]|0x20) && bytes.EqualFold(key, name)
	}

	return len(key) <= 3*len(name) && bytes.EqualFold(key, name)
}

// textEnd returns the position behind the string that begins at i, -1 if it does not end.
func textEnd(b []byte, i int) int {
	for i++; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}

		i += n

		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}

		if slashes%2 == 0 {
			return i + 1
		}
	}
}

// valueEnd returns the position behind the JSON value that begins at i, -1 if it does not
// end or there is none. Brackets are counted, not checked.
func valueEnd(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}

	switch b[i] {
	case '"':
		return textEnd(b, i)
	case '{', '[':
		for depth := 0; i < len(b); {
			switch b[i] {
			case '"':
				if i = textEnd(b, i); i < 0 {
					return -1
				}

				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}

			i++
		}

		return -1
	}

	return scalarEnd(b, i)
}

// scalarEnd is valueEnd for a number or a literal.
func scalarEnd(b []byte, i int) int {
	from := i
	for i < len(b) {
		if c := b[i]; jsontext.EndsScalar(c) || c == ':' || c == '"' || c == '{' || c == '[' {
			if i == from {
				return -1
			}

			return i
		}

		i++
	}

	return i
}
