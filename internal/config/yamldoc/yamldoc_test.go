package yamldoc

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHostileDocumentsAreRefusedWithTheirLine(t *testing.T) {
	for name, c := range map[string]struct {
		text, problem string
		line          int
	}{
		"empty":           {"", "is empty", 0},
		"comments only":   {"# nothing\n", "is empty", 0},
		"latin-1":         {"a: b\nc: \xe9\n", "is not UTF-8", 2},
		"utf-16":          {"\xff\xfea\x00:\x00", "is not UTF-8", 1},
		"two documents":   {"a: b\n---\nc: d\n", "more than one document", 2},
		"cut in a list":   {"a: [b, c\n", "is not YAML", 1},
		"tab indent":      {"a:\n\tb: c\n", "is not YAML", 2},
		"deep":            {strings.Repeat("[", 20000), "depth", 0},
		"secret as alias": {"a: *hush", "uses an alias that is not defined", 0},
		"garbage after":   {"a: b\n--- [\n", "is not YAML", 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))

			var e *Error
			if !errors.As(err, &e) || !strings.Contains(e.Error(), c.problem) || c.line != 0 && e.Line != c.line {
				t.Errorf("got %+v, want %q at line %d", err, c.problem, c.line)
			}
		})
	}
}

func TestAliasesAreNotFollowed(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: " +
		"[*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"

	n, err := Parse([]byte(bomb))
	if err != nil {
		t.Fatal(err)
	}

	if items := n.Content[7].Content; len(items) != 9 || len(items[0].Content) != 0 {
		t.Error("an alias was expanded")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a: b\n"))
	f.Add([]byte("\xef\xbb\xbf- 1\n- 2\n"))
	f.Add([]byte("&a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Parse(data)
		if (n == nil) == (err == nil) {
			t.Fatalf("node %v, error %v", n, err)
		}

		if err == nil && !utf8.Valid(data) {
			t.Error("accepted what is not UTF-8")
		}
	})
}
