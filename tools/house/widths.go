package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// wholeComment finds the lines of each kind of file that are comments and nothing else.
var wholeComment = map[string]*regexp.Regexp{
	".c":   regexp.MustCompile(`^\s*(//|\*|/\*([^*]|\*[^/])*(\*/)?$)`),
	".css": regexp.MustCompile(`^\s*/?\*`),
	".js":  regexp.MustCompile(`^\s*(//|/?\*)`),
	".sql": regexp.MustCompile(`^\s*--`),
	"":     regexp.MustCompile(`^\s*#`),
}

// widths checks the width of code and comments in a file that is not Go. Only what a
// program wrote may be wider, and an address, which cannot be wrapped.
func (r *report) widths(f foreignFile) {
	ext := filepath.Ext(f.path)
	switch ext {
	case ".json", ".mod":
		return
	case ".h":
		ext = ".c"
	case ".c", ".css", ".js", ".sql":
	default:
		ext = ""
	}

	for i, line := range strings.Split(f.text, "\n") {
		limit := maxCodeWidth
		if wholeComment[ext].MatchString(line) {
			limit = maxCommentWidth
		}

		if w := width(line); w > limit && !strings.Contains(line, "://") {
			r.violations = append(r.violations,
				fmt.Sprintf("%s:%d: %d columns, at most %d", f.path, i+1, w, limit))
		}
	}
}
