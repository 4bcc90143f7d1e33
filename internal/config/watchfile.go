package config

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"fluent-bit-defender/internal/secret"
)

// File is the content of a file, which is read again whenever the file changes. While
// the file cannot be used, its last good content stays in use. It is safe for
// concurrent use.
type File[T any] struct {
	path   string
	read   func(path string) (T, error)
	report func(error)

	mu    sync.Mutex // guards the fields below
	sign  signature
	value T
	good  bool // it could be used before
	// reported is the error that was last reported, so that it is reported once.
	reported string
}

// WatchFile returns the File at path, whose content is what read returns. The file is not
// read before the first Value. report is called with the reason why the last good content
// stays in use, once per reason.
func WatchFile[T any](path string, read func(path string) (T, error), report func(error)) *File[T] {
	return &File[T]{
		path:   path,
		read:   read,
		report: report,
	}
}

// Value returns the file's content, or its last good content if the file cannot be used
// any more (it is gone, or read fails). It returns an error as long as the file has
// never been good.
func (f *File[T]) Value() (T, error) {
	value, trouble, err := f.refresh()
	if trouble != nil {
		f.report(fmt.Errorf("%w; the last good content stays in use", trouble))
	}

	return value, err
}

// refresh reads the file if it may have changed. trouble is the reason why the last good
// content stays in use, unless that was reported before.
func (f *File[T]) refresh() (value T, trouble, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.good && f.reported == "" && f.sign.same(signatureOf(f.path)) {
		return f.value, nil, nil
	}

	// The signature is taken before reading: a change in between is then seen the next
	// time.
	sign := signatureOf(f.path)
	value, err = f.read(f.path)

	switch {
	case err == nil:
		f.value, f.sign, f.good, f.reported = value, sign, true, ""
	case !f.good:
		return f.value, nil, err
	case f.reported != err.Error():
		f.reported = err.Error()
		trouble = err
	}

	return f.value, trouble, nil
}

// ReadSecret reads a file with a secret, without white space around it. Like every file
// named in a configuration it must be a regular file of a sane size that no other user
// may change. Errors name the path and never hold the content.
func ReadSecret(path string) (secret.Text, error) {
	c := readFile(Sources{}, path, maxSecretFile)
	if c.err == nil {
		var t secret.Text
		if t, c.err = ParseSecret(c.data); c.err == nil {
			return t, nil
		}
	}

	return secret.Text{}, unusable(namedSecret(path), c.err)
}

// settled is how old a file's time must be before an equal one proves that nothing was
// written since: file systems keep times as coarse as two seconds.
const settled = 3 * time.Second

// signature identifies the content of a file without reading it.
type signature struct {
	info    fs.FileInfo
	trusted bool
}

func signatureOf(path string) signature {
	info, err := os.Stat(path)
	if err != nil {
		return signature{}
	}

	age := time.Since(info.ModTime())

	return signature{info, age > settled || age < -settled}
}

// same reports whether the file has certainly not changed between the two.
func (s signature) same(now signature) bool {
	return s.info != nil && s.trusted && s.equal(now)
}

// equal reports whether the two look the same; an absent file looks like another absent
// one.
func (s signature) equal(now signature) bool {
	if s.info == nil || now.info == nil {
		return s.info == nil && now.info == nil
	}

	return os.SameFile(s.info, now.info) &&
		s.info.ModTime().Equal(now.info.ModTime()) &&
		s.info.Size() == now.info.Size() &&
		s.info.Mode() == now.info.Mode()
}
