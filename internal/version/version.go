// Package version says what a program or the plugin was built from. The Makefile takes
// the version from the tag or from the file VERSION, and sets it here; no other part of
// the project has a version.
package version

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version, commit and modified are set by the Makefile. A build without it has the
// values that Go records, or none.
var version, commit, modified string

// Build says what a binary was built from, as `defenderctl version --json` prints it.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	// Modified says that the source had changes that are in no commit.
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// This returns what the running binary was built from.
func This() Build {
	b := Build{
		Version:  cmp.Or(version, "development version"),
		Commit:   cmp.Or(commit, "unknown"),
		Modified: modified == "true",
		Go:       runtime.Version(),
		OS:       runtime.GOOS,
		Arch:     runtime.GOARCH,
	}

	info, ok := debug.ReadBuildInfo()
	if !ok || version != "" {
		return b
	}

	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}

	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			b.Commit = s.Value
		case s.Key == "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}

	return b
}

// String returns version, commit and Go version in one line, for `--version` and for the
// line that the plugin logs when it starts.
func (b Build) String() string {
	changes := ""
	if b.Modified {
		changes = " with changes"
	}

	return fmt.Sprintf("%s, commit %s%s, %s", b.Version, b.Commit, changes, b.Go)
}
