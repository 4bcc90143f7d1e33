package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// commit is what the build was made from; the Makefile sets it, for builds without Go's own stamp.
var commit string

// version is the line of --version: version, commit, Go version.
func version() string {
	number, commit := "development version", cmp.Or(commit, "unknown")
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			number = v
		}
		dirty := ""
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && s.Value != "":
				commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = " with changes"
			}
		}
		commit += dirty
	}
	return fmt.Sprintf("defenderctl %s, commit %s, %s", number, commit, runtime.Version())
}
