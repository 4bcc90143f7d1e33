package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"fluent-bit-defender/internal/identity"
	"fluent-bit-defender/internal/secret"
)

// secretFile is a file for a secret: 0600 before anything is in it, complete or not
// there, and given to the owner of its directory when root writes it. A nil one takes
// nothing.
//
// It is made and renamed in the directory that was opened, whatever becomes of the
// directory's name meanwhile. Root's identity is taken up again for it: the person who
// named the file is root, even when the store is another user's.
type secretFile struct {
	path string
	dir  *os.Root
	temp *os.File // nil once it has its name
	name string   // of temp, in dir
}

// createSecretFile makes sure that path can be written, without touching what is there.
// It returns nil if path is empty.
func createSecretFile(path string) (*secretFile, error) {
	if path == "" {
		return nil, nil
	}

	s := &secretFile{
		path: path,
		name: ".defenderctl-" + rand.Text(),
	}
	if err := identity.AsRoot(s.create); err != nil {
		return nil, err
	}

	return s, nil
}

func (s *secretFile) create() (err error) {
	s.dir, err = os.OpenRoot(filepath.Dir(s.path))
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.path, err)
	}

	if info, err := s.dir.Lstat(filepath.Base(s.path)); err == nil && !info.Mode().IsRegular() {
		return errors.Join(usagef("%s is not a regular file", s.path), s.dir.Close())
	}

	s.temp, err = s.dir.OpenFile(s.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", s.path, err), s.dir.Close())
	}

	return nil
}

// write puts the secret into the file, in place of what was there.
func (s *secretFile) write(t secret.Text) error {
	if s == nil {
		return nil
	}

	err := identity.AsRoot(func() error { return s.put(t) })
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.path, err)
	}

	return nil
}

func (s *secretFile) put(t secret.Text) error {
	if _, err := s.temp.WriteString(t.Reveal() + "\n"); err != nil {
		return err
	}

	if info, err := s.dir.Stat("."); err == nil && os.Geteuid() == 0 {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			if err := s.temp.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
	}

	if err := s.temp.Sync(); err != nil {
		return err
	}

	if err := s.temp.Close(); err != nil {
		return err
	}

	if err := s.dir.Rename(s.name, filepath.Base(s.path)); err != nil {
		return err
	}

	s.temp = nil

	return s.dir.Close()
}

// abandon removes what was not finished.
func (s *secretFile) abandon() {
	if s == nil || s.temp == nil {
		return
	}

	s.temp.Close()

	_ = identity.AsRoot(func() error { return s.dir.Remove(s.name) }) // it is empty; one that stays does no harm

	s.dir.Close()
}
