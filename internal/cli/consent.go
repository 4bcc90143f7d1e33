package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/partner"
	"fluent-bit-defender/internal/pause"
)

// consenting is one run of `tenants consent`.
type consenting struct {
	c      *cli
	set    *settings
	file   string
	all    bool
	dryRun bool
	json   bool

	turn   sync.Mutex // of the next call
	asking atomic.Pointer[partner.Error]
}

// consented is the result of the consent for one customer, as --json prints it.
type consented struct {
	TenantID   alert.TenantID `json:"tenant_id"`
	TenantName string         `json:"tenant_name"`
	// Result is "consented", "there before", "link" where the customer has to consent,
	// "refused", "failed", "none needed", or with --dry-run "would consent".
	Result string `json:"result"`
	// Permissions are delegated ones, each after the name of its API.
	Permissions []string `json:"permissions"`
	// Link is where an administrator of the customer consents.
	Link   string        `json:"link,omitempty"`
	Reason advice.Reason `json:"reason,omitempty"`
	Remedy string        `json:"remedy,omitempty"`

	note string
	code int
}

func (c *cli) consentCommand() *cobra.Command {
	n := &consenting{c: c}
	cmd := &cobra.Command{
		Use:   "consent NAME... | --all",
		Short: "Consent for the application in customers' tenants",
		Long: "Consents for the application in the tenants of customers, through Partner Center: for the " +
			"delegated permissions of the APIs that the configuration reads there. NAME is a customer's name " +
			"or tenant id. Where that way is not open it prints the admin consent link, to send to an " +
			"administrator of the customer, and the exit code is 4: the relationship needs the role Cloud " +
			"Application Administrator or Application Administrator, and the user must be in AdminAgents and " +
			"have signed in with multi-factor authentication (else 3). " + portalNote(),
		Example: "  defenderctl tenants consent contoso --config /etc/fluent-bit/fluent-bit.conf\n" +
			"  defenderctl tenants consent --all --dry-run --config /etc/fluent-bit/fluent-bit.conf",
		RunE: func(cmd *cobra.Command, args []string) error { return n.run(cmd.Context(), args) },
	}
	n.set = newSettings(c, cmd, networkKeys, targetKeys, credentialKeys, providerKeys)
	f := cmd.Flags()
	f.StringVar(&n.file, "config", "", "configuration with home_tenant_id: conf, YAML or tenants file "+
		"(default "+defaultConfig+", if it is there)")
	f.BoolVar(&n.all, "all", false, "all customers that the configuration polls, or that are discovered")
	f.BoolVar(&n.dryRun, "dry-run", false, "only show what would be done")
	f.BoolVar(&n.json, "json", false, "print a list of JSON objects")

	return cmd
}

// run consents for the customers that names mean.
func (n *consenting) run(ctx context.Context, names []string) error {
	if n.all == (len(names) > 0) {
		return usagef("give the names of customers, or --all")
	}

	p, err := n.c.provider(ctx, n.file, n.set)
	if err != nil {
		return err
	}
	defer p.close(ctx)

	customers, err := p.customers(ctx)
	if err != nil {
		return err
	}

	chosen, err := p.named(customers, names)
	if err != nil {
		return err
	}

	rows := make([]*consented, len(chosen))

	var g errgroup.Group
	g.SetLimit(atOnce)

	for i := range chosen {
		g.Go(func() error {
			var err error

			rows[i], err = n.consent(ctx, p, &chosen[i])

			return err
		})
	}

	if err := g.Wait(); err != nil {
		return err
	}

	return n.report(rows)
}

// named returns the customers that names mean; without names those that are polled. A
// customer of the configuration to whom no relationship leads has no roles.
func (p *provider) named(customers []partner.Customer, names []string) ([]partner.Customer, error) {
	known := slices.Clone(customers)

	for _, i := range p.inputs {
		for _, t := range i.in.Tenants {
			there := slices.ContainsFunc(known, func(c partner.Customer) bool { return c.TenantID == t.TenantID })
			if !there && t.HomeTenantID == p.HomeTenantID && t.TenantID != p.HomeTenantID {
				known = append(known, partner.Customer{TenantID: t.TenantID, Name: t.TenantName})
			}
		}
	}

	if len(names) == 0 {
		return slices.DeleteFunc(known, func(c partner.Customer) bool { return !p.polls(&c) }), nil
	}

	var found []partner.Customer

	for _, name := range names {
		var fits []partner.Customer

		for _, c := range known {
			if called(name, c.Name, string(c.TenantID)) || p.callsIt(name, c.TenantID) {
				fits = append(fits, c)
			}
		}

		switch len(fits) {
		case 0:
			return nil, unknownName(name, labels(known))
		case 1:
			found = append(found, fits[0])
		default:
			return nil, ambiguous(name, labels(fits), "its tenant id")
		}
	}

	return found, nil
}

// labels names customers in a message.
func labels(customers []partner.Customer) []string {
	var all []string
	for _, c := range customers {
		all = append(all, label(c.Name, string(c.TenantID)))
	}

	return all
}

// callsIt reports whether the configuration calls a tenant by a name.
func (p *provider) callsIt(name string, id alert.TenantID) bool {
	for _, i := range p.inputs {
		for _, t := range i.in.Tenants {
			if t.TenantID == id && called(name, t.TenantName, "") {
				return true
			}
		}
	}

	return false
}

