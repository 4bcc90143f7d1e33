package cli

import (
	"context"
	"fmt"
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
		Long: "Runs Microsoft's sign-in service and the four alert APIs in miniature, with invented tenants and " +
			"alerts, until it is interrupted. A ready configuration for Fluent Bit is printed once it listens, alone " +
			"on the standard output; a line per request goes to stderr.",
		Example: "  defenderctl simulate --tenants 3 --alerts 50 > simulated.conf &\n" +
			"  fluent-bit -e in_defender.so -c simulated.conf",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.simulate(cmd.Context(), o, auto) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:0", "where the sign-in service listens; the APIs take the next ports")
	f.IntVar(&o.Tenants, "tenants", 3, "number of tenants")
	f.IntVar(&o.Alerts, "alerts", 20, "number of alerts in each tenant")
	f.StringVar(&o.Faults, "faults", "", `faults, such as "429:every=7;wait=5s,cut:p=0.1"`)
	f.Uint64Var(&o.Seed, "seed", 1, "makes everything reproducible")
	f.StringVar(&o.Config.API, "api", "", "read all tenants from this API (default the four in turn)")
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

	if o.Tenants < 1 || o.Tenants > 10_000 || o.Alerts < 0 || o.Alerts > 1_000_000 {
		return usagef("--tenants must be 1 to 10,000 and --alerts at most 1,000,000")
	}

	o.Config.DataDir = c.dataDir
	if o.Config.DataDir == "" {
		o.Config.DataDir, _ = c.LookupEnv("DEFENDER_DATA_DIR")
	}

	o.Log = func(line string) { c.tell("%s", line) }

	s, conf, err := simulator.ServeForCLI(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()

	s.SetAutoConsent(auto)

	if _, err := fmt.Fprint(c.Out, conf); err != nil {
		return err
	}

	c.tell("sign-in service: %s", s.LoginURL())

	for _, api := range simulator.APIs() {
		c.tell("%-16s %s", api+":", s.APIURL(api))
	}

	c.tell("press Ctrl-C to end")
	<-ctx.Done()

	return ctx.Err()
}
