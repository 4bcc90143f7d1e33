package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// Main runs the command line of the process and returns the exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	return Run(ctx, SystemEnv(), args)
}

// Run runs one command line and returns the exit code: 0 done, 1 failed, 2 usage, 3 needs
// sign-in again, 4 not authorised, 130 interrupted.
func Run(ctx context.Context, env Env, args []string) int {
	c := newCLI(env)
	out := c.out
	root := c.root()
	root.SetArgs(args)

	ran, err := func() (*cobra.Command, error) {
		defer c.explainEnd(ctx)()
		return root.ExecuteContextC(ctx)
	}()
	if err != nil && !c.started {
		err = &usageError{err} // flags and arguments are looked at before a command starts
	}

	if err != nil && ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}

	var silent *printedError
	switch {
	case out.Err() == nil:
	case errors.As(err, &silent):
		c.say("%v", out.Err()) // beside what has been told
	case err == nil || !c.started:
		err = out.Err()
	}

	code := exitCode(err)
	switch {
	case err == nil || errors.As(err, &silent):
	case code == exitInterrupted:
		c.say("interrupted")
	default:
		c.say("%v", err)

		if code == exitUsage {
			c.say("see: %s --help", ran.CommandPath())
		}
	}

	return code
}

// Commands returns the tree of commands, for the manual pages and the completions of
// shells that are made of it. Nothing of it may be run.
func Commands() *cobra.Command {
	env := SystemEnv()
	env.OutTerminal, env.ErrTerminal = false, false

	return newCLI(env).root()
}

// newCLI makes a run of the command. What it prints for a person goes through
// plain.Screen; only its own control sequences, written to bareOut and bareErr, do not.
func newCLI(env Env) *cli {
	c := &cli{Env: env, bareOut: env.Out, bareErr: env.Err}

	c.out = &terminal.Output{W: env.Out}
	if env.OutTerminal {
		c.out.W, c.out.Columns = plain.NewScreen(env.Out), c.columns
	}

	c.Out, c.Err = c.out, plain.NewScreen(env.Err)
	c.log = slog.New(sayHandler{c})

	return c
}

// columns returns the width of the terminal, or of a page where that is not known.
func (c *cli) columns() int {
	if c.Columns != nil {
		if n := c.Columns(); n > 0 {
			return max(n, terminal.LeastColumns)
		}
	}

	return terminal.PageColumns
}

// textColumns returns how wide a text for a person may be. On a wide terminal that is
// less than its width, since long lines are hard to read.
func (c *cli) textColumns() int {
	if c.OutTerminal || c.ErrTerminal {
		return min(c.columns(), terminal.PageColumns)
	}

	return terminal.PageColumns
}

// wrap breaks a text into lines that fit.
func (c *cli) wrap(text, indent string) string { return terminal.Wrap(text, indent, c.textColumns()) }

// cli is one run of the command.
type cli struct {
	Env
	out              *terminal.Output // Env.Out
	bareOut, bareErr io.Writer
	dataDir, keyFile string
	// store is --store, which may hold a password.
	store string
	// toldOfPassword says that the warning about a password in a flag was given.
	toldOfPassword bool
	// warned are the warnings of stores that were given.
	warned []string
	// started: the command line was understood, and the command runs.
	started bool
	lines   *terminal.Lines
	log     *slog.Logger // for the packages that a command uses
}

// explainEnd tells a person who has interrupted a command why it does not end at once:
// it waits a few seconds for the answer to a redemption, which may hold the only good
// refresh token. The function that it returns ends the watch.
func (c *cli) explainEnd(ctx context.Context) (done func()) {
	ended := make(chan struct{})

	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-ctx.Done():
		case <-ended:
			return
		}

		select {
		case <-time.After(explainEndAfter):
			c.say("ending; an answer that is on its way is awaited for a few seconds, so that no token is lost")
		case <-ended:
		}
	})

	return func() {
		close(ended)
		wg.Wait()
	}
}

// explainEndAfter is how long an interrupted command may take without a word.
const explainEndAfter = 500 * time.Millisecond

// say writes a line for the person to stderr.
func (c *cli) say(format string, args ...any) {
	fmt.Fprintln(c.Err, c.wrap("defenderctl: "+fmt.Sprintf(format, args...), "  "))
}

