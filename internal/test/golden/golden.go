// Package golden compares what a test made with a file of the repository, and writes that
// file again when the test runs with -update.
//
// It owns the only -update flag of the project. `make golden` finds the packages whose
// tests import this one and runs their tests with "Golden" in the name. For that reason
// [File] fails in a test that is named otherwise: its file would never be written.
package golden

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files again")

// Update reports whether the golden files are being written again.
func Update() bool { return *update }

// File fails the test unless the file at path holds got. With -update it writes the file
// instead.
func File(t testing.TB, path, got string) {
	t.Helper()
	mustBeFound(t)

	if Update() {
		write(t, path, got)
		return
	}

	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; `make golden` writes it", err)
	}

	if string(want) != got {
		t.Errorf("%s is not what the code makes; if the change is meant, run `make golden`:\n%s",
			path, diff(string(want), got))
	}
}

// write writes a golden file.
func write(t testing.TB, path, content string) {
	t.Helper()

	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// mustBeFound fails a test that `make golden` would not run.
func mustBeFound(t testing.TB) {
	t.Helper()

	if !strings.Contains(t.Name(), "Golden") {
		t.Fatalf("%s uses a golden file, so its name must contain \"Golden\"", t.Name())
	}
}

// longestDiff is how many lines of a difference are shown.
const longestDiff = 60

// diff returns the lines that differ, with "-" before a line of the file and "+" before a
// line that was made. Each group of lines starts with its place in the file.
func diff(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	common := commonLines(a, b)

	var lines []string

	i, j := 0, 0
	for _, c := range append(common, [2]int{len(a), len(b)}) {
		if i < c[0] || j < c[1] {
			lines = append(lines, fmt.Sprintf("@ line %d", i+1))
		}

		for ; i < c[0]; i++ {
			lines = append(lines, "- "+a[i])
		}

		for ; j < c[1]; j++ {
			lines = append(lines, "+ "+b[j])
		}

		i, j = c[0]+1, c[1]+1
	}

	if len(lines) > longestDiff {
		more := fmt.Sprintf("(%d more lines)", len(lines)-longestDiff)
		lines = append(lines[:longestDiff], more)
	}

	return strings.Join(lines, "\n")
}

// commonLines returns the indexes of a longest common subsequence of a and b.
func commonLines(a, b []string) (pairs [][2]int) {
	// length[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	length := make([][]int32, len(a)+1)
	for i := range length {
		length[i] = make([]int32, len(b)+1)
	}

	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}

	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			pairs = append(pairs, [2]int{i, j})
			i++
			j++
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}

	return pairs
}
