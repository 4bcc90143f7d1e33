package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/identity"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/sqlite"
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

	var silent *told
	switch {
	case out.err == nil:
	case errors.As(err, &silent):
		c.say("%v", out.err) // beside what has been told
	case err == nil || !c.started:
		err = out.err
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

	c.out = &output{w: env.Out}
	if env.OutTerminal {
		c.out.w, c.out.columns = plain.NewScreen(env.Out), c.columns
	}

	c.Out, c.Err = c.out, plain.NewScreen(env.Err)
	c.log = slog.New(sayHandler{c})

	return c
}

// columns is the width of the terminal, or of a page where that is not known.
func (c *cli) columns() int {
	if c.Columns != nil {
		if n := c.Columns(); n > 0 {
			return max(n, leastColumns)
		}
	}

	return columns
}

// textColumns is how wide a text for a person is: no line is longer than is good to read.
func (c *cli) textColumns() int {
	if c.OutTerminal || c.ErrTerminal {
		return min(c.columns(), columns)
	}

	return columns
}

// wrap breaks a text into lines that fit.
func (c *cli) wrap(text, indent string) string { return wrapTo(text, indent, c.textColumns()) }

// cli is one run of the command.
type cli struct {
	Env
	out              *output // Env.Out
	bareOut, bareErr io.Writer
	dataDir, keyFile string
	// started: the command line was understood, and the command runs.
	started bool
	lines   *lineReader
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
			"      --client-id 11111111-2222-3333-4444-555555555555 --api siem --region eu\n  defenderctl check " +
			"/etc/fluent-bit/fluent-bit.conf",
		Version:       versionLine(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVar(&c.dataDir, "data-dir", "", "directory of tokens.db and defender.db (default "+
		"$DEFENDER_DATA_DIR, else "+wiring.DefaultDataDir+")")
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
		c.tenantsCommand(),
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

// mark notes when a command begins: what is wrong before is the command line's fault.
// (Cobra looks at groups of flags after its hooks.)
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

// dir returns data_dir: the flag, what a configuration says, the environment, the
// default. (The configuration goes before the environment, since it is where the input
// looks.)
func (c *cli) dir(configured string) (string, error) {
	dir, _ := c.LookupEnv("DEFENDER_DATA_DIR")
	return filepath.Abs(cmp.Or(c.dataDir, configured, dir, wiring.DefaultDataDir))
}

// key returns the key of the store: that of the flag, or of a configuration.
func (c *cli) key(configured string) ([]byte, error) {
	return wiring.StoreKey(c.keyPath(configured))
}

// keyPath returns the file of the store's key as an absolute path, empty if there is
// none.
func (c *cli) keyPath(configured string) string {
	return wiring.AbsolutePath(cmp.Or(c.keyFile, configured))
}

// open opens the store for writing. configured is the configuration's word on where it
// is and what encrypts it; either may be empty. A warning that names one of corrected,
// what the command is about to correct, is left out.
func (c *cli) open(configured place, corrected ...string) (store.Store, error) {
	dir, err := c.dir(configured.dataDir)
	if err != nil {
		return nil, err
	}

	key, err := c.key(configured.keyFile)
	if err != nil {
		return nil, err
	}

	if err := c.becomeOwner(dir); err != nil {
		return nil, err
	}

	missing := !exists(dir)

	s, err := sqlite.Open(sqlite.Options{
		Dir: dir,
		Key: key,
		Now: c.Now,
		Log: c.log,
	})
	if err != nil {
		return nil, err
	}

	for _, w := range s.Warnings() {
		if !slices.ContainsFunc(corrected, func(m string) bool { return strings.Contains(w, m) }) {
			c.say("warning: %s", w)
		}
	}

	if missing && os.Geteuid() == 0 {
		c.say("made %s, which belongs to root; if Fluent Bit runs as another user: chown -R that-user "+
			"%s", dir, plain.Shell(dir))
	}

	return s, nil
}

// becomeOwner makes root work in another user's data directory as that user, who could
// otherwise have root read and write what a link in it names. It does so too when only
// a directory above belongs to that user.
func (c *cli) becomeOwner(dir string) error {
	if c.Become == nil || os.Geteuid() != 0 && !identity.Changed() {
		return nil
	}

	owners, err := filemode.Owners(dir)
	if err != nil {
		return err
	}

	remedy := "run it as the user Fluent Bit runs as: sudo -u USER defenderctl …"

	switch len(owners) {
	case 0:
		if identity.Changed() {
			return fmt.Errorf("data_dir %s belongs to root, another one of this configuration to another user; "+
				"check them one by one", dir)
		}

		return nil
	case 1:
		if err := c.Become(owners[0]); err != nil {
			return fmt.Errorf("data_dir %s belongs to user %d, and root does not work in it as root: %w; "+
				"%s", dir, owners[0], err, remedy)
		}

		return nil
	default:
		return fmt.Errorf("data_dir %s or directories above it belong to the users %s: any of them could replace "+
			"it; %s",
			dir, strings.Trim(fmt.Sprint(owners), "[]"), remedy)
	}
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

// view is the store for looking only. A directory that is not there is empty, and is
// not made.
type view struct {
	s store.Store
	// lost is the directory, if its tokens.db is gone while the copy of it is there.
	lost string
}

// Names of the store's files.
const (
	tokensFile = "tokens.db"
	tokensCopy = "tokens.db.bak"
)

// lostTokens reports whether tokens.db is gone from a directory, while its copy is there.
func lostTokens(dir string) bool {
	return !exists(filepath.Join(dir, tokensFile)) && exists(filepath.Join(dir, tokensCopy))
}

// lookFirst opens the store for reading, for a command that writes to it afterwards: it
// may put the copy of tokens.db in its place.
func (c *cli) lookFirst() (*view, error) {
	dir, err := c.dir("")
	if err != nil {
		return nil, err
	}

	if lostTokens(dir) {
		s, err := c.open(place{})
		if err != nil {
			return nil, err
		}

		if err := s.Close(); err != nil {
			return nil, err
		}
	}

	return c.look()
}

// look opens the store for reading.
func (c *cli) look() (*view, error) {
	dir, err := c.dir("")
	if err != nil || !exists(dir) {
		return &view{}, err
	}

	key, err := c.key("")
	if err != nil {
		return nil, err
	}

	if err := c.becomeOwner(dir); err != nil {
		return nil, err
	}

	s, err := sqlite.Open(sqlite.Options{
		Dir:      dir,
		Key:      key,
		ReadOnly: true,
		Now:      c.Now,
		Log:      c.log,
	})
	if errors.Is(err, store.ErrDamaged) {
		err = fmt.Errorf("%w; this command only reads: starting the input, or the next command that stores "+
			"something, moves the damaged file away", err)
	}

	v := &view{s: s}
	if lostTokens(dir) {
		v.lost = dir
	}

	return v, err
}

func (v *view) Close() {
	if v.s != nil {
		v.s.Close() // nothing was written
	}
}

func (v *view) chains(ctx context.Context) ([]store.ChainInfo, error) {
	if v.s == nil {
		return nil, nil
	}

	if v.lost != "" {
		return nil, fmt.Errorf("%s is gone from %s, but its copy %s is there; this command only reads: start the "+
			"input, or run "+
			"defenderctl tokens refresh NAME, and the copy takes its place", tokensFile, v.lost, tokensCopy)
	}

	return v.s.Tokens().List(ctx)
}

func (v *view) statuses(ctx context.Context) (map[alert.UnitKey]store.Status, error) {
	if v.s == nil {
		return nil, nil
	}

	list, err := v.s.Statuses(ctx)
	store.Freshen(list)

	return list, err
}

// discoveryNotice returns why the last list of customers failed, as the input kept it;
// nil after a good one. One that cannot be read says nothing.
func (v *view) discoveryNotice(ctx context.Context) *inputFault {
	if v.s == nil {
		return nil
	}

	var trouble health.Trouble

	body, ok, err := v.s.Document(ctx, store.DiscoveryNotice)
	if err != nil || !ok || json.Unmarshal(body, &trouble) != nil {
		return nil
	}

	return &inputFault{string(trouble.Reason), trouble.Message, trouble.Remedy}
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

	api := ""

	for unit, st := range statuses {
		if key != chainOf(unit, st) {
			continue
		}

		if api != "" && api != string(unit.API) {
			return ""
		}

		api = string(unit.API)
	}

	return api
}

func (v *view) keys(ctx context.Context) ([]alert.UnitKey, error) {
	if v.s == nil {
		return nil, nil
	}

	return v.s.Keys(ctx)
}

// place is where a configuration keeps tokens.
type place struct{ dataDir, keyFile string }

// noteStore notes in a tenant where its tokens are in this run, for the commands that
// messages name.
func (c *cli) noteStore(t *config.Tenant, configured place) {
	t.DataDir, _ = c.dir(configured.dataDir) // without a working directory the configured one is as good
	t.KeyFile = c.keyPath(configured.keyFile)
}
