package sqlite

import (
	"os"
	"slices"
	"strings"
)

// OldTokenFiles returns the paths of the files that once were tokens.db or its copy and
// were renamed, as damaged or because another file had its name. They may still hold
// every token as it was then: Remove and Rekey do not change them. They are in the
// order of their names.
func (s *Store) OldTokenFiles() ([]string, error) {
	entries, err := os.ReadDir(s.sh.dir.path)
	if err != nil {
		return nil, explain(s.sh.dir.path, err)
	}

	var paths []string

	for _, e := range entries {
		name := e.Name()

		old := strings.Contains(name, ".damaged-") || strings.Contains(name, ".found-")
		if old && strings.HasPrefix(name, tokensFile) {
			paths = append(paths, s.sh.dir.join(name))
		}
	}

	slices.Sort(paths)

	return paths, nil
}
