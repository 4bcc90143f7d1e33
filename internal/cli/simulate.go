package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/testbed/simulator"
)

func (c *cli) simulateCommand() *cobra.Command {
	var (
		o    simulator.CLIOptions
		auto bool
	)

	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run a simulated sign-in service and simulated APIs",
		Long: "Runs Microsoft's sign-in service and the alert APIs in miniature, with invented tenants and " +
			"alerts, until it is interrupted. A ready configuration for Fluent Bit is printed once it listens, alone " +
			"on the standard output; a line per request goes to stderr.\n\n" +
			"With --home there is a provider's own tenant, whose one sign-in is good at all customers, with their " +
			"relationships (GDAP) at Microsoft Graph and with Partner Center. The tenants file that the " +
			"configuration names is written too. The page /simulator of the sign-in service shows the customers and " +
			"changes them while it runs: POST tenant=NAME and state=STATE, or add=NAME for a new customer.\n\n" +
			"States of --state and of that page:\n\n" + simulator.StatesHelp + "\n\n" + simulator.FaultsHelp(),
		Example: "  defenderctl simulate --tenants 3 --alerts 50 > simulated.conf &\n" +
			"  fluent-bit -e /usr/lib/fluent-bit/in_defender.so -c simulated.conf\n\n" +
			"  # One sign-in for 20 customers, of which one has not consented yet.\n" +
			"  defenderctl simulate --home --customers 20 --listen 127.0.0.1:8400 \\\n" +
			"      --state fabrikam001=90099 > simulated.conf &\n" +
			"  fluent-bit -e /usr/lib/fluent-bit/in_defender.so -c simulated.conf\n" +
			"  curl -d tenant=northwind002 -d state=53003 http://127.0.0.1:8400/simulator\n" +
			"  curl -d add=adventure http://127.0.0.1:8400/simulator",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Home && cmd.Flags().Changed("tenants") {
				return usagef("--tenants does not go with --home: use --customers")
			}

			return c.simulate(cmd.Context(), o, auto)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:0", "where the sign-in service listens; the APIs take the next ports")
	f.IntVar(&o.Tenants, "tenants", 3, "number of tenants")
	f.IntVar(&o.Alerts, "alerts", 20, "number of alerts in each tenant")
	f.BoolVar(&o.Home, "home", false, "a provider's own tenant, whose one sign-in is good at all customers")
	f.IntVar(&o.Customers, "customers", 10, "with --home: number of customers")
	f.StringToStringVar(&o.States, "state", nil, "puts tenants into states, as in fabrikam001=90099,northwind002=ended")
	f.BoolVar(&o.Config.Listed, "listed", false, "with --home: list the customers in the tenants file")
	f.BoolVar(&o.Config.WithoutToken, "without-token", false,
		"with --home: leave the refresh token out of the configuration, so that you sign in yourself")
	f.StringVar(&o.Config.TenantsFile, "tenants-file", simulator.DefaultTenantsFile,
		"with --home: the tenants file to write")
	f.StringVar(&o.Faults, "faults", "", `faults, such as "429:every=7;wait=5s,cut:p=0.1"`)
	f.Uint64Var(&o.Seed, "seed", 1, "makes everything reproducible")
	f.StringVar(&o.Config.API, "api", "", "API of all tenants (default all in turn; graph with --home)")
	f.Var(
		newDuration(&o.Trickle, 10*time.Second),
		"trickle",
		"how often, on average, each tenant gets a new or updated alert; 0 for never",
	)
	f.BoolVar(&auto, "auto-consent", false, "the sign-in pages decide at once, as if a person had pressed Accept")

	return cmd
}

// simulate runs the simulator until ctx ends. With auto its sign-in pages decide at once.
func (c *cli) simulate(ctx context.Context, o simulator.CLIOptions, auto bool) error {
	if _, err := simulator.ParseFaults(o.Faults); err != nil {
		return usagef("--faults: %w", err)
	}

	if min(o.Tenants, o.Customers) < 1 || max(o.Tenants, o.Customers) > 10_000 || o.Alerts < 0 || o.Alerts > 1_000_000 {
		return usagef("--tenants and --customers must be 1 to 10,000 and --alerts at most 1,000,000")
	}

	o.Config.DataDir = c.dataDir
	if o.Config.DataDir == "" {
		o.Config.DataDir, _ = c.LookupEnv("DEFENDER_DATA_DIR")
	}

	o.Log = func(line string) { c.tell("%s", line) }
	o.WriteTenants = func(text string) error { return writeSimulated(o.Config.TenantsFile, text) }

	s, conf, err := simulator.ServeForCLI(ctx, o)
	if errors.Is(err, simulator.ErrState) {
		return usagef("--%w", err)
	}

	if err != nil {
		return err
	}

	defer s.Close()

	s.SetAutoConsent(auto)

	if _, err := fmt.Fprint(c.Out, conf); err != nil {
		return err
	}

	c.tellSimulated(s, o)
	<-ctx.Done()

	return ctx.Err()
}

// tellSimulated says where the simulator listens, and how to use its home tenant.
func (c *cli) tellSimulated(s *simulator.Simulator, o simulator.CLIOptions) {
	c.tell("sign-in service: %s", s.LoginURL())

	for _, api := range simulator.APIs() {
		c.tell("%-16s %s", api+":", s.APIURL(api))
	}

	if o.Home {
		c.tell("%-16s %s", "partner:", s.APIURL(simulator.Partner))
		c.tell("%-16s %s/simulator", "customers:", s.LoginURL())
		c.tell("%-16s %s", "tenants file:", o.Config.TenantsFile)
	}

	c.tell("press Ctrl-C to end")
}

// writeSimulated writes the tenants file of a simulated provider. It replaces only a
// file that it has written itself.
func writeSimulated(name, text string) error {
	old, err := os.ReadFile(name)

	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("--tenants-file: %w", err)
	case !bytes.HasPrefix(old, []byte(simulator.TenantsFileMark)):
		return usagef("--tenants-file: %s exists and is not of this command: name another file", name)
	}

	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return fmt.Errorf("--tenants-file: %w", err)
	}

	return nil
}
