package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// pictureFile is the picture of the packages that ARCHITECTURE.md shows.
const pictureFile = "docs/images/packages.svg"

// pictureBox is a box of the picture: its top edge, and the packages in it.
var pictureBox = regexp.MustCompile(`<rect [^>]*\by="(\d+)"[^>]*/>\s*<text [^>]*font-weight="600">([^<]+)</text>`)

// picture holds the picture of the packages against their imports. Every package below
// internal/ is in a box, alone or with the package above it, and imports only packages
// whose boxes are in lower rows. A module without the picture has nothing to hold.
func (r *report) picture(root string, t *tree) {
	text, err := os.ReadFile(filepath.Join(root, pictureFile))
	if err != nil {
		return
	}

	rows := pictureRows(string(text))
	folders := map[string]bool{}

	for _, s := range t.sources {
		folder := path.Dir(filepath.ToSlash(s.path))
		if s.kind != product || !pictured(folder) {
			continue
		}

		folders[folder] = true

		for _, i := range s.file.Imports {
			name, _ := strconv.Unquote(i.Path.Value)

			_, name, ours := strings.Cut(name, "/")
			if !ours || !pictured(name) {
				continue
			}

			from, to := box(rows, folder), box(rows, name)
			if from != "" && to != "" && from != to && rows[to] <= rows[from] {
				r.add(s, t.fset.Position(i.Pos()).Line, "%s draws %s not above what it imports: %s", pictureFile, from,
					to)
			}
		}
	}

	for folder := range folders {
		if box(rows, folder) == "" && strings.HasPrefix(folder, "internal/") {
			r.violations = append(r.violations, fmt.Sprintf("%s: %s is missing", pictureFile, folder))
		}
	}

	for name := range rows {
		if !folders[name] {
			r.violations = append(r.violations, fmt.Sprintf("%s: there is no package %s", pictureFile, name))
		}
	}
}

// pictured reports whether the folder belongs into the picture: test kits do not.
func pictured(folder string) bool {
	switch top, rest, _ := strings.Cut(folder, "/"); top {
	case "plugin", "tokens", "cmd":
		return true
	case "internal":
		kit, _, _ := strings.Cut(rest, "/")
		return kit != "test" && kit != "testbed"
	}

	return false
}

// pictureRows returns the height of each package's box, by the folder of the package.
func pictureRows(svg string) map[string]int {
	rows := map[string]int{}

	for _, m := range pictureBox.FindAllStringSubmatch(svg, -1) {
		top, _ := strconv.Atoi(m[1])

		for name := range strings.SplitSeq(m[2], ", ") {
			if !pictured(name) {
				name = "internal/" + name
			}

			rows[name] = top
		}
	}

	return rows
}

// box returns the folder whose box has the package: its own, or the nearest one above.
func box(rows map[string]int, folder string) string {
	for ; folder != "."; folder = path.Dir(folder) {
		if _, ok := rows[folder]; ok {
			return folder
		}
	}

	return ""
}
