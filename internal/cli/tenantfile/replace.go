package tenantfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxFile bounds what is read: a tenants file may have 4 MB.
const maxFile = 4 << 20

// Load returns the text of a file; one that does not exist is empty.
func Load(path string) ([]byte, error) {
	info, err := os.Stat(path)

	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s is too large for a tenants file", path)
	}

	return os.ReadFile(path)
}

// Replace writes a file in one step, with the rights and the owner that it had; a new one
// belongs to this user alone. A link stays one. before is what Load returned: a file that
// has changed since is not written over. A text that is there already is not written.
func Replace(path string, before, text []byte) error {
	if bytes.Equal(before, text) && before != nil {
		return nil
	}

	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}

	now, err := Load(path)
	if err != nil {
		return err
	}

	if !bytes.Equal(now, before) {
		return fmt.Errorf("%s was changed by somebody else meanwhile; run the command again", path)
	}

	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}

	err = errors.Join(write(f, path, text), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}

	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}

	return syncDir(filepath.Dir(path))
}

// write fills a file that is to take the place of another one.
func write(f *os.File, path string, text []byte) error {
	mode := fs.FileMode(0o600)

	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()

		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
				return fmt.Errorf("the owner of %s cannot be kept: %w", path, err)
			}
		}
	}

	if err := f.Chmod(mode); err != nil {
		return err
	}

	if _, err := f.Write(text); err != nil {
		return err
	}

	return f.Sync()
}

// syncDir makes a rename survive a crash of the machine.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}

	return errors.Join(f.Sync(), f.Close())
}
