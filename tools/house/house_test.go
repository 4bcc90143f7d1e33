package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write makes a module of the given files and returns its root.
func write(t *testing.T, files map[string]string) string {
	t.Helper()

	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}

		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return root
}

// check returns what the check says of a module, without the places.
func check(t *testing.T, files map[string]string) []string {
	t.Helper()

	root := write(t, files)

	tree, err := load(root)
	if err != nil {
		t.Fatal(err)
	}

	pages, err := loadPages(root)
	if err != nil {
		t.Fatal(err)
	}

	r := measure(tree)
	r.markdown(root, pages, collectNames(tree))
	r.picture(root, tree)
	r.owners(root, tree)

	var said []string

	for _, v := range r.violations {
		_, text, _ := strings.Cut(v, ": ")
		said = append(said, text)
	}

	return said
}

func TestEachViolationIsFound(t *testing.T) {
	long := strings.Repeat("x", 130)
	steps := strings.Repeat("\tprintln()\n", 20)

	for name, c := range map[string]struct {
		files map[string]string
		want  string // nothing: the module is clean
	}{
		"clean code": {
			files: map[string]string{"a.go": "// Package a is empty.\npackage a\n"},
		},
		"wide code": {
			files: map[string]string{"a.go": "package a\n\nvar s = \"" + long + "\"\n"},
			want:  "line of 140 columns, at most 120",
		},
		"wide comment": {
			files: map[string]string{"a.go": "// " + strings.Repeat("word ", 20) + "\npackage a\n"},
			want:  "comment of 103 columns, at most 90",
		},
		"wide comment in C": {
			files: map[string]string{"a.c": "/* " + strings.Repeat("word ", 20) + "*/\n"},
			want:  "105 columns, at most 90",
		},
		"wide comment in a script": {
			files: map[string]string{".ci/run": "# " + strings.Repeat("word ", 20) + "\n"},
			want:  "102 columns, at most 90",
		},
		"wide line in a configuration": {
			files: map[string]string{"a.yaml": "a: " + long + "\n"},
			want:  "133 columns, at most 120",
		},
		"an address in a configuration, and data": {
			files: map[string]string{
				"a.yaml":          "a: https://" + long + "\n",
				"a.json":          `"` + long + `"`,
				"testdata/a.yaml": long,
			},
		},
		"wide code in tools": {
			files: map[string]string{"tools/a.go": "package a\n\nvar s = \"" + long + "\"\n"},
			want:  "line of 140 columns, at most 120",
		},
		"address in a comment": {
			files: map[string]string{"a.go": "// https://example.com/" + long + "\npackage a\n"},
		},
		"solid function": {
			files: map[string]string{"a.go": "package a\n\nfunc solid() {\n" + steps + "}\n"},
			want:  "solid has 22 lines and no blank line",
		},
		"crowded literal": {
			files: map[string]string{"a.go": "package a\n\ntype p struct{ a, b, c, d int }\n\n" +
				"var x = p{a: 1, b: 2,\n\tc: 3, d: 4}\n"},
			want: "literal of 4 fields with several on a line",
		},
		"a long test": {
			files: map[string]string{"a_test.go": "package a\n\nfunc TestA() {\n" + steps + "\n" +
				strings.Repeat(steps, 3) + "}\n"},
			want: "TestA has 81 lines, at most 80 in a test",
		},
		"a long table in a test": {
			files: map[string]string{"a_test.go": "package a\n\nfunc TestA() {\n\t_ = []int{\n" +
				strings.Repeat("\t\t1,\n", 90) + "\t}\n\n" + steps + "}\n"},
		},
		"a test of many branches": {
			files: map[string]string{"a_test.go": "package a\n\nfunc TestA() {\n\n" +
				strings.Repeat("\tif true {\n\t}\n", 20) + "}\n"},
			want: "TestA has 21 branches, at most 20 in a test",
		},
		"a test of many levels": {
			files: map[string]string{"a_test.go": "package a\n\nfunc TestA() {\n" +
				strings.Repeat("\tif true {\n", maxTestDepth+1) + strings.Repeat("\t}\n", maxTestDepth+1) + "}\n"},
			want: fmt.Sprintf("TestA has %d levels, at most %d in a test", maxTestDepth+1, maxTestDepth),
		},
		"long test name": {
			files: map[string]string{"a_test.go": "package a\n\nfunc Test" + strings.Repeat("X", 60) + "() {}\n"},
			want:  "test name of 64 characters, at most 60",
		},
		"comment on a name that exists": {
			files: map[string]string{"a.go": "package a\n\n// readAll calls readOne.\nfunc readAll() {}\n\n" +
				"func readOne() {}\n"},
		},
		"comment on a name that does not": {
			files: map[string]string{"a.go": "package a\n\n// readAll calls readTwo.\nfunc readAll() {}\n"},
			want:  "the comment names readTwo, which does not exist",
		},
		"replaced word": {
			files: map[string]string{"a.go": "package a\n\n// ok tells whether all is well.\nfunc ok() {}\n"},
			want:  `"tells whether": the glossary says reports whether`,
		},
		"C outside of the plugin": {
			files: map[string]string{"a/a.go": "package a\n\nimport \"C\"\n"},
			want:  "only the folder plugin imports C",
		},
		"C in the plugin": {
			files: map[string]string{"plugin/a.go": "package main\n\nimport \"C\"\n"},
		},
		"wide prose": {
			files: map[string]string{"a.md": strings.Repeat("word ", 22) + "\n"},
			want:  "110 columns, at most 100",
		},
		"link to nothing": {
			files: map[string]string{"a.md": "[b](b.md)\n"},
			want:  "the link leads to b.md, which does not exist",
		},
		"link to a heading": {
			files: map[string]string{"a.md": "[b](b.md#two-words)\n", "b.md": "# Two words\n"},
		},
		"link to no heading": {
			files: map[string]string{"a.md": "[b](b.md#one)\n", "b.md": "# Two words\n"},
			want:  "the link leads to b.md#one, and there is no such heading",
		},
		"unknown key": {
			files: map[string]string{
				"a.md": "Set `poll_intervall`.\n",
				"a.go": "package a\n\nconst k = \"poll_interval\"\n",
			},
			want: "there is no key or name poll_intervall",
		},
		"unknown flag": {
			files: map[string]string{"a.md": "Use `--sinc T`.\n", "a.go": "package a\n\nconst f = \"since\"\n"},
			want:  "there is no flag --sinc",
		},
		"unknown file": {
			files: map[string]string{"a.md": "See `internal/b/c.go`.\n"},
			want:  "there is no file internal/b/c.go",
		},
	} {
		t.Run(name, func(t *testing.T) {
			said := check(t, c.files)
			switch {
			case c.want == "" && len(said) > 0:
				t.Errorf("a clean module has violations: %q", said)
			case c.want != "" && !slices.Contains(said, c.want):
				t.Errorf("said %q, want %q", said, c.want)
			}
		})
	}
}

