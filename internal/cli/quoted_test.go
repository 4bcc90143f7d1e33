package cli_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsQuoteLinesAsTheyArePrinted looks for what the tables of faults quote in
// the texts of the program. Numbers and names of an example do not count.
func TestDocumentsQuoteLinesAsTheyArePrinted(t *testing.T) {
	said := texts(t, "../../internal", "../../tokens", "../../plugin")
	code := regexp.MustCompile("``(.+?)``|`([^`]+)`")
	examples := regexp.MustCompile(`\d+ units|\d+|…|\bnode \w\b`)

	for _, c := range []struct {
		path    string
		heading string
		column  int
		least   int // phrases that the table has
	}{
		{"../../README.md", "## When it does not work", 1, 5},
		{"../../docs/high-availability.md", "## Failure by failure", 2, 6},
	} {
		_, section, _ := strings.Cut(string(must(os.ReadFile(c.path))), c.heading)
		section, _, _ = strings.Cut(section, "\n## ")
		phrases := 0

		for line := range strings.Lines(section) {
			cells := strings.Split(line, "|")
			if len(cells) <= c.column {
				continue
			}

			for _, m := range code.FindAllStringSubmatch(cells[c.column], -1) {
				for _, part := range examples.Split(m[1]+m[2], -1) {
					part = strings.Trim(part, " ,;")
					if !strings.Contains(part, " ") {
						continue
					}

					phrases++
					if !isSaid(said, part) {
						t.Errorf("%s quotes %q, which the program does not say", c.path, part)
					}
				}
			}
		}

		if phrases < c.least {
			t.Errorf("%s: %d phrases were found", c.path, phrases)
		}
	}
}

// isSaid reports whether a phrase is in the texts of the program, in one piece or as two
// of several words, of which one error wraps the other.
func isSaid(said, phrase string) bool {
	if strings.Contains(said, phrase) {
		return true
	}

	words := strings.Split(phrase, " ")
	for i := 2; i <= len(words)-2; i++ {
		first, second := strings.Join(words[:i], " "), strings.Join(words[i:], " ")
		if strings.Contains(said, first) && strings.Contains(said, second) {
			return true
		}
	}

	return false
}

// texts returns the source of the program below some folders, with its texts in one
// piece each.
func texts(t *testing.T, folders ...string) string {
	t.Helper()

	var b strings.Builder

	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}

			source, err := os.ReadFile(path)
			b.Write(source)

			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	return regexp.MustCompile(`"\s*\+\s*"`).ReplaceAllString(b.String(), "")
}
