package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/version"
)

// versionLine returns the line of --version: version, commit, Go version.
func versionLine() string { return "defenderctl " + version.This().String() }

func (c *cli) versionCommand() *cobra.Command {
	var asJSON bool

	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  defenderctl version --json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return printJSON(c.Out, version.This())
			}

			fmt.Fprintln(c.Out, versionLine())

			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")

	return cmd
}
