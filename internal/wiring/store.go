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
	// URL is that of a PostgreSQL database, which may hold a password. The zero Text:
	// the store is in files of DataDir.
	URL     secret.Text
	DataDir string
	KeyFile string
}

// Shared reports whether the store is a database that several machines may use.
func (l Location) Shared() bool { return !l.URL.IsZero() }

// Name names the place for people, without a secret.
func (l Location) Name() string {
	if l.Shared() {
		return config.ShownStore(l.URL)
	}

	return l.DataDir
}

// Same reports whether two locations are one place, as far as their names tell.
func (l Location) Same(other Location) bool {
	if l.Shared() || other.Shared() {
		return l.URL.Equal(other.URL)
	}

	return filepath.Clean(l.DataDir) == filepath.Clean(other.DataDir)
}

// Key reads the key that encrypts the tokens; nil if there is none.
func (l Location) Key() ([]byte, error) { return StoreKey(l.KeyFile) }

// Flags are those by which defenderctl finds the same store, each followed by its value,
// which is empty for the default.
func (l Location) Flags() []string {
	shown := ""
	if l.Shared() {
		shown = config.ShownStore(l.URL)
	}

	return storeFlags(shown, l.DataDir, l.KeyFile)
}

// storeFlags are the flags for a database, shown without secrets, or for a directory.
func storeFlags(shown, dataDir, keyFile string) []string {
	if shown != "" {
		dataDir = ""
	}

	return []string{
		"--data-dir",
		unless(AbsolutePath(dataDir), DefaultDataDir),
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
	// Inputs is set by a process that polls, ReadOnly by one that only looks.
	Inputs, ReadOnly bool
	// NoTokens is set by whoever neither reads nor writes tokens: no key is asked for.
	NoTokens bool
	// CallLimit bounds each call of a database; 0: as it does by default.
	CallLimit time.Duration
	// Exclusive keeps inputs away from files until the store is closed, as another input
	// would, and does for them what an input does first.
	Exclusive bool
	// Now is the clock, by default time.Now.
	Now func() time.Time
	// Log gets what the operator should know; nil: nothing is logged.
	Log *slog.Logger
}

// OpenStore opens a store, wherever it is. With files it may make the directory; a
// database that is away is an error unless Inputs is set: an input waits for it.
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

	return complete(ctx, st, o)
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
		return nil, err // s is a nil *postgres.Store, which is not nil
	}

	return complete(ctx, s, o)
}

// complete returns a store to an input unless it holds part of a copy that was
// interrupted. A database that is away is asked later.
func complete(ctx context.Context, s store.Store, o StoreOptions) (store.Store, error) {
	if !o.Inputs {
		return s, nil
	}

	_, marked, err := s.Document(ctx, store.CopyMark)
	if errors.Is(err, store.ErrUnreachable) || errors.Is(err, store.ErrBusy) {
		return s, nil
	}

	if err == nil && marked {
		err = errHalf
	}

	if err != nil {
		return nil, errors.Join(err, s.Close())
	}

	return s, nil
}

// errHalf says that a store is not complete.
var errHalf = errors.New("the store holds part of a copy that was interrupted: empty it and copy again " +
	"(defenderctl store copy --help)")

// errNoKey says that a database is never used without encryption.
var errNoKey = errors.New("missing")
