package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// tenantsCommand returns the group of commands about customers.
func (c *cli) tenantsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tenants",
		Short: "Customers' tenants: discover, consent, forget",
		Example: "  defenderctl tenants discover --config /etc/fluent-bit/fluent-bit.conf\n" +
			"  defenderctl tenants forget contoso",
	}
	group(cmd)
	cmd.AddCommand(c.discoverCommand(), c.consentCommand(), c.forgetCommand())

	return cmd
}

// forgetting is one run of `tenants forget`.
type forgetting struct{ yes, asJSON bool }

func (c *cli) forgetCommand() *cobra.Command {
	var f forgetting

	cmd := &cobra.Command{
		Use:   "forget NAME",
		Short: "Forget a customer who has left: token, progress, status, deferred alerts",
		Args:  oneArgument("NAME"),
		Long: "Forgets all that is stored of a tenant: its refresh token, how far it was read, its status, and " +
			"alerts that were deferred. Remove it from the configuration or the tenants_file first: a tenant that a " +
			"running input polls is refused. What the customer revokes at Microsoft is printed.",
		Example: "  defenderctl tenants forget contoso --yes",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.forget(cmd.Context(), args[0], f) },
	}
	cmd.ValidArgsFunction = c.names

	flags := cmd.Flags()
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask; required where there is no terminal")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")

	return cmd
}

// forgotten is what `tenants forget --json` prints.
type forgotten struct {
	TenantID string   `json:"tenant_id"`
	Tenant   string   `json:"tenant"`
	Units    []string `json:"units"`
	Tokens   int      `json:"tokens"`
	Revoke   []string `json:"revoke"`
}

// forget removes all that is stored of the tenant that a name means.
func (c *cli) forget(ctx context.Context, named string, f forgetting) error {
	who, err := c.leaver(ctx, named)
	if err != nil {
		return err
	}

	if err := c.awaitRelease(ctx, who); err != nil {
		return err
	}

	if !f.yes {
		if err := c.confirmForgetting(ctx, who); err != nil {
			return err
		}
	}

	s, err := c.open(ctx, place{})
	if err != nil {
		return err
	}
	defer s.Close()

	for _, key := range who.units {
		if _, err := s.Forget(ctx, key); err != nil {
			return err
		}
	}

	result := forgotten{
		TenantID: who.tenantID,
		Tenant:   cmp.Or(who.name, who.tenantID),
		Units:    []string{},
		Revoke:   who.revoke(),
	}
	for _, key := range who.units {
		result.Units = append(result.Units, unitName(string(key.API), key.StateID))
	}

	for _, i := range who.chains {
		removed, err := s.Tokens().Remove(ctx, i.Key)
		if err != nil {
			return err
		}

		if removed {
			result.Tokens++
		}
	}

	c.nameOldTokens(s, "may still hold the token")

	if f.asJSON {
		return printJSON(c.Out, result)
	}

	c.printForgotten(who, result)

	return nil
}

// printForgotten says what was forgotten, and what is left to do.
func (c *cli) printForgotten(who leaver, result forgotten) {
	name := label(who.name, who.tenantID)

	for _, unit := range result.Units {
		fmt.Fprintf(c.Out, "%s: progress, status and deferred alerts of api %s are forgotten\n", name, unit)
	}

	if result.Tokens > 0 {
		fmt.Fprintf(c.Out, "%s: %s forgotten\n", name, counted(result.Tokens, "refresh token"))
	}

	fmt.Fprintln(c.Out, "\nStill to revoke at Microsoft:")

	for _, step := range result.Revoke {
		fmt.Fprintln(c.Out, c.wrap("- "+step, "  "))
	}

	c.say("note: a tenant that is still in a configuration begins anew, with lookback, when an input starts with it")
}

// How long a tenant that was removed from a running input is waited for: the input goes
// on delivering what it has read.
const (
	releaseWait  = 45 * time.Second
	releasePause = 3 * time.Second
	// writtenWithin is the age up to which a status is written by a running input, which
	// writes it every five seconds.
	writtenWithin = 15 * time.Second
)

// awaitRelease returns an error while a running input polls the tenant. One that was
// removed from it is waited for until all that was read of it is committed.
func (c *cli) awaitRelease(ctx context.Context, who leaver) error {
	at, err := c.at(place{})
	if err != nil {
		return err
	}

	told := false

	for end := c.Now().Add(releaseWait); ; {
		process, state, err := c.usedBy(ctx, at, who)
		if err != nil {
			return err
		}

		switch {
		case state == released:
			return nil
		case state == unknownUse:
			return fmt.Errorf("%s runs inputs on %s and has not written their status for a while, so whether %s is "+
				"among them is not known; look at its log, or stop it first", process, at.Name(), who.label())
		case state == polled || c.Now().After(end):
			return fmt.Errorf("%s is polled by %s: remove it from its configuration or tenants_file first (a "+
				"tenants_file is followed within seconds, anything else when Fluent Bit starts; a customer who was "+
				"discovered is excluded there), then forget it", who.label(), process)
		}

		if !told {
			told = true

			c.tell("%s was removed from the running input, which still delivers what it has read; waiting for that",
				who.label())
		}

		if err := c.sleep(ctx, releasePause); err != nil {
			return err
		}

		if who.statuses, err = c.statusesNow(ctx); err != nil {
			return err
		}
	}
}

// statusesNow returns what the inputs have written last.
func (c *cli) statusesNow(ctx context.Context) (map[alert.UnitKey]store.Status, error) {
	v, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()

	return v.statuses(ctx)
}

const (
	released   use = iota // nothing
	leaving               // it was removed, and its last alerts are being delivered
	polled                // it polls it
	unknownUse            // nobody writes statuses
)

// confirmForgetting asks whether a tenant is to be forgotten. Every answer but yes is an
// error.
func (c *cli) confirmForgetting(ctx context.Context, who leaver) error {
	if !c.InTerminal {
		return usagef("nobody is here to confirm it: add --yes to forget %s", who.label())
	}

	answer, err := c.ask(ctx, fmt.Sprintf("Forget %s: %s, %s? [y/N] ", who.label(),
		counted(len(who.units), "unit"), counted(len(who.chains), "refresh token")), false)
	if err != nil {
		return err
	}

	if a := strings.ToLower(answer.Reveal()); a != "y" && a != "yes" {
		return errors.New("nothing was forgotten")
	}

	return nil
}
