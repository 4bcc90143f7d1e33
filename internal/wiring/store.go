package wiring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres"
	"fluent-bit-defender/internal/store/sqlite"
)

// Location says where a store is, and what encrypts the tokens in it.
type Location struct {
	// URL is the URL of a PostgreSQL database, which may hold a password. If it is the
	// zero Text, the store is in files of DataDir.
	URL     secret.Text
	DataDir string
	KeyFile string
}

// Shared reports whether the store is a database that several machines may use.
func (l Location) Shared() bool { return !l.URL.IsZero() }

// Name returns a name of the store for people, without a secret.
func (l Location) Name() string {
	if l.Shared() {
		return config.ShownStore(l.URL)
	}

	return l.DataDir
}

// Same reports whether two locations are the same store, as far as their names tell.
func (l Location) Same(other Location) bool {
	if l.Shared() || other.Shared() {
		return l.URL.Equal(other.URL)
	}

	return filepath.Clean(l.DataDir) == filepath.Clean(other.DataDir)
}

// Key reads the key that encrypts the tokens; nil if there is none.
func (l Location) Key() ([]byte, error) { return StoreKey(l.KeyFile) }

// Flags returns the flags with which defenderctl finds the same store, each followed by
// its value, which is empty for the default.
func (l Location) Flags() []string {
	shown := ""
	if l.Shared() {
		shown = config.ShownStore(l.URL)
	}

	return storeFlags(shown, l.DataDir, l.KeyFile)
}

// storeFlags returns the flags for a store. shown is the URL of a database without
// secrets; if it is empty, the store is in dataDir.
func storeFlags(shown, dataDir, keyFile string) []string {
	if shown != "" {
		dataDir = ""
	}

	return []string{
		"--data-dir",
		nonDefault(AbsolutePath(dataDir), DefaultDataDir),
		"--store",
		shown,
		"--key-file",
		AbsolutePath(keyFile),
	}
}

// StoreOptions say which store to open, and how.
type StoreOptions struct {
	Location
	// Key is what KeyFile holds (Location.Key).
	Key []byte
	// Inputs is set by a process that polls, ReadOnly by one that changes nothing.
	Inputs, ReadOnly bool
	// NoTokens says that tokens are neither read nor written, so that no key is needed.
	NoTokens bool
	// CallLimit bounds each call of a database; 0 stands for the default.
	CallLimit time.Duration
	// Exclusive keeps inputs away from files until the store is closed, as another input
	// would, and does for them what an input does first.
	Exclusive bool
	// Now is the clock, by default time.Now.
	Now func() time.Time
	// Log gets what the operator should know; nil: nothing is logged.
	Log *slog.Logger
}

// OpenStore opens a store in files or in a database. It may make the directory. A
// database that cannot be reached is an error unless Inputs is set: an input waits for
// it.
func OpenStore(ctx context.Context, o StoreOptions) (store.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // interrupted before it began
	}

	if o.Shared() {
		return openDatabase(ctx, o)
	}

	st, err := sqlite.Open(sqlite.Options{
		Dir:      o.DataDir,
		Key:      o.Key,
		Inputs:   o.Inputs || o.Exclusive,
		ReadOnly: o.ReadOnly,
		Now:      o.Now,
		Log:      o.Log,
	})
	if err != nil {
		return nil, err
	}

	return checkComplete(ctx, st, o)
}

// openDatabase opens a store in PostgreSQL.
func openDatabase(ctx context.Context, o StoreOptions) (store.Store, error) {
	if o.Key == nil && !o.ReadOnly && !o.NoTokens {
		return nil, fmt.Errorf("key_file: %w: it is required with PostgreSQL, since the refresh tokens leave this "+
			"machine; make one with: (umask 077; head -c 32 /dev/urandom | base64 > FILE), and give every node the "+
			"same as key_file, and this command as --key-file", errNoKey)
	}

	s, err := postgres.Open(postgres.Options{
		URL:       o.URL,
		Key:       o.Key,
		Inputs:    o.Inputs,
		ReadOnly:  o.ReadOnly,
		CallLimit: o.CallLimit,
		Now:       o.Now,
		Log:       o.Log,
	})
	if err != nil {
		return nil, err // a nil *postgres.Store in the interface would not compare equal to nil
	}

	return checkComplete(ctx, s, o)
}

// checkComplete returns s. If an input is to use it, it first checks that s does not
// hold part of an interrupted copy; if it does, s is closed. A database that cannot be
// reached is not checked.
func checkComplete(ctx context.Context, s store.Store, o StoreOptions) (store.Store, error) {
	if !o.Inputs {
		return s, nil
	}

	_, marked, err := s.Document(ctx, store.CopyMark)
	if errors.Is(err, store.ErrUnreachable) || errors.Is(err, store.ErrBusy) {
		return s, nil
	}

	if err == nil && marked {
		err = errIncomplete
	}

	if err != nil {
		return nil, errors.Join(err, s.Close())
	}

	return s, nil
}

// errIncomplete says that a store holds only a part of what was to be copied into it.
var errIncomplete = errors.New("the store holds part of a copy that was interrupted: empty it and copy again " +
	"(defenderctl store copy --help)")

// errNoKey says that a database is never used without encryption.
var errNoKey = errors.New("missing")
