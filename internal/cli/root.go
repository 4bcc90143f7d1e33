package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// Main runs the command line and gives the exit code.
func Main(args []string) int {
	root := &cobra.Command{Use: "defenderctl", Short: "Companion of the Fluent Bit input for Microsoft Defender alerts"}
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}
