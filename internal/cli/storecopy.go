package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/transfer"
	"fluent-bit-defender/internal/wiring"
)

// storeCommand is the group of the commands about the store as a whole.
func (c *cli) storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "store",
		Short:   "The store: copy it from files to PostgreSQL, or back",
		Example: "  defenderctl store copy --from /var/lib/defender --to postgres://defender@db.example/defender",
	}
	group(cmd)
	cmd.AddCommand(c.storeCopyCommand())

	return cmd
}

// storeCopying is one run of `store copy`.
type storeCopying struct {
	from, to           string
	fromKeyFile, toKey string
	asJSON             bool
}

// copiedStore is what `store copy --json` prints.
type copiedStore struct {
	From   string          `json:"from"`
	To     string          `json:"to"`
	Copied transfer.Counts `json:"copied"`
}

func (c *cli) storeCopyCommand() *cobra.Command {
	var s storeCopying

	cmd := &cobra.Command{
		Use:   "copy --from STORE --to STORE",
		Short: "Copy a store into an empty one, of the same or another kind",
		Args:  noArguments,
		Long: "Copies refresh tokens, the progress of all units with what was delivered, deferred alerts, statuses, " +
			"requests to rewind, and documents. Each STORE is a data directory or postgres://USER@HOST/DATABASE. " +
			"Nothing may run on either: stop Fluent Bit on all machines in good order. The target must be empty. " +
			"The tokens are decrypted with --from-key-file and encrypted with --to-key-file; --key-file stands for " +
			"both, so leave it out for a source that is not encrypted. A database always needs a key.\n\n" +
			"The source stays as it is. Keep it until the inputs run with the target, and then do not start them " +
			"with it again. A copy that was interrupted is refused by inputs, and by the next copy: empty that " +
			"target (remove the directory, or DROP SCHEMA defender CASCADE) and copy again.",
		Example: "  defenderctl store copy --from /var/lib/defender \\\n" +
			"      --to postgres://defender@db.example/defender --to-key-file /etc/fluent-bit/defender.key\n" +
			"  defenderctl store copy --from postgres://defender@db.example/defender --to /var/lib/defender \\\n" +
			"      --key-file /etc/fluent-bit/defender.key",
		RunE: func(cmd *cobra.Command, _ []string) error { return c.copyStore(cmd.Context(), s) },
	}

	flags := cmd.Flags()
	flags.StringVar(&s.from, "from", "", "store to copy: a data directory, or postgres://…")
	flags.StringVar(&s.to, "to", "", "empty store to copy to: a data directory, or postgres://…")
	flags.StringVar(&s.fromKeyFile, "from-key-file", "", "file with the key of the source (default --key-file)")
	flags.StringVar(&s.toKey, "to-key-file", "", "file with the key of the target (default --key-file)")
	flags.BoolVar(&s.asJSON, "json", false, "print JSON")

	return cmd
}

// copyStore copies a store.
func (c *cli) copyStore(ctx context.Context, s storeCopying) error {
	from, to, err := c.copyPlaces(s)
	if err != nil {
		return err
	}

	source, err := c.openForCopy(ctx, from)
	if err != nil {
		return fmt.Errorf("--from %s: %w", plain.Text(from.Name(), 1024), err)
	}
	defer source.Close()

	target, err := c.openForCopy(ctx, to)
	if err != nil {
		return fmt.Errorf("--to %s: %w", plain.Text(to.Name(), 1024), err)
	}

	copied, err := transfer.Copy(ctx, source, target)
	if err := errors.Join(err, target.Close()); err != nil {
		return copyFault(to, err)
	}

	c.say("set %s in every input now; do not start an input with %s again: what it delivers there is not known here",
		inputKeys(to), plain.Text(from.Name(), 1024))

	if s.asJSON {
		return printJSON(c.Out, copiedStore{
			From:   from.Name(),
			To:     to.Name(),
			Copied: copied,
		})
	}

	fmt.Fprintln(c.Out, c.wrap(fmt.Sprintf("%s: copied from %s: %s", plain.Text(to.Name(), 1024),
		plain.Text(from.Name(), 1024), copied), "  "))

	return nil
}

// inputKeys are the keys of an input that uses a store.
func inputKeys(at place) string {
	keys := "data_dir " + plain.Text(at.DataDir, 1024)
	if at.Shared() {
		keys = "store " + plain.Text(at.Name(), 1024)
	}

	if at.KeyFile != "" {
		keys += " and key_file " + plain.Text(at.KeyFile, 1024)
	}

	return keys
}

// copyFault says what to do about a target that is not as it should be.
func copyFault(to place, err error) error {
	clean := "remove the directory " + plain.Shell(to.DataDir)
	if to.Shared() {
		clean = "DROP SCHEMA defender CASCADE in it"
	}

	switch {
	case errors.Is(err, transfer.ErrInterrupted):
		return fmt.Errorf("%w; empty %s (%s) and copy again", err, plain.Text(to.Name(), 1024), clean)
	case errors.Is(err, transfer.ErrNotEmpty):
		return fmt.Errorf("%w; name another one, or, if nobody needs what it has, %s", err, clean)
	case errors.Is(err, store.ErrInUse):
		return err
	case errors.Is(err, store.ErrPlain):
		return fmt.Errorf("nothing was copied: %w; if the source was never encrypted, give the key as --to-key-file, "+
			"not as --key-file, which is for both", err)
	case errors.Is(err, store.ErrKey):
		return fmt.Errorf("nothing was copied: %w (--from-key-file)", err)
	}

	return fmt.Errorf("the copy is not complete: %w; the source is as it was; %s and copy again", err, clean)
}

// copyPlaces reads where to copy from and to.
func (c *cli) copyPlaces(s storeCopying) (from, to place, err error) {
	if s.from == "" || s.to == "" {
		return from, to, usagef("give --from and --to: data directories, or postgres://USER@HOST/DATABASE")
	}

	if c.dataDir != "" || c.store != "" {
		return from, to, usagef("--from and --to say which stores are meant; leave out --data-dir and --store")
	}

	if from, err = c.copyPlace("--from", s.from, s.fromKeyFile); err != nil {
		return from, to, err
	}

	if to, err = c.copyPlace("--to", s.to, s.toKey); err != nil {
		return from, to, err
	}

	if from.Same(to) {
		return from, to, usagef("--from and --to are the same store")
	}

	if !from.Shared() && !exists(from.DataDir) {
		return from, to, usagef("--from: there is no directory %s", plain.Text(from.DataDir, 1024))
	}

	return from, to, nil
}

// copyPlace reads a directory, or the address of a database.
func (c *cli) copyPlace(flag, value, keyFile string) (place, error) {
	p := place{KeyFile: wiring.AbsolutePath(cmp.Or(keyFile, c.keyFile))}

	if !strings.Contains(value, "://") {
		p.DataDir = wiring.AbsolutePath(value)
		return p, nil
	}

	var err error

	p.URL, err = c.parseStore(flag, value)

	return p, err
}

// openForCopy opens a store so that no input can use it meanwhile. What a crash of the
// machine has undone in files is undone first.
func (c *cli) openForCopy(ctx context.Context, at place) (store.Store, error) {
	o, err := c.storeOptions(at)
	if err != nil {
		return nil, err
	}

	if !at.Shared() {
		if err := c.becomeOwner(at.DataDir); err != nil {
			return nil, err
		}

		o.Exclusive = true
	}

	s, err := wiring.OpenStore(ctx, o)
	if err != nil {
		return nil, err
	}

	for _, w := range s.Warnings() {
		c.say("warning: %s", w)
	}

	return s, nil
}
