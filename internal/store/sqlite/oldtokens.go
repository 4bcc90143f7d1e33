package sqlite

import (
	"os"
	"slices"
	"strings"
)

// OldTokenFiles implements store.Store. It returns the files that once were tokens.db
// or its copy and were renamed, because they were damaged or another file had their
// name, ordered by name. They may still hold every token of that time: Remove and Rekey
// do not change them.
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
