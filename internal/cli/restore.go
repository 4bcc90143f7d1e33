package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/sqlite"
	"fluent-bit-defender/internal/wiring"
)

func (c *cli) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore DIR",
		Short: "Put a backup into an empty data directory",
		Args:  oneArgument("DIR"),
		Long: "Puts what `backup` wrote into DIR into the data directory, which must be empty or not exist, and on " +
			"which no Fluent Bit may run. Nothing is lost by it that the API still lists; what was delivered after " +
			"the backup is emitted again, with the same record_ids. A store in PostgreSQL is restored by its own " +
			"means, pg_restore.",
		Example: "  defenderctl restore /backup/defender-2026-03-01 --data-dir /var/lib/defender",
		RunE:    func(_ *cobra.Command, args []string) error { return c.restore(args[0]) },
	}

	return cmd
}

// errDatabase refuses to back up a database, or to restore one, which its own tools do
// better: their copy is consistent with all else that the database is restored with.
func errDatabase(command string, at place) error {
	const plainly = "this store is a PostgreSQL database, and nothing of it is in files of this machine: "

	address := plain.Shell(config.ToolStore(at.URL))

	if command == "restore" {
		return usagef(plainly+"stop all nodes, and restore it by its own means: "+
			"pg_restore --clean --if-exists -d %s FILE", address)
	}

	return usagef(plainly+"keep the key_file elsewhere, and back the rest up by its own means: "+
		"pg_dump --schema=defender -Fc -f FILE -d %s", address)
}

// restore puts a backup into the data directory.
func (c *cli) restore(from string) error {
	at, err := c.at(place{})
	if err != nil {
		return err
	}

	if at.Shared() {
		return errDatabase("restore", at)
	}

	from, err = filepath.Abs(from)
	if err != nil {
		return err
	}

	m, copies, err := openBackup(from)
	if err != nil {
		return err
	}

	defer func() {
		for _, f := range copies {
			f.Close()
		}
	}()

	dir := at.DataDir

	key, err := wiring.StoreKey(at.KeyFile)
	if err != nil {
		return err
	}

	if err := c.becomeOwner(dir); err != nil {
		return err
	}

	readers := map[string]io.Reader{}
	for name, f := range copies {
		readers[name] = f
	}

	warnings, err := sqlite.Restore(sqlite.Options{
		Dir: dir,
		Key: key,
		Now: c.Now,
		Log: c.log,
	}, readers)
	if err != nil {
		return err
	}

	for _, w := range warnings {
		c.say("warning: %s", w)
	}

	fmt.Fprintf(c.Out, "%s: the state of %s is restored: progress of %s, %s\n",
		plain.Text(dir, 1024), m.Made, counted(m.Units, "unit"), counted(m.Tokens, "refresh token"))
	c.explainRestored(m)

	return nil
}

// explainRestored says what repeats after a restore, and what may be missing.
func (c *cli) explainRestored(m manifest) {
	for _, line := range []string{
		"What repeats: alerts that were delivered after " + m.Made + " are emitted again when the input starts, with " +
			"the same record_ids, so that a receiver can discard them. Nothing is lost that the API still lists.",
		"If Fluent Bit's storage.path was lost too, what waited there is gone with it: defenderctl rewind NAME " +
			"--since TIME emits it again.",
		"A refresh token that was rotated after the backup may be refused by the service: such a tenant shows the " +
			"reason token_dead or chain_dead and needs a new sign-in.",
	} {
		c.tell("%s", c.wrap(line, "  "))
	}
}

// openBackup opens the files of a backup, and compares them with its manifest. The caller
// closes them.
func openBackup(dir string) (m manifest, files map[string]*os.File, err error) {
	path := filepath.Join(dir, manifestFile)

	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil, fmt.Errorf("%s is not a backup, or one that was not finished: %s is missing",
			plain.Text(dir, 1024), manifestFile)
	}

	if err != nil {
		return m, nil, err
	}

	if err := json.Unmarshal(text, &m); err != nil || m.Format < 1 {
		return m, nil, fmt.Errorf("%s is not what backup wrote", plain.Text(path, 1024))
	}

	if m.Format > manifestFormat {
		return m, nil, fmt.Errorf("%s: %w of defenderctl (%s); use that one", plain.Text(path, 1024), store.ErrNewer,
			plain.Text(m.Version, 64))
	}

	files = map[string]*os.File{}

	for _, saved := range m.Files {
		f, err := saved.open(dir)
		if err != nil {
			for _, f := range files {
				f.Close()
			}

			return m, nil, err
		}

		files[saved.Name] = f
	}

	return m, files, nil
}

// open opens a file of a backup and checks that it is what was written.
func (s savedFile) open(dir string) (*os.File, error) {
	path := filepath.Join(dir, filepath.Base(s.Name))

	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}

	sum, size, err := checksum(f)
	if err == nil && (sum != s.SHA256 || size != s.Size) {
		err = fmt.Errorf("%s: %w: it is not what backup wrote", plain.Text(path, 1024), store.ErrDamaged)
	}

	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}

	if err != nil {
		return nil, errors.Join(err, f.Close())
	}

	return f, nil
}