func TestBranchesAreCountedAsLintersDo(t *testing.T) {
	root := write(t, map[string]string{"a.go": `package a

func f(x int) int {
	for x > 1 && x < 9 {
		if x == 2 || x == 3 {
			x++
		}
	}

	switch x {
	case 1:
	case 2:
	default:
	}

	return x
}
`})

	tree, err := load(root)
	if err != nil {
		t.Fatal(err)
	}

	if got := measure(tree).figures[product].branches.most; got != 7 {
		t.Errorf("%d branches, want 7", got)
	}
}

func TestEveryPackageHasARowInTheArchitecture(t *testing.T) {
	said := check(t, map[string]string{
		"go.mod": "module m\n",
		"ARCHITECTURE.md": "# Architecture\n\n## Who owns what\n\n| package | one thing |\n| --- | --- |\n" +
			"| `internal/a`, `…/beside` | all |\n\n## Locks\n\n| `cmd/other` | none |\n",
		"internal/a/a.go":       "package a\n",
		"internal/beside/a.go":  "package beside\n",
		"internal/a/below/b.go": "package below\n",
		"cmd/other/main.go":     "package main\n",
	})

	want := []string{
		`cmd/other has no row below "## Who owns what"`,
		`internal/a/below has no row below "## Who owns what"`,
	}
	if !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}

func TestThePictureOfThePackagesIsHeldAgainstTheImports(t *testing.T) {
	box := func(y, name string) string {
		return `<rect x="1" y="` + y + `" width="9"/>` + "\n" +
			`<text x="1" y="9" text-anchor="middle" font-weight="600">` + name + `</text>`
	}

	said := check(t, map[string]string{
		"go.mod":                   "module m\n",
		"docs/images/packages.svg": box("20", "a") + box("78", "b") + box("78", "gone"),
		"internal/a/a.go":          "package a\n\nimport _ \"m/internal/b\"\n",
		"internal/b/b.go":          "package b\n\nimport _ \"m/internal/a/below\"\n",
		"internal/a/below/b.go":    "package below\n",
		"internal/new/new.go":      "package fresh\n",
		"internal/test/kit.go":     "package kit\n\nimport _ \"m/internal/a\"\n",
	})

	for _, want := range []string{
		"docs/images/packages.svg draws internal/b not above what it imports: internal/a",
		"internal/new is missing",
		"there is no package internal/gone",
	} {
		i := slices.Index(said, want)
		if i < 0 {
			t.Errorf("%q is not found in %q", want, said)
			continue
		}

		said = slices.Delete(said, i, i+1)
	}

	if len(said) > 0 {
		t.Errorf("too much was said: %q", said)
	}
}
