package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cli/tenantfile"
	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/partner"
)

// discovering is one run of `tenants discover`.
type discovering struct {
	c           *cli
	set         *settings
	file        string
	write       string
	probe       bool
	json, comma bool
}

func (c *cli) discoverCommand() *cobra.Command {
	d := &discovering{c: c}
	cmd := &cobra.Command{
		Use:   "discover",
		Short: "List the customers that the provider's own sign-in reaches",
		Args:  noArguments,
		Long: "Lists the customers to whom a relationship of delegated admin privileges (GDAP) leads, one a " +
			"line: until when it lasts, whether it is extended by itself, which of its roles matter, and what " +
			"to do next. --probe signs in to each, asks its APIs for one alert, and shows whether the " +
			"application has consent there; the exit code is then that of the worst answer. --write adds the " +
			"customers to a tenants file: nothing in it is changed or deleted, what is there stays as it is, " +
			"and a remark is put above tenants to whom no relationship leads any more.\n\nCredentials as for " +
			"`pull`: those of --config, or --home-tenant-id with --client-id and a secret. The sign-in is that " +
			"of `tokens acquire --home-tenant-id`.",
		Example: "  defenderctl tenants discover --config /etc/fluent-bit/fluent-bit.conf --probe\n" +
			"  defenderctl tenants discover --home-tenant-id aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee \\\n" +
			"      --client-id 11111111-2222-3333-4444-555555555555 \\\n" +
			"      --client-secret-file /run/secrets/mssp-app --write /etc/defender/tenants.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	d.set = newSettings(c, cmd, networkKeys, targetKeys, credentialKeys, providerKeys)
	f := cmd.Flags()
	f.StringVar(&d.file, "config", "", "configuration with home_tenant_id: conf, YAML or tenants file "+
		"(default "+defaultConfig+", if it is there)")
	f.StringVar(&d.write, "write", "", "tenants file to add the customers to; made (0600) if there is none")
	f.BoolVar(&d.probe, "probe", false, "sign in to each customer, and ask its APIs for an alert")
	f.BoolVar(&d.json, "json", false, "print a list of JSON objects")
	f.BoolVar(&d.comma, "csv", false, "print CSV")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")

	return cmd
}

// run lists the customers.
func (d *discovering) run(ctx context.Context) error {
	p, err := d.c.provider(ctx, d.file, d.set)
	if err != nil {
		return err
	}
	defer p.close(ctx)

	customers, err := p.customers(ctx)
	if err != nil {
		return err
	}

	rows := make([]*discovered, len(customers))
	for i := range customers {
		rows[i] = describe(&customers[i], d.c.Now())
	}

	if d.probe {
		if err := d.probeAll(ctx, p, rows); err != nil {
			return err
		}
	}

	if err := d.print(rows); err != nil {
		return err
	}

	if d.write != "" {
		if err := d.merge(ctx, p, customers); err != nil {
			return err
		}
	}

	codes := []int{}
	for _, r := range rows {
		codes = append(codes, r.code)
	}

	if err := endOf(codes); err != nil {
		return err
	}

	return ctx.Err()
}

// probeAll signs in to each customer and asks its APIs, several at a time.
func (d *discovering) probeAll(ctx context.Context, p *provider, rows []*discovered) error {
	var g errgroup.Group
	g.SetLimit(atOnce)

	var ready atomic.Int64

	done := d.c.progress(func() string { return fmt.Sprintf("%d of %d customers tried", ready.Load(), len(rows)) })
	defer done()

	for _, row := range rows {
		g.Go(func() error {
			defer ready.Add(1)

			units, err := p.units(ctx, config.Customer{TenantID: row.TenantID, Name: row.TenantName})
			if err != nil {
				return err
			}

			for _, t := range units {
				v := &visit{TenantID: string(t.TenantID), Tenant: t.TenantName, API: string(t.API)}
				d.c.visit(ctx, v, t, p.place, p.open)
				row.tried(v, len(units) > 1)
			}

			return nil
		})
	}

	return g.Wait()
}

// print prints the customers in the form that is asked for.
func (d *discovering) print(rows []*discovered) error {
	switch {
	case d.json:
		return printJSON(d.c.Out, rows)
	case d.comma:
		return printCSV(d.c.Out, rows)
	case len(rows) == 0:
		d.c.say(noCustomers)
		return nil
	}

	var lines [][]string
	for _, r := range rows {
		lines = append(lines, []string{
			string(r.TenantID),
			r.TenantName,
			date(r.ends),
			yesNo(r.AutoExtend),
			strings.Join(r.Roles, ", "),
			r.Consent,
			r.API,
			r.Remedy,
		})
	}

	header := []string{"TENANT ID", "NAME", "ENDS", "EXTENDS", "ROLES", "CONSENT", "API", "NEXT STEP"}
	terminal.Table(d.c.Out, header, lines, 7, 4, 1)

	for _, r := range rows {
		if r.code != exitOK && r.problem != "" {
			d.c.below(plain.Text(r.TenantName, 128), r.problem)
		}
	}

	return nil
}

// yesNo returns a bool as a cell of a table.
func yesNo(b bool) string {
	if b {
		return "yes"
	}

	return "no"
}

// printCSV prints customers for a spreadsheet. A cell that one would take for a formula
// begins with an apostrophe.
func printCSV(w io.Writer, rows []*discovered) error {
	out := csv.NewWriter(w)
	lines := [][]string{
		{"tenant_id", "tenant_name", "relationship_end", "auto_extend", "roles", "consent", "api", "reason", "remedy"},
	}

	for _, r := range rows {
		end := ""
		if r.RelationshipEnd != nil {
			end = *r.RelationshipEnd
		}

		lines = append(lines, []string{
			string(r.TenantID),
			r.TenantName,
			end,
			strconv.FormatBool(r.AutoExtend),
			strings.Join(r.Roles, ";"),
			r.Consent,
			r.API,
			string(r.Reason),
			r.Remedy,
		})
	}

	for _, line := range lines {
		for i := range line {
			if line[i] != "" && strings.ContainsRune("=+-@\t\r", rune(line[i][0])) {
				line[i] = "'" + line[i]
			}
		}
	}

	return out.WriteAll(lines)
}

// remarkWord begins the remarks that --write puts into a tenants file.
const remarkWord = "defenderctl:"

// merge adds the customers to the tenants file.
func (d *discovering) merge(ctx context.Context, p *provider, customers []partner.Customer) error {
	if len(customers) == 0 {
		return fmt.Errorf("%s was not changed: an empty list of customers is taken for a fault", d.write)
	}

	before, err := tenantfile.Load(d.write)
	if err != nil {
		return fmt.Errorf("--write: %w", err)
	}

	entries, err := tenantfile.Entries(before)
	if err != nil {
		return fmt.Errorf("--write %s: %w", d.write, err)
	}

	change, err := d.change(ctx, p, entries, customers)
	if err != nil {
		return err
	}

	r, err := tenantfile.Merge(before, change)
	if err != nil {
		return fmt.Errorf("--write %s: %w", d.write, err)
	}

	if err := tenantfile.Replace(d.write, before, r.Text); err != nil {
		return fmt.Errorf("--write: %w", err)
	}

	d.c.say("%s: %d tenants added, %d marked as no longer there", d.write, r.Added, r.Marked)

	return nil
}

// change returns what the tenants file is to have.
func (d *discovering) change(
	ctx context.Context, p *provider, entries []tenantfile.Entry, customers []partner.Customer,
) (tenantfile.Change, error) {
	change := tenantfile.Change{Remark: remarkWord + " no relationship in force leads to this customer, " +
		d.c.Now().UTC().Format(time.DateOnly)}

	var names []string
	for _, e := range entries {
		names = append(names, strings.ToLower(e.ID))
	}

	there, err := p.domains(ctx, names)
	if err != nil {
		return change, err
	}

	listed := map[string]bool{}

	for _, c := range customers {
		listed[string(c.TenantID)] = true

		if !slices.Contains(there, c.TenantID) {
			change.Add = append(change.Add, tenantfile.Tenant{ID: string(c.TenantID), Name: c.Name})
		}
	}

	own, err := p.ownSignIns(ctx)
	if err != nil {
		return change, err
	}

	for _, e := range entries {
		id := strings.ToLower(e.ID)
		if alert.IsGUID(id) && !listed[id] && !own[id] && p.reaches(e) {
			change.Mark = append(change.Mark, id)
		}
	}

	return change, nil
}

// reaches reports whether a tenant of a file is meant to be reached with the provider's
// sign-in.
func (p *provider) reaches(e tenantfile.Entry) bool {
	switch {
	case strings.EqualFold(e.ID, string(p.HomeTenantID)), e.OwnSignIn:
		return false
	case e.Home != "":
		return strings.EqualFold(e.Home, string(p.HomeTenantID))
	}

	return !strings.EqualFold(e.Grant, string(grant.ClientCredentials))
}

// ownSignIns returns the tenants for which somebody has signed in apart from the
// provider's own sign-in.
func (p *provider) ownSignIns(ctx context.Context) (map[string]bool, error) {
	s, _, err := p.open.get(ctx, p.place)
	if err != nil {
		return nil, err
	}

	list, err := s.Tokens().List(ctx)
	if err != nil {
		return nil, err
	}

	own := map[string]bool{}

	for _, i := range list {
		if !i.Chain.Home {
			own[strings.ToLower(i.Key.TenantID)] = true
		}
	}

	return own, nil
}
