package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// commit is what the build was made from; the Makefile sets it, for builds without Go's
// own stamp.
var commit string

// build says what this program was made from, as `version --json` prints it.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	// Modified reports whether the source had changes that are in no commit.
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func thisBuild() build {
	b := build{
		Version: "development version",
		Commit:  cmp.Or(commit, "unknown"),
		Go:      runtime.Version(),
		OS:      runtime.GOOS,
		Arch:    runtime.GOARCH,
	}

	info, ok := debug.ReadBuildInfo()
	if !ok {
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

// version is the line of --version: version, commit, Go version.
func version() string {
	b := thisBuild()

	changes := ""
	if b.Modified {
		changes = " with changes"
	}

	return fmt.Sprintf("defenderctl %s, commit %s%s, %s", b.Version, b.Commit, changes, b.Go)
}

func (c *cli) versionCommand() *cobra.Command {
	var asJSON bool

	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  defenderctl version --json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return printJSON(c.Out, thisBuild())
			}

			fmt.Fprintln(c.Out, version())

			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")

	return cmd
}
