package main

import (
	"fmt"
	"go/ast"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The bounds. A tab counts as four columns.
const (
	maxCodeWidth     = 120
	maxTestCodeWidth = 140
	maxCommentWidth  = 90
	maxTestName      = 60
	longFunction     = 20 // a function of this many lines needs at least one blank line
	fieldsPerLine    = 3  // a literal with more fields has one a line
)

// figures are the counts over product code, without tests.
type figures struct {
	files, codeLines, commentLines int
	wideCode, wideComments         int
	commentWidth                   int
	longFunctions, solidFunctions  int
	crowdedLiterals                int
	mostBranches                   int
	branchiest                     string
	overFifteen, overSixty         int
	returns, gives, tellsWhether   int
}

// report is what measure finds.
type report struct {
	figures    figures
	violations []string
}

// measure reads the whole tree once.
func measure(t *tree) *report {
	r := &report{}
	n := collectNames(t)
	for _, s := range t.sources {
		r.lines(t, s)
		r.functions(t, s)
		r.literals(t, s)
		r.imports(t, s)
		r.commentNames(t, s, n)
		r.glossary(t, s)
	}

	return r
}

func (r *report) add(s *source, line int, format string, args ...any) {
	r.violations = append(r.violations, fmt.Sprintf("%s:%d: %s", s.path, line, fmt.Sprintf(format, args...)))
}

// imports checks that C is in the folder plugin only. golangci-lint's depguard does not see
// files that use cgo.
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

	limit := maxCodeWidth
	if s.test {
		limit = maxTestCodeWidth
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
		case !whole && w > limit:
			r.add(s, n, "line of %d columns, at most %d", w, limit)
		}

		if !s.test {
			r.figures.count(text, w, whole)
		}
	}

	if !s.test {
		r.figures.files++
	}
}

var (
	returnsWord = regexp.MustCompile(`\breturns\b`)
	givesWord   = regexp.MustCompile(`\bgives\b`)
	tellsWord   = regexp.MustCompile(`\btells whether\b`)
)

func (f *figures) count(text string, w int, comment bool) {
	if !comment {
		f.codeLines++
		if w > maxCodeWidth {
			f.wideCode++
		}

		return
	}

	f.commentLines++
	f.commentWidth += w
	if w > maxCommentWidth {
		f.wideComments++
	}

	f.returns += len(returnsWord.FindAllString(text, -1))
	f.gives += len(givesWord.FindAllString(text, -1))
	f.tellsWhether += len(tellsWord.FindAllString(text, -1))
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
		if s.test {
			if len(f.Name.Name) > maxTestName && strings.HasPrefix(f.Name.Name, "Test") {
				r.add(s, first, "test name of %d characters, at most %d", len(f.Name.Name), maxTestName)
			}

			continue
		}

		r.function(s, f, first, last)
	}
}

func (r *report) function(s *source, f *ast.FuncDecl, first, last int) {
	if last-first+1 >= longFunction {
		r.figures.longFunctions++
		if !hasBlankLine(s.lines[first-1 : last]) {
			r.figures.solidFunctions++
			r.add(s, first, "%s has %d lines and no blank line", f.Name.Name, last-first+1)
		}
	}

	if last-first+1 > 60 {
		r.figures.overSixty++
	}

	branches := countBranches(f.Body)
	if branches > 15 {
		r.figures.overFifteen++
	}

	if branches > r.figures.mostBranches {
		r.figures.mostBranches = branches
		r.figures.branchiest = s.path + " " + f.Name.Name
	}
}

func hasBlankLine(lines []string) bool {
	for _, l := range lines {
		if strings.TrimSpace(l) == "" {
			return true
		}
	}

	return false
}

// countBranches returns the number of decisions in a function: if, for, case, select
// clauses, and the operators && and ||, as cyclomatic complexity counts them.
func countBranches(body *ast.BlockStmt) int {
	n := 1
	ast.Inspect(body, func(node ast.Node) bool {
		switch x := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if x.List != nil {
				n++
			}
		case *ast.CommClause:
			if x.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if op := x.Op.String(); op == "&&" || op == "||" {
				n++
			}
		}

		return true
	})

	return n
}

// literals finds composite literals of more than fieldsPerLine keyed fields that have
// several of them on one line.
func (r *report) literals(t *tree, s *source) {
	if s.test {
		return
	}

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
				r.figures.crowdedLiterals++
				r.add(s, line, "literal of %d fields with several on a line", len(lit.Elts))

				return true
			}

			previous = line
		}

		return true
	})
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}

	return 100 * float64(part) / float64(whole)
}

func (f *figures) print(w io.Writer) {
	fmt.Fprintf(w, "product files %d, code lines %d, comment lines %d\n", f.files, f.codeLines, f.commentLines)
	fmt.Fprintf(w, "functions of %d lines and more without a blank line: %d of %d (%.1f %%)\n",
		longFunction, f.solidFunctions, f.longFunctions, share(f.solidFunctions, f.longFunctions))
	fmt.Fprintf(w, "code lines over %d columns: %d (%.2f %%)\n", maxCodeWidth, f.wideCode, share(f.wideCode, f.codeLines))
	fmt.Fprintf(w, "comment lines over %d columns: %d (%.1f %%), mean width %.0f\n",
		maxCommentWidth, f.wideComments, share(f.wideComments, f.commentLines),
		float64(f.commentWidth)/float64(max(1, f.commentLines)))
	fmt.Fprintf(w, "literals of more than %d fields with several on a line: %d (%.1f per 1,000 lines)\n",
		fieldsPerLine, f.crowdedLiterals, 1000*float64(f.crowdedLiterals)/float64(max(1, f.codeLines)))
	fmt.Fprintf(w, "\"returns\" : \"gives\" : \"tells whether\" in comments: %d : %d : %d\n", f.returns, f.gives, f.tellsWhether)
	fmt.Fprintf(w, "most branches in a function: %d (%s); over 15: %d functions; over 60 lines: %d functions\n",
		f.mostBranches, f.branchiest, f.overFifteen, f.overSixty)
}
