package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
)

// replaced are the words that ARCHITECTURE.md's glossary replaces: one word has one
// meaning, in names, comments, messages and documents alike.
var replaced = []struct {
	word *regexp.Regexp
	use  string
}{
	{regexp.MustCompile(`(?i)\b(hand(s|ed|ing)?|taken?|takes|took) (it |them |what \w+ \w+ )?over\b.{0,30}Fluent Bit`),
		"delivered"},
	{regexp.MustCompile(`(?i)\bhanded over\b|\bhandedOver`), "delivered"},
	{regexp.MustCompile(`(?i)\btaken in\b|\btakenIn\b`), "delivered"},
	{regexp.MustCompile(`(?i)\bwritten ?down\b`), "committed"},
	{regexp.MustCompile(`(?i)\bset(s|ting)? aside\b|\bput(s)? ` +
		`aside\b|\basides?\b|[a-z]Asides?\b|\bAside[A-Z]|\basides?[A-Z]`), "deferred"},
	{regexp.MustCompile(`(?i)\bdoubtful\b|\bin doubt\b|\bwary\b`), "suspect"},
	{regexp.MustCompile(`(?i)\bunsure\b`), "unconfirmed"},
	{regexp.MustCompile(`\bMends?\b|\bmend(s|ed|ing)?\b|\b[a-z]+Mends?\b`), "remedy, or fix"},
	{regexp.MustCompile(`(?i)\bnext_step\b|\bnextStep`), "remedy"},
	{regexp.MustCompile(`(?i)\bcrew\b`), "tenant set"},
	{regexp.MustCompile(`(?i)\bpatien(ce|tly)\b`), "a name of its own"},
	{regexp.MustCompile(`\btells whether\b`), "reports whether"},
	{regexp.MustCompile(`(?i)nothing to object to`), "no problems found"},
	{regexp.MustCompile(`(?i)has a fault of its own`), "answered 503 (server error)"},
}

// glossary finds replaced words in the names, comments and strings of Go code.
func (r *report) glossary(t *tree, s *source) {
	check := func(pos token.Pos, text string) {
		for _, w := range replaced {
			if found := w.word.FindString(text); found != "" {
				r.add(s, t.fset.Position(pos).Line, "%q: the glossary says %s", found, w.use)
			}
		}
	}

	ast.Inspect(s.file, func(node ast.Node) bool {
		switch x := node.(type) {
		case *ast.Ident:
			check(x.Pos(), x.Name)
		case *ast.BasicLit:
			if x.Kind == token.STRING {
				check(x.Pos(), x.Value)
			}
		}

		return true
	})

	for _, g := range s.file.Comments {
		check(g.Pos(), strings.ReplaceAll(g.Text(), "\n", " "))
	}
}

// pageGlossary finds replaced words in a document, except in the glossary itself, whose
// rows begin with the mark of a table.
func (r *report) pageGlossary(p *page) {
	for _, l := range proseLines(p.lines) {
		if strings.HasSuffix(p.path, "ARCHITECTURE.md") && strings.HasPrefix(l.text, "|") {
			continue
		}

		for _, w := range replaced {
			if found := w.word.FindString(l.text); found != "" {
				r.addPage(p, l.number, "%q: the glossary says %s", found, w.use)
			}
		}
	}
}
