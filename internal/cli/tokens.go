package cli

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// listed is a stored chain, as --json prints it.
type listed struct {
	TenantID  string `json:"tenant_id"`
	Tenant    string `json:"tenant"`
	ClientID  string `json:"client_id"`
	LoginHost string `json:"login_host"`
	// Home says that customers are reached with it: it is the provider's own sign-in.
	Home      bool    `json:"home"`
	Account   string  `json:"account"`
	Obtained  *string `json:"obtained"`
	Refreshed *string `json:"refreshed"`
	Expires   *string `json:"expires"`
	State     string  `json:"state"`
	Remedy    string  `json:"remedy,omitempty"`
}

// stateOf returns the state of a chain in a few words, and what to do about it.
func (c *cli) stateOf(i store.ChainInfo, use chainUse) (state, remedy string) {
	f := i.Chain.Forecast(c.Now(), c.application(i, use.api))
	switch {
	case !i.Chain.Dead.IsZero():
		return "dead " + i.Chain.Dead.String(), use.signIn(f.Remedy)
	case errors.Is(i.Err, store.ErrPlain):
		return "not encrypted", "stop Fluent Bit and run: defenderctl tokens rekey --key-file FILE"
	case errors.Is(i.Err, store.ErrTampered):
		return "not to be trusted", i.Err.Error()
	case i.Err != nil && c.keyFile == "":
		return "encrypted", "give the key with --key-file"
	case i.Err != nil:
		return "encrypted with another key", "give the key with --key-file"
	case use.refused != nil:
		return "refused " + string(use.refused.Reason), use.refused.Remedy
	}

	return f.State(c.Now()), f.Remedy
}

func (c *cli) listCommand() *cobra.Command {
	var asJSON bool

	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the stored refresh tokens",
		Args:    noArguments,
		Example: "  defenderctl tokens list --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.list(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")

	return cmd
}

// list prints the stored chains.
func (c *cli) list(ctx context.Context, asJSON bool) error {
	s, err := c.look(ctx)
	if err != nil {
		return err
	}
	defer s.Close()

	if s.s == nil {
		return c.noDirectory(asJSON)
	}

	chains, err := s.chains(ctx)
	if err != nil {
		return err
	}

	statuses, err := s.statuses(ctx)
	if err != nil {
		return err
	}

	uses := make([]chainUse, len(chains))
	for n, i := range chains {
		uses[n] = useOf(statuses, i.Key, c.Now())
	}

	if asJSON {
		return printJSON(c.Out, c.listed(chains, uses))
	}

	if len(chains) == 0 {
		at, _ := c.at(place{}) // it was read from there
		c.tell("no refresh tokens are stored in %s; see: defenderctl tokens acquire --help",
			plain.Text(at.Name(), 1024))

		return nil
	}

	c.printChains(chains, uses)

	for n, i := range chains {
		name, refused := label(i.Chain.TenantName, i.Key.TenantID), uses[n].refused

		switch f := i.Chain.Forecast(c.Now(), c.application(i, uses[n].api)); {
		case f.Soon:
			c.say("%s: %s; %s", name, f.Text, plain.Text(uses[n].signIn(f.Remedy), 4000))
		case refused != nil:
			c.say("%s: %s; %s", name, plain.Text(refused.Message, 4000), plain.Text(refused.Remedy, 4000))
		}
	}

	return nil
}

// listed returns chains as --json prints them.
func (c *cli) listed(chains []store.ChainInfo, uses []chainUse) []listed {
	all := []listed{}

	for n, i := range chains {
		l := listed{
			TenantID:  i.Key.TenantID,
			Tenant:    cmp.Or(i.Chain.TenantName, i.Key.TenantID),
			ClientID:  i.Key.ClientID,
			LoginHost: i.Key.LoginHost,
			Home:      i.Chain.Home,
			Account:   i.Chain.Account,
			Obtained:  measure.Moment(i.Chain.Obtained),
			Refreshed: measure.Moment(i.Chain.Refreshed),
			Expires:   measure.Moment(i.Chain.Forecast(c.Now(), tokens.App{}).Ends),
		}
		l.State, l.Remedy = c.stateOf(i, uses[n])
		all = append(all, l)
	}

	return all
}

// printChains prints the table of stored chains.
func (c *cli) printChains(chains []store.ChainInfo, uses []chainUse) {
	header := []string{"TENANT_ID", "TENANT", "CLIENT_ID", "ACCOUNT", "OBTAINED", "REFRESHED", "EXPIRES", "STATE"}

	var rows [][]string

	for n, i := range chains {
		state, _ := c.stateOf(i, uses[n])
		rows = append(rows, []string{
			i.Key.TenantID,
			nameOf(i.Chain),
			i.Key.ClientID,
			i.Chain.Account,
			age(i.Chain.Obtained, c.Now()),
			age(i.Chain.Refreshed, c.Now()),
			date(i.Chain.Forecast(c.Now(), tokens.App{}).Ends),
			state,
		})
	}

	// On a narrow terminal these columns are shortened, in this order. The tenant id
	// comes last, since it is there to be copied; the state is never shortened.
	terminal.Table(c.Out, header, rows, 2, 3, 1, 0)
}

// nameOf returns the label of a chain for a table. The provider's own sign-in is marked.
func nameOf(c tokens.Chain) string {
	switch {
	case !c.Home:
		return cmp.Or(c.TenantName, "-")
	case c.TenantName == "":
		return "home"
	}

	return c.TenantName + " (home)"
}

// names completes NAME from the store.
func (c *cli) names(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}

	s, err := c.look(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.Close()

	var names []string

	add := func(name string) {
		if strings.HasPrefix(strings.ToLower(name), strings.ToLower(prefix)) {
			names = append(names, name)
		}
	}

	list, _ := s.chains(context.Background())
	for _, i := range list {
		add(cmp.Or(i.Chain.TenantName, i.Key.TenantID))
	}

	statuses, _ := s.statuses(context.Background())
	for key, st := range statuses {
		add(cmp.Or(st.TenantName, string(key.TenantID)))
	}

	return names, cobra.ShellCompDirectiveNoFileComp
}
