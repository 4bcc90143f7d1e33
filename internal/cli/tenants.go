package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/sqlite"
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
	cmd.AddCommand(
		c.discoverCommand(),
		c.consentCommand(),
		c.forgetCommand(),
	)

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

// leaver is a tenant that is to be forgotten: all that the store has of it.
type leaver struct {
	tenantID, name, login string
	units                 []alert.UnitKey
	statuses              map[alert.UnitKey]store.Status
	chains                []store.ChainInfo
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
		fmt.Fprintf(c.Out, "%s: %d refresh token(s) forgotten\n", name, result.Tokens)
	}

	fmt.Fprintln(c.Out, "\nStill to revoke at Microsoft:")

	for _, step := range result.Revoke {
		fmt.Fprintln(c.Out, c.wrap("- "+step, "  "))
	}

	c.say("note: a tenant that is still in a configuration begins anew, with lookback, when an input starts with it")
}

// leaver finds the tenant that a name means.
func (c *cli) leaver(ctx context.Context, named string) (leaver, error) {
	v, err := c.lookFirst(ctx)
	if err != nil {
		return leaver{}, err
	}
	defer v.Close()

	if v.s == nil {
		return leaver{}, c.noDirectory(false)
	}

	chains, err := v.chains(ctx)
	if err != nil {
		return leaver{}, err
	}

	units, err := knownUnits(ctx, v, chains)
	if err != nil {
		return leaver{}, err
	}

	statuses, err := v.statuses(ctx)
	if err != nil {
		return leaver{}, err
	}

	found, known := leavers(named, units, chains)
	for i := range found {
		found[i].statuses = statuses
	}

	return oneLeaver(named, found, known)
}

// leavers returns the tenants that a name means, and the names of all that are known.
func leavers(named string, units []knownUnit, chains []store.ChainInfo) (found []leaver, known []string) {
	tenants := map[string]*leaver{}
	meant := map[string]bool{}

	of := func(login, id, name string) *leaver {
		known = append(known, label(name, id))

		key := login + " " + id
		if tenants[key] == nil {
			tenants[key] = &leaver{tenantID: id, login: login}
		}

		tenants[key].name = cmp.Or(tenants[key].name, name)
		meant[key] = meant[key] || called(named, name, id)

		return tenants[key]
	}

	for _, u := range units {
		l := of(u.key.LoginHost, string(u.key.TenantID), u.tenant)
		l.units = append(l.units, u.key)
	}

	for _, i := range chains {
		l := of(i.Key.LoginHost, i.Key.TenantID, i.Chain.TenantName)
		l.chains = append(l.chains, i)
	}

	for key, l := range tenants {
		if meant[key] {
			found = append(found, *l)
		}
	}

	return found, known
}

