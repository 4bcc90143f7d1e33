package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/config/plain"
)

// noArguments refuses arguments of a command that takes none. (Cobra's own words call
// them unknown commands.)
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments; %q is one", cmd.CommandPath(), args[0])
	}

	return nil
}

// optionalArgument refuses more than one argument, which the command's line of use calls
// name.
func optionalArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("%s takes one %s; %s is one too many", cmd.CommandPath(), name, plain.Quoted(args[1]))
		}

		return nil
	}
}

// oneArgument refuses any number of arguments but one, which the command's line of use
// calls name.
func oneArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fmt.Errorf(
				"%s needs %s: %s",
				cmd.CommandPath(),
				name,
				strings.TrimSuffix(cmd.UseLine(), " [flags]"),
			)
		case len(args) > 1:
			return fmt.Errorf("%s takes one %s; %s is one too many", cmd.CommandPath(), name, plain.Quoted(args[1]))
		}

		return nil
	}
}

// tidy makes the help of a command and those below it fit columns. Long texts are
// paragraphs without line breaks.
func tidy(cmd *cobra.Command, columns int) {
	cmd.Long = terminal.Wrap(cmd.Long, "", columns)

	usage := cmd.UsageTemplate()
	for _, flags := range []string{".LocalFlags.FlagUsages", ".InheritedFlags.FlagUsages"} {
		usage = strings.ReplaceAll(usage, flags+" ", fmt.Sprintf("%sWrapped %d ", flags, columns))
	}

	if !cmd.HasParent() {
		cmd.SetUsageTemplate(usage)
	}

	for _, sub := range cmd.Commands() {
		tidy(sub, columns)
	}
}

// completion makes the commands by which shells learn to complete: cobra's, with examples
// and without its leniency.
func completion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()

	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}

		cmd.Example = "  source <(defenderctl completion bash)"
		group(cmd)

		for _, shell := range cmd.Commands() {
			shell.Example = map[string]string{
				"bash":       "  defenderctl completion bash > /etc/bash_completion.d/defenderctl",
				"zsh":        "  defenderctl completion zsh > \"${fpath[1]}/_defenderctl\"",
				"fish":       "  defenderctl completion fish > ~/.config/fish/completions/defenderctl.fish",
				"powershell": "  defenderctl completion powershell | Out-String | Invoke-Expression",
			}[shell.Name()]
		}
	}
}
