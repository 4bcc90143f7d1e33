package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/cli/lint"
	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
)

// defaultConfig is where Fluent Bit's packages put it.
const defaultConfig = "/etc/fluent-bit/fluent-bit.conf"

// checked is the outcome of `check`, as --json prints it.
type checked struct {
	Config   string         `json:"config"`
	Findings []lint.Finding `json:"findings"`
	Tenants  []*visit       `json:"tenants"`
	// Homes are the providers' own sign-ins by which tenants are reached.
	Homes []*homeVisit `json:"homes,omitempty"`
	// Stores are the databases that inputs share with other machines.
	Stores   []*storeVisit `json:"stores,omitempty"`
	ExitCode int           `json:"exit_code"`
}

// checkOptions are the flags of `check`.
type checkOptions struct {
	offline, explain, asJSON bool
	set                      *settings
}

func (c *cli) checkCommand() *cobra.Command {
	var o checkOptions

	cmd := &cobra.Command{
		Use:   "check [CONFIG]",
		Short: "Check a configuration, sign in, and ask each API for an alert",
		Args:  cobra.MaximumNArgs(1),
		Long: "Reads a configuration of Fluent Bit (classic or YAML, with includes and ${ENV}) or a tenants file, " +
			"and names what Fluent Bit would refuse, misspelt keys, wrong values, outputs that cannot work, settings " +
			"under which alerts are lost, and files that others can read or change. Then it signs in for each tenant " +
			"as the input would (tokens it gets are stored) and asks for one alert, and names relationships with " +
			"customers (GDAP) that end soon or lack a role, a provider's sign-in without multi-factor " +
			"authentication, and tenants in another cloud; of a store in PostgreSQL it names version and " +
			"encryption. CONFIG is " + defaultConfig +
			" by default. Errors and warnings give exit code 1, refusals 3 or 4; notes do not count.",
		Example: "  defenderctl check\n  defenderctl check --offline tenants.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.explain {
				return c.explain(o.asJSON)
			}

			path := defaultConfig
			if len(args) == 1 {
				path = args[0]
			}

			return c.check(cmd.Context(), path, o)
		},
	}
	o.set = newSettings(c, cmd, networkKeys)

	flags := cmd.Flags()
	flags.BoolVar(&o.offline, "offline", false, "look at files only")
	flags.BoolVar(&o.explain, "explain", false, "print the table of hosts, resources and limits, and nothing else")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")

	return cmd
}

// check checks the files of a configuration, and unless o.offline says otherwise the
// sign-in and API of each tenant in it.
func (c *cli) check(ctx context.Context, path string, o checkOptions) error {
	found, err := c.lint(path)
	if err != nil {
		return err
	}

	r := checked{
		Config:   path,
		Findings: append([]lint.Finding{}, found.Findings...),
		Tenants:  []*visit{},
	}
	if !o.asJSON {
		c.printFindings(r)
	}

	if !o.offline {
		if err := o.set.overrideAll(ctx, found.Inputs); err != nil {
			return err
		}

		r.Stores = c.visitStores(ctx, found.Inputs)
		if !o.asJSON {
			c.printStores(r.Stores)
		}

		r.Tenants, r.Homes = c.visitAll(ctx, found.Inputs, o.set)
		if !o.asJSON {
			c.printVisits(r.Tenants)
			c.printHomes(r.Homes)
		}
	}

	r.ExitCode = r.exitCode()
	if o.asJSON {
		if err := printJSON(c.Out, r); err != nil {
			return err
		}
	}

	if err := ctx.Err(); err != nil {
		return err // what is known has been printed
	}

	if r.ExitCode != exitOK {
		return &printedError{r.ExitCode}
	}

	return nil
}

// overrideAll applies the flags to the tenants of all inputs.
func (s *settings) overrideAll(ctx context.Context, inputs []lint.Input) error {
	for _, in := range inputs {
		for i := range in.Tenants {
			if err := s.override(ctx, &in.Tenants[i]); err != nil {
				return err
			}
		}

		if in.Discovery != nil {
			if err := s.override(ctx, &in.Discovery.Home); err != nil {
				return err
			}
		}
	}

	return nil
}

// exitCode returns the worst exit code of all that was found. Notes do not count.
func (r checked) exitCode() int {
	codes := []int{}

	for _, f := range r.Findings {
		if f.Level != lint.Note {
			codes = append(codes, exitFailed)
		}
	}

	for _, v := range r.Tenants {
		codes = append(codes, v.Code)
	}

	for _, h := range r.Homes {
		codes = append(codes, h.Code)
	}

	for _, s := range r.Stores {
		codes = append(codes, s.Code)
	}

	return worst(codes...)
}

