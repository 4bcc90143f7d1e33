package plain

import "testing"

func TestNothingLeavesItsLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "grüße": "grüße", "a\nb": `a\nb`, "\x1b[31m": `\x1b[31m`, "\xff": `\xff`, "\u202e": `\u202e`, "0123456789": "01234567…", "\u2028": `\u2028`,
	} {
		if got := Text(in, 8); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if Quoted("x") != `"x"` {
		t.Error("not quoted")
	}
}
