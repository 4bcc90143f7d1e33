package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const maxProseWidth = 100

// page is one Markdown document.
type page struct {
	path    string // relative to the root
	lines   []string
	anchors map[string]bool
}

// loadPages reads the Markdown documents of the module.
func loadPages(root string) (map[string]*page, error) {
	pages := map[string]*page{}

	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (skipped(d.Name()) || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".md"):
			return nil
		}

		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}

		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}

		p := &page{
			path:  filepath.ToSlash(rel),
			lines: strings.Split(string(text), "\n"),
		}
		p.anchors = anchorsOf(p.lines)
		pages[p.path] = p

		return nil
	})

	return pages, err
}

var (
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}\s_-]`)
	linkTarget  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeSpan    = regexp.MustCompile("`([^`]+)`")
	key         = regexp.MustCompile(`^[a-z]+(_[a-z0-9]+)+$`)
	flagName    = regexp.MustCompile(`^(--[a-z][a-z-]+)\b`)
	repoFile    = regexp.MustCompile(`^(?:internal|tokens|plugin|cmd|docs|examples|testdata|tools|deploy)/[\w./-]*$`)
)

// anchorsOf returns the anchors that GitHub makes of the headings.
func anchorsOf(lines []string) map[string]bool {
	anchors := map[string]bool{}

	for _, prose := range proseLines(lines) {
		if !strings.HasPrefix(prose.text, "#") {
			continue
		}

		heading := strings.TrimSpace(strings.TrimLeft(prose.text, "#"))
		heading = notInAnchor.ReplaceAllString(strings.ToLower(heading), "")
		anchors[strings.ReplaceAll(heading, " ", "-")] = true
	}

	return anchors
}

// prose is a line outside of code fences.
type prose struct {
	number int
	text   string
}

func proseLines(lines []string) []prose {
	var out []prose

	fenced := false

	for i, l := range lines {
		if strings.HasPrefix(strings.TrimSpace(l), "```") {
			fenced = !fenced
			continue
		}

		if !fenced {
			out = append(out, prose{number: i + 1, text: l})
		}
	}

	return out
}

// markdown checks the width of prose, the targets of links, and the names in code spans.
func (r *report) markdown(root string, pages map[string]*page, n *names) {
	for _, path := range slices.Sorted(maps.Keys(pages)) {
		p := pages[path]
		r.pageGlossary(p)

		for _, l := range proseLines(p.lines) {
			if w := width(l.text); w > maxProseWidth && !exempt(l.text) {
				r.addPage(p, l.number, "%d columns, at most %d", w, maxProseWidth)
			}

			for _, m := range linkTarget.FindAllStringSubmatch(l.text, -1) {
				if problem := brokenLink(root, p, m[1], pages); problem != "" {
					r.addPage(p, l.number, "%s", problem)
				}
			}

			for _, m := range codeSpan.FindAllStringSubmatch(l.text, -1) {
				if problem := unknownName(root, m[1], n); problem != "" {
					r.addPage(p, l.number, "%s", problem)
				}
			}
		}
	}
}

func (r *report) addPage(p *page, line int, format string, args ...any) {
	r.violations = append(r.violations, fmt.Sprintf("%s:%d: %s", p.path, line, fmt.Sprintf(format, args...)))
}

// exempt reports whether a line cannot be wrapped: a row of a table, indented code, a
// picture, a long address.
func exempt(line string) bool {
	return strings.HasPrefix(line, "|") || strings.HasPrefix(line, "    ") ||
		strings.HasPrefix(line, "![") || strings.Contains(line, "://")
}

// brokenLink returns what is wrong with a link, or nothing.
func brokenLink(root string, from *page, target string, pages map[string]*page) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}

	file, anchor, _ := strings.Cut(target, "#")

	path := from.path
	if file != "" {
		path = filepath.ToSlash(filepath.Join(filepath.Dir(from.path), file))
	}

	if _, err := os.Stat(filepath.Join(root, path)); err != nil {
		return "the link leads to " + path + ", which does not exist"
	}

	if p := pages[path]; anchor != "" && p != nil && !p.anchors[anchor] {
		return "the link leads to " + path + "#" + anchor + ", and there is no such heading"
	}

	return ""
}

// foreign are flags and settings of other programs.
var foreign = wordSet("--dry-run")

// unknownName returns what is wrong with a code span, or nothing: a key, a flag or a file
// that does not exist.
func unknownName(root, span string, n *names) string {
	switch {
	case key.MatchString(span) && !n.known(span) && !n.known(strings.TrimPrefix(span, "defender_")):
		return "there is no key or name " + span
	case repoFile.MatchString(span):
		matches, err := filepath.Glob(filepath.Join(root, strings.TrimSuffix(span, "/")))
		if err != nil || len(matches) == 0 {
			return "there is no file " + span
		}
	}

	if m := flagName.FindStringSubmatch(span); m != nil && !foreign[m[1]] && !n.known(strings.TrimPrefix(m[1], "--")) {
		return "there is no flag " + m[1]
	}

	return ""
}
