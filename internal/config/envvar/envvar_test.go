package envvar

import (
	"slices"
	"testing"
)

func TestVariablesAreReplacedAsFluentBitDoes(t *testing.T) {
	lookup := func(name string) (string, bool) {
		v, ok := map[string]string{"A": "one", "EMPTY": "", "NESTED": "${A}"}[name]
		return v, ok
	}

	for _, c := range []struct {
		in, want string
		unset    []string
	}{
		{in: "plain", want: "plain"},
		{in: "", want: ""},
		{in: "${A}", want: "one"},
		{in: "x${A}y${A}z", want: "xoneyonez"},
		{in: "${NESTED}", want: "${A}"},
		{in: "${A:-two}", want: "one"},
		{in: "${B:-two}", want: "two"},
		{in: "${B:-}", want: ""},
		{in: "${EMPTY}", want: ""},
		{in: "${EMPTY:-two}", want: "two"},
		{in: "${B}", want: "", unset: []string{"B"}},
		{in: "${B}${C}${B}", want: "", unset: []string{"B", "C"}},
		{in: "${A:B:-two}", want: "", unset: []string{"A:B:-two"}},
		{in: "${A", want: "${A"},
		{in: "${}", want: "${}"},
		{in: "$A", want: "$A"},
		{in: "}${A}", want: "}${A}"},
		{in: "${A}x}${A}", want: "one${A}"},
	} {
		got, unset := Expand(c.in, lookup)
		if got != c.want || !slices.Equal(unset, c.unset) {
			t.Errorf("%q: got %q, not set %q; want %q, %q", c.in, got, unset, c.want, c.unset)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("x${A}y${B:-}}${")
	f.Fuzz(func(t *testing.T, s string) {
		names := 0

		Expand(s, func(string) (string, bool) {
			names++
			return "", false
		})

		if names > len(s)/len("${x}") {
			t.Errorf("%q: %d names were looked up", s, names)
		}
	})
}
