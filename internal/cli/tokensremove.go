package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store"
)

// removal is one run of `tokens remove`.
type removal struct {
	clientID, login string
	yes             bool
}

func (c *cli) removeCommand() *cobra.Command {
	var r removal

	cmd := &cobra.Command{
		Use:     "remove NAME",
		Aliases: []string{"rm"},
		Short:   "Forget a stored refresh token",
		Args:    oneArgument("NAME"),
		Long: "Forgets a stored refresh token, and which seeds were used: one that is still configured begins a " +
			"new chain. It stays valid at Microsoft: revoke the user's sessions there if it must not be used any " +
			"more. An input with grant auto and a credential of the application signs in as the application itself " +
			"when it starts next; grant refresh_token keeps it from that.",
		Example: "  defenderctl tokens remove contoso\n  defenderctl tokens remove contoso --yes",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.remove(cmd.Context(), args[0], r) },
	}
	cmd.ValidArgsFunction = c.names

	flags := cmd.Flags()
	flags.StringVar(&r.clientID, "client-id", "", "application, where a tenant has tokens of several")
	flags.StringVar(&r.login, "login-url", "", "sign-in service, where a tenant has tokens of several")
	flags.BoolVarP(&r.yes, "yes", "y", false, "do not ask; required where there is no terminal")

	return cmd
}

// remove forgets the chain that a name means.
func (c *cli) remove(ctx context.Context, named string, r removal) error {
	readOnly, err := c.lookFirst(ctx)
	if err != nil {
		return err
	}

	i, err := findChain(ctx, readOnly, named, r.clientID, r.login)
	readOnly.Close()

	if err != nil {
		return err
	}

	name := label(i.Chain.TenantName, i.Key.TenantID)
	if !r.yes {
		if err := c.confirmRemoval(ctx, name); err != nil {
			return err
		}
	}

	s, err := c.open(ctx, place{})
	if err != nil {
		return err
	}
	defer s.Close()

	removed, err := s.Tokens().Remove(ctx, i.Key)
	if err != nil {
		return err
	}

	if !removed {
		return unknownName(named, nil)
	}

	fmt.Fprintf(c.Out, "%s: the refresh token for client %s is forgotten\n", name, i.Key.ClientID)
	c.nameOldTokens(s, "may still hold the token")
	c.say("note: from its next start on, an input with grant auto and a credential of the application " +
		"signs in as the application itself; where that must not be, set grant refresh_token")

	return nil
}

// confirmRemoval asks whether the refresh token of a tenant is to be forgotten. Every
// answer but yes is an error.
func (c *cli) confirmRemoval(ctx context.Context, name string) error {
	if !c.InTerminal {
		return usagef("nobody is here to confirm it: add --yes to forget the refresh token of %s", name)
	}

	answer, err := c.ask(ctx, "Forget the refresh token of "+name+"? A new one takes a person's sign-in. [y/N] ", false)
	if err != nil {
		return err
	}

	if a := strings.ToLower(answer.Reveal()); a != "y" && a != "yes" {
		return errors.New("nothing was removed")
	}

	return nil
}

// nameOldTokens names the files that were found damaged earlier: a command that changes
// all tokens does not reach what is in them. hold says what they do.
func (c *cli) nameOldTokens(s store.Store, hold string) {
	paths, err := s.OldTokenFiles()
	if err != nil {
		c.say("warning: files that were found damaged earlier could not be looked for: %v", err)
		return
	}

	if len(paths) == 0 {
		return
	}

	words := make([]string, len(paths))
	for i, path := range paths {
		words[i] = plain.Shell(path)
	}

	c.say("warning: files that were found damaged earlier %s; remove them if you do not need them: rm "+
		"%s", hold, strings.Join(words, " "))
}
