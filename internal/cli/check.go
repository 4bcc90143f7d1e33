package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/cli/lint"
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
	ExitCode int            `json:"exit_code"`
}

func (c *cli) checkCommand() *cobra.Command {
	var (
		offline, explain, asJSON bool
		set                      *settings
	)

	cmd := &cobra.Command{
		Use:   "check [CONFIG]",
		Short: "Check a configuration, sign in, and ask each API for an alert",
		Args:  cobra.MaximumNArgs(1),
		Long: "Reads a configuration of Fluent Bit (classic or YAML, with includes and ${ENV}) or a tenants file, and names what Fluent Bit " +
			"would refuse, misspelt keys, wrong values, outputs that cannot work, settings under which alerts are lost, and files that " +
			"others can read or change. Then it signs in for each tenant as the input would (tokens it gets are stored) and asks for one " +
			"alert. CONFIG is " + defaultConfig + " by default. Errors and warnings give exit code 1, refusals 3 or 4; notes do not count.",
		Example: "  defenderctl check\n  defenderctl check --offline tenants.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			if explain {
				return c.explain(asJSON)
			}

			r := checked{Config: defaultConfig, Findings: []lint.Finding{}, Tenants: []*visit{}}
			if len(args) == 1 {
				r.Config = args[0]
			}

			found, err := c.lint(r.Config)
			if err != nil {
				return err
			}

			r.Findings = append(r.Findings, found.Findings...)
			if !asJSON {
				c.printFindings(r)
			}

			codes := []int{}

			for _, f := range r.Findings {
				if f.Level != lint.Note {
					codes = append(codes, exitFailed)
				}
			}

			if !offline {
				for _, in := range found.Inputs {
					for i := range in.Tenants {
						if err := set.override(cmd.Context(), &in.Tenants[i]); err != nil {
							return err
						}
					}
				}

				r.Tenants = c.visitAll(cmd.Context(), found.Inputs)
				for _, v := range r.Tenants {
					codes = append(codes, v.Code)
				}

				if !asJSON {
					c.printVisits(r.Tenants)
				}
			}

			r.ExitCode = worst(codes...)
			if asJSON {
				if err := printJSON(c.Out, r); err != nil {
					return err
				}
			}

			if err := cmd.Context().Err(); err != nil {
				return err // what is known has been printed
			}

			if r.ExitCode != exitOK {
				return &told{r.ExitCode}
			}

			return nil
		},
	}
	set = newSettings(c, cmd, networkKeys)
	cmd.Flags().BoolVar(&offline, "offline", false, "look at files only")
	cmd.Flags().
		BoolVar(&explain, "explain", false, "print the table of hosts, resources and limits, and nothing else")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")

	return cmd
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
			return lint.Result{Findings: []lint.Finding{{
				Level:   lint.Error,
				File:    e.File,
				Line:    e.Line,
				Problem: e.Problem,
				Remedy:  e.Remedy,
			}}}, nil
		}

		return lint.Result{}, err
	}

	return lint.Config(file, sources), nil
}

func (c *cli) printFindings(r checked) {
	counts := map[lint.Level]int{}
	for _, f := range r.Findings {
		counts[f.Level]++
		fmt.Fprintln(c.Out, wrap(f.String(), "    "))
	}

	if len(r.Findings) == 0 {
		fmt.Fprintf(c.Out, "%s: no problems found\n", plain.Text(r.Config, 256))
		return
	}

	var parts []string

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

// explain prints where everything lives: first what depends on the cloud, then the hosts.
func (c *cli) explain(asJSON bool) error {
	var all []explained

	for _, r := range cloud.Table() {
		e := explained{
			string(r.API),
			string(r.Cloud),
			r.Region,
			r.LoginURL,
			r.APIURL,
			r.Path,
			r.Resource,
			"v2",
			r.MaxPage,
			r.PerMinute,
			r.PerHour,
			r.Source,
			r.Unverified,
		}
		if r.V1 {
			e.SignIn = "v1"
		}

		all = append(all, e)
	}

	if asJSON {
		return printJSON(c.Out, all)
	}

	number := func(n int) string {
		if n == 0 {
			return "-"
		}

		return fmt.Sprint(n)
	}

	var signIn, hosts [][]string

	seen := map[string]bool{}
	for _, e := range all {
		if key := e.API + e.Cloud; !seen[key] {
			seen[key] = true

			signIn = append(
				signIn,
				[]string{e.API, e.Cloud, strings.TrimPrefix(e.LoginURL, "https://") + " " + e.SignIn, e.Resource},
			)
		}

		mark := ""
		if e.Unverified != "" {
			mark = "*"
		}

		hosts = append(
			hosts,
			[]string{e.API, e.Cloud, e.Region, strings.TrimPrefix(e.APIURL, "https://") + e.Path + mark},
		)
	}

	table(c.Out, []string{"API", "CLOUD", "SIGN-IN", "RESOURCE"}, signIn, 3)
	fmt.Fprintln(c.Out)
	table(c.Out, []string{"API", "CLOUD", "REGION", "ADDRESS"}, hosts, 3)
	fmt.Fprintln(
		c.Out,
		"* not confirmed by a public page: see --json; login_url, api_url and resource override everything",
	)
	fmt.Fprintln(c.Out)

	var limits [][]string

	for _, e := range all {
		if key := e.API; !seen[key] {
			seen[key] = true

			limits = append(limits, []string{e.API, number(e.MaxPage), number(e.PerMinute), number(e.PerHour)})
		}
	}

	table(c.Out, []string{"API", "ROWS A PAGE", "CALLS A MINUTE", "CALLS AN HOUR"}, limits)

	return nil
}
