package cli

import "github.com/spf13/cobra"

func (c *cli) checkCommand() *cobra.Command { return &cobra.Command{Use: "check"} }