// oneLeaver returns the only tenant that was found.
func oneLeaver(named string, found []leaver, known []string) (leaver, error) {
	var several []string
	for _, l := range found {
		several = append(several, label(l.name, l.tenantID)+" at "+l.login)
	}

	if len(found) > 1 {
		return leaver{}, ambiguous(named, several, "its tenant id")
	}

	if len(found) == 0 {
		return leaver{}, unknownName(named, known)
	}

	l := found[0]
	if slices.ContainsFunc(l.chains, func(i store.ChainInfo) bool { return i.Chain.Home }) {
		return leaver{}, fmt.Errorf("%s is the tenant whose sign-in reaches other customers (home_tenant_id); "+
			"to give that up: defenderctl tokens remove %s", l.label(), plain.Shell(l.tenantID))
	}

	return l, nil
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

// usedBy returns what running inputs do with a tenant, and names the process or the node.
func (c *cli) usedBy(ctx context.Context, at place, who leaver) (name string, state use, err error) {
	if !at.Shared() {
		process, running := sqlite.InputsRun(at.DataDir)
		if !running {
			return "", released, nil
		}

		return process, who.use(c.Now()), nil
	}

	v, err := c.lookAt(ctx, at)
	if err != nil {
		return "", released, err
	}
	defer v.Close()

	s, ok := v.s.(store.Shared)
	if !ok {
		return "", released, nil
	}

	holders, err := s.Holders(ctx)
	if err != nil {
		return "", released, err
	}

	for _, key := range who.units {
		h, ok := holders[key]
		if !ok || !h.Live {
			continue
		}

		name = "node " + plain.Text(h.Node, 128)

		if who.statuses[key].State != health.Stopped {
			return name, polled, nil
		}

		state = leaving
	}

	return name, state, nil
}

// use is what a running input does with a tenant.
type use int

const (
	released   use = iota // nothing
	leaving               // it was removed, and its last alerts are being delivered
	polled                // it polls it
	unknownUse            // nobody writes statuses
)

// use returns what the running input does with the tenant, by what it wrote last.
func (l leaver) use(now time.Time) use {
	newest := time.Time{}
	for _, s := range l.statuses {
		if s.UpdatedAt.After(newest) {
			newest = s.UpdatedAt
		}
	}

	if now.Sub(newest) > writtenWithin {
		return unknownUse
	}

	worst := released

	for _, key := range l.units {
		s, ok := l.statuses[key]

		switch {
		case !ok || newest.Sub(s.UpdatedAt) > writtenWithin:
		case s.State == health.Stopped:
			worst = max(worst, leaving)
		default:
			worst = polled
		}
	}

	return worst
}

func (l leaver) label() string { return label(l.name, l.tenantID) }

// confirmForgetting asks whether a tenant is to be forgotten. Every answer but yes is an
// error.
func (c *cli) confirmForgetting(ctx context.Context, who leaver) error {
	if !c.InTerminal {
		return usagef("nobody is here to confirm it: add --yes to forget %s", who.label())
	}

	answer, err := c.ask(ctx, fmt.Sprintf("Forget %s: %d unit(s), %d refresh token(s)? [y/N] ", who.label(),
		len(who.units), len(who.chains)), false)
	if err != nil {
		return err
	}

	if a := strings.ToLower(answer.Reveal()); a != "y" && a != "yes" {
		return errors.New("nothing was forgotten")
	}

	return nil
}

// revoke lists what is to be revoked at Microsoft when a customer leaves.
func (l leaver) revoke() []string {
	var (
		steps   []string
		clients []string
	)

	for _, i := range l.chains {
		account := cmp.Or(plain.Text(i.Chain.Account, 128), "the user who signed in")
		steps = append(steps, fmt.Sprintf("revoke the sessions of %s (Entra admin center, Users, Revoke sessions): a "+
			"refresh token stays valid there for up to 90 days; if the account was a guest of the customer, remove "+
			"the guest", account))
		clients = append(clients, i.Key.ClientID)
	}

	if len(l.chains) == 0 {
		steps = append(steps, "if the customer was reached with your own sign-in (home_tenant_id): end the "+
			"relationship in Partner Center (Customers, Admin relationships), or take the role away from it")
	}

	var pages []string // of the portal, on which an application is authorised

	for _, key := range l.units {
		clients = append(clients, string(l.statuses[key].ClientID))

		if page := permissionsFor(key.API).Portal; page != "" && !slices.Contains(pages, page) {
			pages = append(pages, page)
		}
	}

	slices.Sort(clients)

	for _, id := range slices.Compact(clients) {
		if id != "" {
			steps = append(steps, fmt.Sprintf("in the customer's tenant: Entra admin center, Enterprise applications, "+
				"application %s, Properties, Delete: that takes back its consent", plain.Text(id, 128)))
		}
	}

	for _, page := range pages {
		steps = append(steps, "in the customer's Defender portal: "+alert.PortalAddress(alert.TenantID(l.tenantID))+
			" > "+page+": remove the authorisation of the application")
	}

	return append(steps, "a secret or certificate that was made for this customer only: delete it from the "+
		"application's registration, and its file here")
}
