package main

import (
	"fmt"
	"go/ast"
	"strings"
	"unicode/utf8"
)

// The bounds. A tab counts as four columns.
const (
	maxCodeWidth    = 120
	maxCommentWidth = 90
	maxTestName     = 60
	longFunction    = 20 // a function of this many lines needs at least one blank line

	// golangci-lint holds product code to narrower bounds. The rows of a table in a
	// test do not count as lines of it: they are data.
	maxTestBranches = 20
	maxTestLines    = 80
	maxTestDepth    = 6
	fieldsPerLine   = 3 // a literal with more fields has one a line
)

// report is what measure finds: the figures of each kind of source, and the violations.
type report struct {
	figures    [3]figures
	violations []string
}

// measure reads the whole tree once.
func measure(t *tree) *report {
	r := &report{}

	n := collectNames(t)
	for _, s := range t.sources {
		r.lines(t, s)
		r.functions(t, s)

		if s.kind == tool {
			continue
		}

		r.literals(t, s)
		r.imports(t, s)
		r.commentNames(t, s, n)
		r.glossary(t, s)
	}

	for _, f := range t.foreign {
		r.widths(f)
	}

	return r
}

func (r *report) add(s *source, line int, format string, args ...any) {
	r.violations = append(r.violations, fmt.Sprintf("%s:%d: %s", s.path, line, fmt.Sprintf(format, args...)))
}

// imports checks that C is in the folder plugin only. golangci-lint's depguard does not
// see files that use cgo.
func (r *report) imports(t *tree, s *source) {
	for _, i := range s.file.Imports {
		if i.Path.Value == `"C"` && !strings.HasPrefix(s.path, "plugin/") {
			r.add(s, t.fset.Position(i.Pos()).Line, "only the folder plugin imports C")
		}
	}
}

// width returns the number of columns of a line.
func width(line string) int {
	return utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
}

// lines checks the width of code and comments.
func (r *report) lines(t *tree, s *source) {
	comment := map[int]bool{}

	for _, g := range s.file.Comments {
		for _, c := range g.List {
			first := t.fset.Position(c.Pos()).Line

			last := t.fset.Position(c.End()).Line
			for n := first; n <= last; n++ {
				comment[n] = true
			}
		}
	}

	for i, line := range s.lines {
		n := i + 1
		w := width(line)
		text := strings.TrimSpace(line)
		whole := comment[n] && (strings.HasPrefix(text, "//") || strings.HasPrefix(text, "/*"))

		switch {
		case text == "":
			continue
		case whole && strings.HasPrefix(text, "//go:"):
			continue
		case whole && w > maxCommentWidth && !strings.Contains(text, "://") && !strings.HasPrefix(text, "//nolint"):
			r.add(s, n, "comment of %d columns, at most %d", w, maxCommentWidth)
		case !whole && w > maxCodeWidth:
			r.add(s, n, "line of %d columns, at most %d", w, maxCodeWidth)
		}

		r.figures[s.kind].line(text, w, whole)
	}

	r.figures[s.kind].files++
}

// functions checks paragraphs, lengths and branches, and the names of tests.
func (r *report) functions(t *tree, s *source) {
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}

		first := t.fset.Position(f.Pos()).Line

		last := t.fset.Position(f.Body.End()).Line
		if len(f.Name.Name) > maxTestName && strings.HasPrefix(f.Name.Name, "Test") {
			r.add(s, first, "test name of %d characters, at most %d", len(f.Name.Name), maxTestName)
		}

		r.function(t, s, f, first, last)
	}
}

func (r *report) function(t *tree, s *source, f *ast.FuncDecl, first, last int) {
	lines := s.lines[first-1 : last]
	r.figures[s.kind].function(f, lines, s.path+" "+f.Name.Name)

	if len(lines) >= longFunction && !hasBlankLine(lines) && !isTable(f) {
		r.add(s, first, "%s has %d lines and no blank line", f.Name.Name, len(lines))
	}

	if s.kind == test {
		r.testFunction(t, s, f, first)
	}
}

// testFunction checks the length, the branches and the levels of a function in tests.
func (r *report) testFunction(t *tree, s *source, f *ast.FuncDecl, first int) {
	bound := func(what string, n, most int) {
		if n > most {
			r.add(s, first, "%s has %d %s, at most %d in a test", f.Name.Name, n, what, most)
		}
	}

	bound("branches", countBranches(f.Body), maxTestBranches)
	bound("levels", depthOf(f.Body), maxTestDepth)

	last := t.fset.Position(f.Body.End()).Line
	bound("lines", withoutComments(s.lines[first-1:last])-linesOfRows(t, f), maxTestLines)
}

// linesOfRows returns how many lines the composite literals in a function take, without
// the ones that open them.
func linesOfRows(t *tree, f *ast.FuncDecl) (n int) {
	ast.Inspect(f.Body, func(node ast.Node) bool {
		lit, ok := node.(*ast.CompositeLit)
		if ok {
			n += t.fset.Position(lit.End()).Line - t.fset.Position(lit.Pos()).Line
		}

		return !ok
	})

	return n
}

// isTable reports whether a function returns a literal and does nothing else.
func isTable(f *ast.FuncDecl) bool {
	if len(f.Body.List) != 1 {
		return false
	}

	back, ok := f.Body.List[0].(*ast.ReturnStmt)
	if !ok || len(back.Results) != 1 {
		return false
	}

	_, ok = back.Results[0].(*ast.CompositeLit)

	return ok
}

func hasBlankLine(lines []string) bool {
	for _, l := range lines {
		if strings.TrimSpace(l) == "" {
			return true
		}
	}

	return false
}

// literals finds composite literals of more than fieldsPerLine keyed fields that have
// several of them on one line.
func (r *report) literals(t *tree, s *source) {
	ast.Inspect(s.file, func(node ast.Node) bool {
		lit, ok := node.(*ast.CompositeLit)
		if !ok || len(lit.Elts) <= fieldsPerLine {
			return true
		}

		previous := 0

		for _, e := range lit.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				return true
			}

			if _, field := kv.Key.(*ast.Ident); !field {
				return true
			}

			line := t.fset.Position(kv.Pos()).Line
			if line == previous {
				r.figures[s.kind].crowdedLiterals++
				r.add(s, line, "literal of %d fields with several on a line", len(lit.Elts))

				return true
			}

			previous = line
		}

		return true
	})
}
