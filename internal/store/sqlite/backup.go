package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store"
)

// Files are the files of a backup. The tokens come last, since they become outdated
// first.
var Files = []string{unitsFile, tokensFile}

// Snapshot writes a copy of each of Files, as of one moment, into a directory that
// exists. The store may be in use meanwhile. Files that it does not have yet are left
// out. Snapshot returns the names of the files that it wrote.
func (s *Store) Snapshot(ctx context.Context, dir string) (written []string, err error) {
	if s.closed.Load() {
		return nil, store.ErrClosed
	}

	for _, f := range []*file{s.sh.units, s.sh.tokens} {
		err := f.use(ctx, func() error { return snapshot(f, filepath.Join(dir, f.name)) })

		switch {
		case errors.Is(err, errNoFile):
		case err != nil:
			return written, err
		default:
			written = append(written, f.name)
		}
	}

	return written, nil
}

// snapshot writes a copy of a database to a new file. The caller holds the file.
func snapshot(f *file, to string) error {
	made, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}

	if err := errors.Join(made.Chmod(fileMode), made.Close()); err != nil {
		return err
	}

	if _, err := f.db.Exec(`VACUUM INTO ?`, to); err != nil {
		return explain(to, err)
	}

	// VACUUM INTO does not sync what it wrote.
	written, err := os.OpenFile(to, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}

	return errors.Join(written.Sync(), written.Close())
}

// Restore writes copies that Snapshot made, by their names, into a data_dir without a
// store, and opens it once, so that every file is checked. It makes a missing
// directory. On an error nothing of the copies stays. No inputs may run on the
// directory (store.ErrInUse).
func Restore(o Options, copies map[string]io.Reader) (warnings []string, err error) {
	o.defaults()

	d, _, err := prepareDir(o.Dir, false)
	if err != nil {
		return nil, err
	}

	lock, err := lockInputs(d, stopOther)
	if err != nil {
		return nil, err
	}
	defer lock.Close()

	if err := d.expectEmpty(); err != nil {
		return nil, err
	}

	defer func() {
		if err != nil {
			d.removeStore()
		}
	}()

	for name, from := range copies {
		if !slices.Contains(Files, name) {
			return nil, fmt.Errorf("%s is not a file of a store", plain.Text(name, 128))
		}

		if err := d.copyIn(from, name); err != nil {
			return nil, err
		}
	}

	if err := d.sync(); err != nil {
		return nil, err
	}

	s, err := open(o)
	if err != nil {
		return nil, err
	}

	warnings = s.Warnings()
	if err := s.Close(); err != nil {
		return nil, err
	}

	damaged, err := filepath.Glob(filepath.Join(d.path, "*.damaged-*"))
	if err == nil && len(damaged) > 0 { // the store replaced it with an empty file when it was opened
		err = fmt.Errorf("the backup is %w: its files are not whole databases", store.ErrDamaged)
	}

	return warnings, err
}

// expectEmpty returns an error if a directory holds anything but lock files.
func (d directory) expectEmpty() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return explain(d.path, err)
	}

	var found []string

	for _, e := range entries {
		if e.Name() != inputsFile && e.Name() != lockFile {
			found = append(found, plain.Text(e.Name(), 128))
		}
	}

	if len(found) == 0 {
		return nil
	}

	return fmt.Errorf("%s is not empty: it holds %s; restore into an empty directory, and move the old one away "+
		"rather than remove it", d.path, strings.Join(found[:min(len(found), 5)], ", "))
}

// copyIn writes a new file into the directory.
func (d directory) copyIn(from io.Reader, name string) error {
	if existed, err := d.create(name); err != nil || existed {
		return errors.Join(err, fmt.Errorf("%s: cannot be made", d.join(name)))
	}

	target, err := os.OpenFile(d.join(name), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}

	_, err = io.Copy(target, from)

	return explain(d.join(name), errors.Join(err, target.Sync(), target.Close()))
}

// removeStore removes the files that a failed Restore wrote.
func (d directory) removeStore() {
	entries, _ := os.ReadDir(d.path)
	for _, e := range entries {
		if e.Name() != inputsFile && e.Name() != lockFile {
			_ = os.Remove(d.join(e.Name())) // the next attempt names a file that could not be removed
		}
	}
}

// InputsRun reports whether a process runs inputs on a directory, and which one.
func InputsRun(dir string) (who string, running bool) {
	f, err := os.OpenFile(filepath.Join(dir, inputsFile), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", false // inputs never ran here, or we may not read the file
	}
	defer f.Close()

	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return "", false
	}

	return holder(f), true
}

// Formats returns the formats of the database files in a directory, by name. It is for a
// process that does not have them open: closing a file drops SQLite's locks on it.
func Formats(dir string) map[string]int64 {
	formats := map[string]int64{}

	for _, name := range append(slices.Clone(Files), copyFile) {
		if version, ok := formatOf(filepath.Join(dir, name)); ok {
			formats[name] = version
		}
	}

	return formats
}

// formatOf reads the format from a file's header, where SQLite keeps user_version:
// https://www.sqlite.org/fileformat2.html#user_version_number
func formatOf(path string) (version int64, ok bool) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, false
	}
	defer f.Close()

	var b [4]byte
	if _, err := f.ReadAt(b[:], 60); err != nil {
		return 0, false
	}

	return int64(binary.BigEndian.Uint32(b[:])), true
}
