package main

import (
	"fmt"
	"go/ast"
	"io"
	"regexp"
	"strings"
)

// figures are the counts over the sources of one kind.
type figures struct {
	files, codeLines, commentLines int
	wideCode, wideComments         int
	commentWidth                   int
	longFunctions, solidFunctions  int
	crowdedLiterals                int
	returns, gives, tellsWhether   int

	branches, length, depth, parameters extreme
}

// extreme is the function that has most of something, and how many are above the bound.
type extreme struct {
	most  int
	place string
	over  int
}

// The bounds that extremes are counted against. golangci-lint holds product code to the
// first two, but for the exceptions that are named at the function.
const (
	maxBranches   = 15
	maxLength     = 60
	maxDepth      = 5
	maxParameters = 6
)

func (e *extreme) add(n, bound int, place string) {
	if n > bound {
		e.over++
	}

	if n > e.most {
		e.most, e.place = n, place
	}
}

var (
	returnsWord = regexp.MustCompile(`\breturns\b`)
	givesWord   = regexp.MustCompile(`\bgives\b`)
	tellsWord   = regexp.MustCompile(`\btells whether\b`)
)

// line counts a line of code, or of a comment.
func (f *figures) line(text string, w int, comment bool) {
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

// function counts a function whose text is in lines.
func (f *figures) function(d *ast.FuncDecl, lines []string, place string) {
	if len(lines) >= longFunction {
		f.longFunctions++
		if !hasBlankLine(lines) {
			f.solidFunctions++
		}
	}

	f.branches.add(countBranches(d.Body), maxBranches, place)
	f.length.add(withoutComments(lines), maxLength, place)
	f.depth.add(depthOf(d.Body), maxDepth, place)
	f.parameters.add(d.Type.Params.NumFields(), maxParameters, place)
}

// withoutComments returns the number of lines in the body of a function that are no
// comments.
func withoutComments(lines []string) int {
	n := 0

	for _, l := range lines[1:] {
		if !strings.HasPrefix(strings.TrimSpace(l), "//") {
			n++
		}
	}

	return max(0, n-1)
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

// depthOf returns how deep statements with a body are nested in body. A case of a switch
// is not deeper than the switch; an else if is deeper than its if.
func depthOf(body *ast.BlockStmt) int {
	deepest, depth := 0, 0

	var open []bool // for each node on the way down: whether it counts

	ast.Inspect(body, func(node ast.Node) bool {
		if node == nil {
			if open[len(open)-1] {
				depth--
			}

			open = open[:len(open)-1]

			return true
		}

		counts := false

		switch node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt,
			*ast.FuncLit:
			counts = true
		}

		if counts {
			depth++
			deepest = max(deepest, depth)
		}

		open = append(open, counts)

		return true
	})

	return deepest
}

func share(part, whole int) float64 {
	return float64(part) / float64(max(1, whole))
}

func (f *figures) print(w io.Writer) {
	fmt.Fprintf(w, "  files %d, code lines %d, comment lines %d\n", f.files, f.codeLines, f.commentLines)
	fmt.Fprintf(w, "  functions of %d lines and more without a blank line: %d of %d (%.1f %%)\n",
		longFunction, f.solidFunctions, f.longFunctions, 100*share(f.solidFunctions, f.longFunctions))
	fmt.Fprintf(w, "  code lines over %d columns: %d (%.2f %%)\n",
		maxCodeWidth, f.wideCode, 100*share(f.wideCode, f.codeLines))
	fmt.Fprintf(w, "  comment lines over %d columns: %d (%.1f %%), mean width %.0f\n",
		maxCommentWidth, f.wideComments, 100*share(f.wideComments, f.commentLines),
		share(f.commentWidth, f.commentLines))
	fmt.Fprintf(w, "  literals of more than %d fields with several on a line: %d (%.1f per 1,000 lines)\n",
		fieldsPerLine, f.crowdedLiterals, 1000*share(f.crowdedLiterals, f.codeLines))
	fmt.Fprintf(w, "  \"returns\" : \"gives\" : \"tells whether\" in comments: %d : %d : %d\n",
		f.returns, f.gives, f.tellsWhether)
	f.branches.print(w, "branches", maxBranches)
	f.length.print(w, "lines", maxLength)
	f.depth.print(w, "levels", maxDepth)
	f.parameters.print(w, "parameters", maxParameters)
}

func (e *extreme) print(w io.Writer, what string, bound int) {
	fmt.Fprintf(w, "  most %s in a function: %d (%s); over %d: %d functions\n", what, e.most, e.place, bound, e.over)
}
