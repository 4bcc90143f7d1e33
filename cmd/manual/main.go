// Command manual writes the manual pages and the shell completions of defenderctl into
// a folder, as packages install them below /usr/share:
//
//	go run ./cmd/manual -version 1.2.0 -time 1795825482 build/share
//
// Pages and completions are made from the tree of commands, and the page of the input
// from the table of options, so that they always agree with the code.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/cli"
	"fluent-bit-defender/internal/config"
)

func main() {
	version := flag.String("version", "", "version that the pages name")
	seconds := flag.Int64("time", 0, "date of the pages, in seconds since 1970")

	flag.Parse()

	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: manual -version V -time SECONDS DIR")
		os.Exit(2)
	}

	book := book{
		version: *version,
		date:    time.Unix(*seconds, 0).UTC().Format(time.DateOnly),
	}

	if err := write(flag.Arg(0), book); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

// write writes all files below dir.
func write(dir string, b book) error {
	root := cli.Commands()

	files := b.commandPages(root)
	files["man/man5/in_defender.5"] = b.optionsPage(config.Options())

	var bash, zsh, fish strings.Builder
	if err := errors.Join(
		root.GenBashCompletionV2(&bash, true),
		root.GenZshCompletion(&zsh),
		root.GenFishCompletion(&fish, true),
	); err != nil {
		return fmt.Errorf("completions: %w", err)
	}

	files["bash-completion/completions/defenderctl"] = bash.String()
	files["zsh/site-functions/_defenderctl"] = zsh.String()
	files["fish/vendor_completions.d/defenderctl.fish"] = fish.String()

	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}

		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}

	return nil
}

// commandPages returns a page for each command that does something, and one for
// defenderctl itself, which lists them.
func (b book) commandPages(root *cobra.Command) map[string]string {
	pages := map[string]string{pagePath(root): b.commandPage(root)}

	var visit func(*cobra.Command)

	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if !sub.IsAvailableCommand() || sub.Name() == "help" {
				continue
			}

			if !sub.HasAvailableSubCommands() {
				pages[pagePath(sub)] = b.commandPage(sub)
			}

			visit(sub)
		}
	}
	visit(root)

	return pages
}

// pageName returns the name of a command's page, such as defenderctl-tokens-list.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

func pagePath(cmd *cobra.Command) string { return "man/man1/" + pageName(cmd) + ".1" }
