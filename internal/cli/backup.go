package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/sqlite"
	"fluent-bit-defender/internal/version"
)

// manifestFile describes a backup. It is written last: a directory without it is no
// backup.
const manifestFile = "backup.json"

// manifestFormat is the format of manifestFile.
const manifestFormat = 1

// manifest is what manifestFile holds, and what `backup --json` prints.
type manifest struct {
	Format  int         `json:"format"`
	Made    string      `json:"made"`
	Version string      `json:"version"`
	From    string      `json:"from"`
	Units   int         `json:"units"`
	Tokens  int         `json:"tokens"`
	Files   []savedFile `json:"files"`
}

// savedFile is a file of a backup.
type savedFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func (c *cli) backupCommand() *cobra.Command {
	var asJSON bool

	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy the store into a new directory while the inputs go on",
		Args:  oneArgument("DIR"),
		Long: "Writes consistent copies of tokens.db and defender.db into DIR, which must be empty or not exist. " +
			"A running Fluent Bit is not disturbed. The copies hold refresh tokens: keep them as secret as data_dir. " +
			"The key_file is not part of it: keep it elsewhere, without it encrypted tokens cannot be used. A store " +
			"in PostgreSQL is backed up by its own means, pg_dump.",
		Example: "  defenderctl backup /backup/defender-2026-03-01",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.backup(cmd.Context(), args[0], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")

	return cmd
}

// backup copies the store into a directory.
func (c *cli) backup(ctx context.Context, to string, asJSON bool) (err error) {
	to, err = filepath.Abs(to)
	if err != nil {
		return err
	}

	at, err := c.at(place{})
	if err != nil {
		return err
	}

	if at.Shared() {
		return errDatabase("backup", at)
	}

	from := at.DataDir

	made, err := makeEmpty(to, from)
	if err != nil {
		return err
	}

	m := manifest{
		Format:  manifestFormat,
		Version: version.This().Version,
		From:    from,
		Files:   []savedFile{},
	}

	defer func() {
		if err != nil {
			removeBackup(to, m, made)
		}
	}()

	v, err := c.look(ctx)
	if err != nil {
		return err
	}
	defer v.Close()

	if err := c.snapshot(ctx, v, to, &m); err != nil {
		return err
	}

	if err := m.write(to); err != nil {
		return err
	}

	if asJSON {
		return printJSON(c.Out, m)
	}

	fmt.Fprintf(c.Out, "%s: the state of %s as of %s: progress of %s, %s\n",
		plain.Text(to, 1024), plain.Text(from, 1024), m.Made,
		counted(m.Units, "unit"), counted(m.Tokens, "refresh token"))

	return nil
}

// snapshot writes the copies, and describes them in the manifest.
func (c *cli) snapshot(ctx context.Context, v *view, to string, m *manifest) error {
	if v.s == nil {
		return c.noDirectory(false)
	}

	s, ok := v.s.(store.Snapshotter)
	if !ok {
		return errors.New("the store keeps nothing in files of this machine")
	}

	chains, err := v.chains(ctx) // an error when tokens.db is gone
	if err != nil {
		return err
	}

	keys, err := v.keys(ctx)
	if err != nil {
		return err
	}

	m.Made = c.Now().UTC().Format(time.RFC3339)
	m.Units, m.Tokens = len(keys), len(chains)

	names, err := s.Snapshot(ctx, to)
	for _, name := range names {
		m.Files = append(m.Files, savedFile{Name: name})
	}

	if err != nil {
		return err
	}

	for i := range m.Files {
		f := &m.Files[i]

		file, err := os.Open(filepath.Join(to, f.Name))
		if err != nil {
			return err
		}

		f.SHA256, f.Size, err = checksum(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}

	return nil
}

// checksum reads a file to its end.
func checksum(r io.Reader) (sum string, size int64, err error) {
	h := sha256.New()
	size, err = io.Copy(h, r)

	return hex.EncodeToString(h.Sum(nil)), size, err
}

// write writes the manifest into the directory, and waits until all is on the disk.
func (m manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}

	f, err := os.OpenFile(filepath.Join(dir, manifestFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}

	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}

	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()

	_ = d.Sync() // some file systems cannot

	return nil
}

// makeEmpty makes a directory for a backup of a data directory, or finds an empty one.
// Root makes it for the owner of the data directory, as whom the copies are written.
func makeEmpty(dir, from string) (made bool, err error) {
	err = os.Mkdir(dir, 0o700)

	switch {
	case err == nil:
		made = true

		owners, ownersErr := filemode.Owners(from)
		if os.Geteuid() == 0 && ownersErr == nil && len(owners) == 1 {
			err = os.Chown(dir, owners[0], -1)
		}

		return made, err
	case !errors.Is(err, fs.ErrExist):
		return false, err
	}

	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}

	if len(entries) > 0 {
		return false, fmt.Errorf("%s is not empty; name a directory that is empty or does not exist",
			plain.Text(dir, 1024))
	}

	info, err := os.Stat(dir)
	if err != nil {
		return false, err
	}

	if info.Mode().Perm()&0o077 != 0 {
		return false, fmt.Errorf("%s has mode %#o: other users could read the tokens in the backup; chmod 700 %s",
			plain.Text(dir, 1024), info.Mode().Perm(), plain.Shell(dir))
	}

	return false, nil
}

// removeBackup removes what a backup that failed has written. made says that it made the
// directory too.
func removeBackup(dir string, m manifest, made bool) {
	names := append([]string{manifestFile}, sqlite.Files...)
	for _, f := range m.Files {
		names = append(names, f.Name)
	}

	for _, name := range names {
		_ = os.Remove(filepath.Join(dir, name)) // without its manifest it is no backup anyway
	}

	if made {
		_ = os.Remove(dir)
	}
}
