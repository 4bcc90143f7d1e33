package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"fluent-bit-defender/internal/secret"
)

// secretFile is a file for a secret: 0600 before anything is in it, complete or not there, and given to the owner of its directory
// when root writes it. A nil one takes nothing.
type secretFile struct {
	temp *os.File
	path string
}

// createSecretFile makes sure that path can be written, without touching what is there. An empty path gives nil.
func createSecretFile(path string) (*secretFile, error) {
	if path == "" {
		return nil, nil
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, usagef("%s is not a regular file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".defenderctl-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return &secretFile{temp: f, path: path}, nil
}

// write puts the secret into the file, in place of what was there.
func (s *secretFile) write(t secret.Text) (err error) {
	if s == nil {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", s.path, err)
		}
	}()
	if _, err := s.temp.WriteString(t.Reveal() + "\n"); err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Dir(s.path)); err == nil && os.Geteuid() == 0 {
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
	if err := os.Rename(s.temp.Name(), s.path); err != nil {
		return err
	}
	s.temp = nil
	return nil
}

// abandon removes what was not finished.
func (s *secretFile) abandon() {
	if s == nil || s.temp == nil {
		return
	}
	s.temp.Close()
	os.Remove(s.temp.Name()) // it is empty; one that stays does no harm
}