// polls reports whether the configuration polls a customer. Flags alone, and a
// configuration that leaves nobody out, mean all.
func (p *provider) polls(c *partner.Customer) bool {
	if len(p.inputs) == 0 {
		return true
	}

	for _, i := range p.inputs {
		for _, t := range i.in.Tenants {
			if t.TenantID == c.TenantID {
				return true
			}
		}

		d := i.in.Discovery
		if d != nil && len(c.Relationships) > 0 && d.Covers(config.Customer{TenantID: c.TenantID, Name: c.Name}) {
			return true
		}
	}

	return false
}

// consent consents for one customer.
func (n *consenting) consent(ctx context.Context, p *provider, c *partner.Customer) (*consented, error) {
	units, err := p.units(ctx, config.Customer{TenantID: c.TenantID, Name: c.Name})
	if err != nil {
		return nil, err
	}

	r := &consented{
		TenantID:    c.TenantID,
		TenantName:  c.Name,
		Permissions: []string{},
	}
	grants := grantsOf(units, r)
	link := partner.ConsentLink(p.LoginURL, c.TenantID, p.ClientID)

	switch {
	case len(grants) == 0:
		r.Result = "none needed"
		r.note = portalNote()
	case !c.CanConsent():
		r.Result, r.Link, r.Reason = "link", link, advice.ConsentMissing
		r.Remedy = "send the link to an administrator of the customer"
		r.note = "no relationship has the role Cloud Application Administrator or Application Administrator"
		r.code = exitNotAuthorised
	case n.dryRun:
		r.Result = "would consent"
	default:
		n.ask(ctx, p, c, grants, r)

		if r.code == exitNotAuthorised {
			r.Link = link
		}
	}

	if n.dryRun {
		r.code = exitOK
	}

	return r, nil
}

// grantsOf returns what the application has to be allowed for what is polled, and notes
// the permissions in r.
func grantsOf(units []config.Tenant, r *consented) []partner.Grant {
	var grants []partner.Grant

	for _, t := range units {
		permission := permissionsFor(t.API)
		if permission.AppID == "" {
			continue
		}

		i := slices.IndexFunc(grants, func(g partner.Grant) bool { return g.API == permission.AppID })
		if i < 0 {
			i = len(grants)
			grants = append(grants, partner.Grant{API: permission.AppID})
		}

		if slices.Contains(grants[i].Scopes, permission.Delegated) {
			continue
		}

		grants[i].Scopes = append(grants[i].Scopes, permission.Delegated)
		r.Permissions = append(r.Permissions, permission.Service+" "+permission.Delegated)
	}

	return grants
}

// portalNote says which APIs need no consent, and what they need instead.
func portalNote() string {
	var names []string

	for _, api := range alert.APIs() {
		if permissionsFor(api).Portal != "" {
			names = append(names, string(api))
		}
	}

	return "No consent is needed for api " + strings.Join(names, ", ") + ": the customer authorises the application " +
		"in the Defender portal."
}

// consentPause keeps the calls of Partner Center below the 50 a second that it allows.
const consentPause = 25 * time.Millisecond

// ask asks Partner Center for a consent. What is wrong with the sign-in itself is asked
// for once, not for every customer.
func (n *consenting) ask(
	ctx context.Context, p *provider, c *partner.Customer, grants []partner.Grant, r *consented,
) {
	n.turn.Lock()
	_ = pause.For(ctx, consentPause) // the call itself ends when ctx has ended
	n.turn.Unlock()

	if e := n.asking.Load(); e != nil {
		r.failed(e)
		return
	}

	outcome, err := p.client.Consent(ctx, c.TenantID, p.ClientID, grants)

	var e *partner.Error
	if errors.As(err, &e) && e.Fate == advice.NeedsSignIn {
		n.asking.Store(e)
	}

	switch {
	case err != nil:
		r.failed(err)
	case outcome == partner.ConsentedBefore:
		r.Result = "there before"
	default:
		r.Result = "consented"
	}
}

// failed records why there is no consent.
func (r *consented) failed(err error) {
	r.code = exitCode(err)
	r.Result = outcome(err)
	r.note = err.Error()

	if f := advice.Of(err); f != nil {
		r.Reason, r.Remedy = f.Reason, f.Remedy
	}
}

// report prints the results of the consents.
func (n *consenting) report(rows []*consented) error {
	if n.json {
		if err := printJSON(n.c.Out, rows); err != nil {
			return err
		}
	} else {
		n.print(rows)
	}

	codes := []int{}
	for _, r := range rows {
		codes = append(codes, r.code)
	}

	return endOf(codes)
}

// print prints a line for each customer, and below what has to be done.
func (n *consenting) print(rows []*consented) {
	if len(rows) == 0 {
		n.c.say(noCustomers)
		return
	}

	var lines [][]string
	for _, r := range rows {
		lines = append(lines, []string{
			string(r.TenantID),
			r.TenantName,
			r.Result,
			strings.Join(r.Permissions, ", "),
		})
	}

	terminal.Table(n.c.Out, []string{"TENANT ID", "NAME", "RESULT", "PERMISSIONS"}, lines, 3, 1)

	for _, r := range rows {
		if r.note != "" {
			n.c.below(plain.Text(r.TenantName, 128), r.note)
		}

		if r.Link != "" {
			fmt.Fprintf(n.c.Out, "    an administrator of the customer consents at %s\n", r.Link)
		}
	}
}