// lint reads a configuration of any kind.
func (c *cli) lint(path string) (lint.Result, error) {
	sources := config.Sources{Env: c.LookupEnv}

	file, err := fluentbit.Load(path, c.LookupEnv)
	if errors.Is(err, fluentbit.ErrTenantsFile) {
		return lint.TenantsFile(path, sources), nil
	}

	if err != nil {
		var e *fluentbit.Error
		if errors.As(err, &e) {
			return lint.Unreadable(e), nil
		}

		return lint.Result{}, err
	}

	return lint.Config(file, sources), nil
}

func (c *cli) printFindings(r checked) {
	counts := map[lint.Level]int{}
	for _, f := range r.Findings {
		counts[f.Level]++
		fmt.Fprintln(c.Out, terminal.Wrap(f.String(), "    ", terminal.PageColumns))
	}

	var parts []string

	if counts[lint.Error]+counts[lint.Warning] == 0 {
		parts = append(parts, "no problems found")
	}

	for _, l := range []lint.Level{lint.Error, lint.Warning, lint.Note} {
		switch n := counts[l]; {
		case n == 1:
			parts = append(parts, "1 "+string(l))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, l))
		}
	}

	fmt.Fprintf(c.Out, "%s: %s\n", plain.Text(r.Config, 256), strings.Join(parts, ", "))
}

// explained is a row of the table of hosts, as --json prints it.
type explained struct {
	API        string `json:"api"`
	Cloud      string `json:"cloud"`
	Region     string `json:"region"`
	LoginURL   string `json:"login_url"`
	APIURL     string `json:"api_url"`
	Path       string `json:"path"`
	Resource   string `json:"resource"`
	SignIn     string `json:"sign_in"`
	MaxPage    int    `json:"max_page"`
	PerMinute  int    `json:"per_minute"`
	PerHour    int    `json:"per_hour"`
	Source     string `json:"source"`
	Unverified string `json:"unverified,omitempty"`
}

// explain prints the table of hosts: first what depends on the cloud, then the
// addresses, then the limits of each API.
func (c *cli) explain(asJSON bool) error {
	all := explainedTable()
	if asJSON {
		return printJSON(c.Out, all)
	}

	var signIn, hosts, limits [][]string

	seen := map[string]bool{}
	first := func(key string) bool {
		again := seen[key]
		seen[key] = true

		return !again
	}

	for _, e := range all {
		if first(e.API + " " + e.Cloud) {
			login := strings.TrimPrefix(e.LoginURL, "https://") + " " + e.SignIn
			signIn = append(signIn, []string{e.API, e.Cloud, login, e.Resource})
		}

		address := strings.TrimPrefix(e.APIURL, "https://") + e.Path
		if e.Unverified != "" {
			address += "*"
		}

		hosts = append(hosts, []string{e.API, e.Cloud, e.Region, address})

		if first(e.API) {
			limits = append(limits, []string{e.API, limit(e.MaxPage), limit(e.PerMinute), limit(e.PerHour)})
		}
	}

	terminal.Table(c.Out, []string{"API", "CLOUD", "SIGN-IN", "RESOURCE"}, signIn, 3)
	fmt.Fprintln(c.Out)
	terminal.Table(c.Out, []string{"API", "CLOUD", "REGION", "ADDRESS"}, hosts, 3)
	fmt.Fprintln(c.Out,
		"* not confirmed by a public page: see --json; login_url, api_url and resource override everything")
	fmt.Fprintln(c.Out)
	terminal.Table(c.Out, []string{"API", "ROWS A PAGE", "CALLS A MINUTE", "CALLS AN HOUR"}, limits)

	return nil
}

// limit writes a limit of an API for a table; 0 stands for none.
func limit(n int) string {
	if n == 0 {
		return "-"
	}

	return strconv.Itoa(n)
}

// explainedTable returns the table of hosts as --json prints it.
func explainedTable() []explained {
	var all []explained

	for _, r := range cloud.Table() {
		e := explained{
			API:        string(r.API),
			Cloud:      string(r.Cloud),
			Region:     r.Region,
			LoginURL:   r.LoginURL,
			APIURL:     r.APIURL,
			Path:       r.Path,
			Resource:   r.Resource,
			SignIn:     "v2",
			MaxPage:    r.MaxPage,
			PerMinute:  r.PerMinute,
			PerHour:    r.PerHour,
			Source:     r.Source,
			Unverified: r.Unverified,
		}
		if r.V1 {
			e.SignIn = "v1"
		}

		all = append(all, e)
	}

	return all
}