// tell writes a line to stderr without the program's name: addresses, codes, progress.
func (c *cli) tell(format string, args ...any) { fmt.Fprintf(c.Err, format+"\n", args...) }

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "defenderctl",
		Short: "Companion of the Fluent Bit input for Microsoft Defender alerts",
		Long: "defenderctl signs in to customers' tenants, checks configurations, and shows how the inputs do.\n\n" +
			"Exit codes: 0 ok, 1 failed, 2 usage, 3 needs sign-in again, 4 not authorised, 130 interrupted.",
		Example: "  defenderctl tokens acquire --tenant-id contoso.onmicrosoft.com \\\n" +
			"      --client-id 11111111-2222-3333-4444-555555555555\n  defenderctl check " +
			"/etc/fluent-bit/fluent-bit.conf",
		Version:       versionLine(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVar(&c.dataDir, "data-dir", "", "directory of tokens.db and defender.db (default "+
		"$DEFENDER_DATA_DIR, else "+wiring.DefaultDataDir+")")
	root.PersistentFlags().StringVar(&c.store, "store", "", "PostgreSQL database that several machines share, "+
		"postgres://USER@HOST/DATABASE (default $"+storeVariable+"); its password belongs into a password file "+
		"(PGPASSFILE) or $PGPASSWORD")
	root.PersistentFlags().StringVar(&c.keyFile, "key-file", "", "file with the 32-byte key (base64) that encrypts "+
		"the stored tokens")
	group(root)

	chains := &cobra.Command{Use: "tokens", Short: "Refresh tokens: acquire, list, refresh, remove, rekey, import",
		Example: "  defenderctl tokens list"}
	group(chains)
	chains.AddCommand(
		c.acquireCommand(),
		c.listCommand(),
		c.refreshCommand(),
		c.removeCommand(),
		c.rekeyCommand(),
		c.importCommand(),
	)
	root.AddCommand(
		chains,
		c.checkCommand(),
		c.pullCommand(),
		c.compareCommand(),
		c.rewindCommand(),
		c.statusCommand(),
		c.nodesCommand(),
		c.drainCommand(),
		c.tenantsCommand(),
		c.storeCommand(),
		c.backupCommand(),
		c.restoreCommand(),
		c.bundleCommand(),
		c.simulateCommand(),
		c.installCommand(),
		c.versionCommand(),
	)
	root.SetIn(c.In)
	root.SetOut(c.Out)
	root.SetErr(c.Err)
	completion(root) // takes the output as it is now
	tidy(root, c.textColumns())
	c.mark(root)

	return root
}

// mark makes each command set c.started when it begins: an error before that is a
// mistake in the command line. (A hook of Cobra is too early: it checks groups of flags
// later.)
func (c *cli) mark(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil && !cmd.HasSubCommands() {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.started = true
			return run(cmd, args)
		}
	}

	for _, sub := range cmd.Commands() {
		c.mark(sub)
	}
}

// group makes a command that only has others: alone it shows its help, and a name it
// does not know is an error with a suggestion.
func group(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}

		text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		if cmd.SuggestionsMinimumDistance <= 0 {
			cmd.SuggestionsMinimumDistance = 2
		}

		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}

		return errors.New(text)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// keeper uses the chains of a store; unsaved tells afterwards what could not be written
// to it.
func (c *cli) keeper(s store.Store) *tokens.Keeper {
	return tokens.NewKeeper(s.Tokens(), c.log)
}

// unsaved tries once more to write what a full or broken disk has kept in memory: this
// process ends, and the tokens with it.
func unsaved(ctx context.Context, k *tokens.Keeper) error {
	if err := k.Flush(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("a new refresh token could not be stored and is lost; the one before it stays valid at "+
			"Microsoft as a rule: %w", err)
	}

	return nil
}

// chainOf returns the key of the chain by which a unit is read, if it is read with one.
func chainOf(unit alert.UnitKey, st store.Status) tokens.ChainKey {
	signedInAt := cmp.Or(st.HomeTenantID, unit.TenantID)

	return tokens.NewChainKey(unit.LoginHost, string(signedInAt), string(st.ClientID))
}

// apiOf returns the API that inputs read with a chain; empty if that is not known, or
// they read several.
func (v *view) apiOf(ctx context.Context, key tokens.ChainKey) string {
	statuses, err := v.statuses(ctx)
	if err != nil {
		return ""
	}

	return useOf(statuses, key, time.Time{}).api
}

func (v *view) keys(ctx context.Context) ([]alert.UnitKey, error) {
	if v.s == nil {
		return nil, nil
	}

	return v.s.Keys(ctx)
}
