package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// names are the words that a comment or document may use for things in the code: every
// identifier, and every word of a string, which covers keys, flags, fields and codes.
type names struct {
	idents map[string]bool
	words  map[string]bool
}

var wordInString = regexp.MustCompile(`[A-Za-z0-9_$@.-]+`)

// collectNames reads the names of the whole module, tests included, without the tools.
func collectNames(t *tree) *names {
	n := &names{idents: map[string]bool{}, words: map[string]bool{}}

	for _, s := range t.sources {
		if s.kind == tool {
			continue
		}

		ast.Inspect(s.file, func(node ast.Node) bool {
			switch x := node.(type) {
			case *ast.Ident:
				n.idents[x.Name] = true
			case *ast.BasicLit:
				n.addString(x)
			case *ast.ImportSpec:
				n.addString(x.Path)
			}

			return true
		})
	}

	for _, f := range t.foreign {
		if !strings.HasPrefix(f.path, "tools/") {
			n.addWords(f.text)
		}
	}

	return n
}

func (n *names) addString(lit *ast.BasicLit) {
	if lit.Kind != token.STRING {
		return
	}

	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		text = lit.Value
	}

	n.addWords(text)
}

func (n *names) addWords(text string) {
	for _, w := range wordInString.FindAllString(text, -1) {
		n.words[w] = true

		n.words[strings.Trim(w, ".-$@")] = true
		for _, part := range strings.FieldsFunc(w, func(r rune) bool { return r == '.' || r == '-' }) {
			n.words[part] = true
		}
	}
}

// known reports whether a name exists in the code, in any letter case where it begins a
// sentence.
func (n *names) known(name string) bool {
	return n.idents[name] || n.words[name] || proper[name]
}

// proper are names in mixed case that are not ours: products, standards, file formats.
var proper = wordSet(`
	ArcSight BitDefender ConfigMap DevTools DoD FlexConnector GitHub GoString HTTPError JavaScript
	LibreSSL McAfee MessagePack NetBIOS NextGen OAuth OData OpenID OpenSearch OpenSSH OpenSSL
	PowerShell PostgreSQL SmartConnector SQLite StrictModes SecretManager WebSocket WordPress
	msgpack macOS iOS eBPF PascalCase camelCase IPv4 IPv6 pgBouncer readOnly TaskGroup
	ms_defender_atp_alerts extraction_cutoff json_extract OpenText useACK DateTime uXXXX keyID
	FuzzXxx TestXxx BenchmarkXxx DaemonSet
`)

func wordSet(s string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(s) {
		set[w] = true
	}

	return set
}

var (
	mixedCase = regexp.MustCompile(`(?:\b[A-Za-z]\w*\.)*\b(?:[a-z]+[A-Z][A-Za-z0-9]*|[A-Z][a-z]+[A-Z][A-Za-z0-9]*)\b`)
	selector  = regexp.MustCompile(`\b[A-Z][A-Za-z0-9]*\.[A-Z][A-Za-z0-9]*\b`)
	docLink   = regexp.MustCompile(`\[\*?([A-Za-z][\w]*(?:\.[A-Za-z]\w*)*)\]`)
	address   = regexp.MustCompile(`https?://\S+|\S+@\S+|"[^"]*"|\S*/\S*`)
)

// commentNames checks that the names in comments exist.
func (r *report) commentNames(t *tree, s *source, n *names) {
	for _, g := range s.file.Comments {
		for _, c := range g.List {
			line := t.fset.Position(c.Pos()).Line

			text := address.ReplaceAllString(c.Text, " ")
			if strings.HasPrefix(c.Text, "//go:") || strings.HasPrefix(c.Text, "//nolint") {
				continue
			}

			var found []string

			found = append(found, mixedCase.FindAllString(text, -1)...)

			found = append(found, selector.FindAllString(text, -1)...)
			for _, m := range docLink.FindAllStringSubmatch(text, -1) {
				found = append(found, m[1])
			}

			r.missing(s, line, found, n)
		}
	}
}

func (r *report) missing(s *source, line int, found []string, n *names) {
	told := map[string]bool{}

	for _, name := range found {
		if n.words[name] {
			continue
		}

		for _, part := range strings.Split(name, ".") {
			part = strings.TrimSuffix(part, "s")
			if part == "" || told[part] || n.known(part) || n.known(part+"s") || !interesting(part) {
				continue
			}

			told[part] = true
			r.add(s, line, "the comment names %s, which does not exist", part)
		}
	}
}

// interesting reports whether a word is a name rather than an ordinary word.
func interesting(word string) bool {
	return mixedCase.MatchString(word)
}
