package alert

import (
	"bytes"

	"github.com/tidwall/gjson"
)

// find looks up top-level fields of a JSON object in one pass, without copying: v gets
// their values as they are in raw. A field with exactly the name is preferred to one that
// differs in case, and of several the first counts. find stops as soon as it has found
// all fields. It also stops where raw is no longer JSON, and leaves what it found until
// then.
func find(raw []byte, names *fieldNames, v *[fieldCount][]byte) {
	var loose [fieldCount][]byte

	missing := 0

	for _, name := range names {
		if name != nil {
			missing++
		}
	}

	i := blank(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return
	}

	for i = blank(raw, i+1); missing > 0 && i < len(raw) && raw[i] == '"'; i = blank(raw, i) {
		end := textEnd(raw, i)
		if end < 0 {
			break
		}

		key := raw[i+1 : end-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			key = []byte(gjson.ParseBytes(raw[i:end]).Str)
		}

		if i = blank(raw, end); i >= len(raw) || raw[i] != ':' {
			break
		}

		from := blank(raw, i+1)
		if i = valueEnd(raw, from); i < 0 {
			break
		}

		for n, name := range names {
			switch {
			case name == nil || v[n] != nil:
			case string(key) == string(name):
				v[n] = raw[from:i]
				missing--
			case loose[n] == nil && alike(key, name):
				loose[n] = raw[from:i]
			}
		}

		if i = blank(raw, i); i < len(raw) && raw[i] == ',' {
			i++
		}
	}

	for n := range v {
		if v[n] == nil {
			v[n] = loose[n]
		}
	}
}

// alike reports whether a key differs from a name in case at most. Two texts of which one
// is longer can only be alike if it is not ASCII.
func alike(key, name []byte) bool {
	if len(key) < len(name) {
		return false
	}

	if len(key) == len(name) {
		return (key[0]|0x20) == (name[0]|0x20) && bytes.EqualFold(key, name)
	}

	return len(key) <= 3*len(name) && bytes.EqualFold(key, name)
}

// blank returns the first position from i on that is not white space.
func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}

	return i
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

	from := i
	for i < len(b) {
		switch b[i] {
		case ',', '}', ']', ' ', '\n', '\r', '\t', ':', '"', '{', '[':
			if i == from {
				return -1
			}

			return i
		}

		i++
	}

	return i
}
