package terminal

import (
	"strings"
	"testing"
)

func TestTextsAreBrokenWhereAPersonCanReadThem(t *testing.T) {
	cases := map[string]struct {
		text    string
		columns int
		want    string
	}{
		"a short text":        {"one two", 20, "one two"},
		"between words":       {"one two three", 8, "one two\n  three"},
		"a long word stays":   {"https://login.example/abcdefgh on", 10, "https://login.example/abcdefgh\n  on"},
		"line ends stay":      {"one\ntwo", 20, "one\ntwo"},
		"a command stays":     {"run defenderctl tokens list --json", 20, "run\n  defenderctl tokens list --json"},
		"wide characters":     {"一二 三四", 6, "一二\n  三四"},
		"a quoted argument":   {"run chmod 600 '/etc/my file'", 10, "run\n  chmod 600 '/etc/my file'"},
		"an empty text stays": {"", 10, ""},
	}

	for name, c := range cases {
		if got := Wrap(c.text, "  ", c.columns); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestATableFitsTheTerminal(t *testing.T) {
	header := []string{"NAME", "ID", "FOUND"}
	rows := func() [][]string {
		return [][]string{
			{"a customer with a long name", "11111111-2222-3333-4444-555555555555", "ok"},
			{"b\x1b[31m", "", "failing"},
		}
	}

	for _, columns := range []int{0, 40, 60, 100} {
		var b strings.Builder

		Table(&Output{W: &b, Columns: func() int { return columns }}, header, rows(), 1, 0)

		for line := range strings.Lines(b.String()) {
			if n := Width(strings.TrimRight(line, "\n")); columns > 0 && n > columns {
				t.Errorf("%d columns: a line of %d: %s", columns, n, line)
			}

			if strings.Contains(line, "\x1b") {
				t.Errorf("a control character reached the terminal: %q", line)
			}
		}

		if shown := strings.Contains(b.String(), rows()[0][1]); shown != (columns == 0 || columns == 100) {
			t.Errorf("%d columns: the whole id is shown: %t\n%s", columns, shown, b.String())
		}
	}
}

func TestColumnsAreLeftOutUntilATableFits(t *testing.T) {
	var b strings.Builder

	out := &Output{W: &b, Columns: func() int { return 40 }}
	rows := [][]string{{"contoso", strings.Repeat("x", 30), strings.Repeat("y", 30)}}

	header, rows := Without(out, []string{"NAME", "FIRST", "SECOND"}, rows, "SECOND", "FIRST")
	if len(header) != 2 || header[1] != "FIRST" || len(rows[0]) != 2 {
		t.Errorf("%v %v", header, rows)
	}
}
