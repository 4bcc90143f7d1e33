package record

import (
	"slices"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/record/msgpack"
)

// rename appends an underscore to the key in b[start:o] if records reserve that key, and
// returns the new end. It compares the decoded key, so it also finds one that is written
// with escapes.
func rename(b []byte, start, o int) int {
	switch b[start] {
	case msgpack.FixStr | 4:
		if string(b[start+1:o]) != "mssp" {
			return o
		}
	case msgpack.FixStr | 3:
		if string(b[start+1:o]) != "cef" {
			return o
		}
	default:
		return o
	}

	b[start]++
	b[o] = '_'

	return o + 1
}

// freeNames appends further underscores to renamed keys if the alert src also has a key
// with the new name. b is the output. Hardly any alert needs this.
func (t *transcoder) freeNames(b, src []byte) []byte {
	taken := make(map[string]bool)

	gjson.ParseBytes(src).ForEach(func(key, _ gjson.Result) bool {
		taken[key.String()] = true
		return true
	})

	for _, at := range slices.Backward(t.renamed) {
		end := at + 1 + int(b[at]&^msgpack.FixStr)
		name := string(b[at+1 : end])

		for taken[name] {
			name += "_"
		}

		b = slices.Replace(b, at, end, msgpack.AppendStr(nil, name)...)
	}

	return b
}
