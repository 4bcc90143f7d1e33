package config

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"fluent-bit-defender/internal/secret"
)

// File is a secret kept in a file, read again whenever the file changes. It is safe for
// concurrent use.
type File struct {
	path string

	mu    sync.Mutex
	sign  signature
	value secret.Text
	good  bool // it could be used before
	// told is the error that was last reported, so that it is reported once.
	told string
}

// WatchFile watches a file with a secret: a client secret, or a refresh token. The file
// is not read before the first Value.
func WatchFile(path string) *File { return &File{path: path} }

// Value returns the file's content, without white space around it.
//
// When the file cannot be used (gone, empty, not text) but once could, Value returns the
// last good content; the error that comes with it is returned once per error, for one
// line in the log, then nil until the trouble changes. A file that was never good gives
// an error every time. Errors name the path and never hold the content.
func (f *File) Value() (secret.Text, error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.good && f.told == "" && f.sign.same(signatureOf(f.path)) {
		return f.value, nil
	}
	// The signature is taken before reading: a change in between is then seen the next
	// time.
	sign := signatureOf(f.path)

	value, err := readSecret(f.path)
	if err == nil {
		f.value, f.sign, f.good, f.told = value, sign, true, ""
		return f.value, nil
	}

	if f.good {
		if f.told == err.Error() {
			return f.value, nil
		}

		f.told = err.Error()

		return f.value, fmt.Errorf("%w; the last good content stays in use", err)
	}

	return secret.Text{}, err
}

func readSecret(path string) (secret.Text, error) {
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

// signature tells contents of a file apart without reading it.
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
		s.info.ModTime().
			Equal(now.info.ModTime()) &&
		s.info.Size() == now.info.Size() && s.info.Mode() == now.info.Mode()
}
