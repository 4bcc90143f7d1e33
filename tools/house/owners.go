package main

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ownersFile has a table, below ownersHeading, that says what each package is for.
const (
	ownersFile    = "ARCHITECTURE.md"
	ownersHeading = "\n## Who owns what\n"
)

// ownerName is a package in the first column of the table. One that begins with "…/" is
// beside the first of its row.
var ownerName = regexp.MustCompile("`([^`]+)`")

// owners demands a row of the table for every package. A module without the table has
// nothing to hold.
func (r *report) owners(root string, t *tree) {
	text, err := os.ReadFile(filepath.Join(root, ownersFile))
	if err != nil {
		return
	}

	_, section, ok := strings.Cut(string(text), ownersHeading)
	if !ok {
		return
	}

	section, _, _ = strings.Cut(section, "\n## ")
	rows := ownerRows(section)
	folders := map[string]bool{}

	for _, s := range t.sources {
		if s.kind != tool {
			folders[path.Dir(filepath.ToSlash(s.path))] = true
		}
	}

	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if !rows[folder] && folder != "." {
			r.violations = append(r.violations, fmt.Sprintf("%s: %s has no row below %q", ownersFile, folder,
				strings.TrimSpace(ownersHeading)))
		}
	}
}

// ownerRows returns the packages that the rows of the table name.
func ownerRows(section string) map[string]bool {
	rows := map[string]bool{}

	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}

		beside := ""

		for _, m := range ownerName.FindAllStringSubmatch(cells[1], -1) {
			name, short := strings.CutPrefix(m[1], "…/")
			if short {
				name = path.Join(beside, name)
			} else {
				beside = path.Dir(name)
			}

			rows[name] = true
		}
	}

	return rows
}
