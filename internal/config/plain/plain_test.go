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

func TestALineStaysOneAndInOrder(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "grüße": "grüße", "a\r\nb\tc": "a  b c", "\x1b[31mred\u009b0m": "[31mred0m", "\xff": "", "moc\u202eelpmaxe": "mocelpmaxe",
		"a\u2028b\u0085c\u200b": "a b c", "0123456789abcdefgh": "0123456789abc…", "0123456789abüüüü": "0123456789ab…",
	} {
		if got := Line(in, 16); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
