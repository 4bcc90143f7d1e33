package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
)

var _ store.Store = (*Store)(nil)

// Store is one opening of a data_dir. It is safe for concurrent use.
type Store struct {
	sh       *shared
	inputs   bool
	readOnly bool
	crashed  bool
	warnings []string
	closed   atomic.Bool
}

// Open opens a data_dir. It makes missing files, checks every file and replaces damaged
// ones. With Inputs it also reserves the directory for this process, and undoes what a
// crash of the machine may have lost (see store.Store.CrashedMachine). Its errors name
// the file and the remedy: store.ErrInUse, ErrNewer, ErrForeign, ErrUnsafe,
// ErrReadOnly, ErrFull.
func Open(o Options) (store.Store, error) {
	s, err := open(o)
	if err != nil {
		return nil, err
	}

	return s, nil
}

func open(o Options) (*Store, error) {
	o.defaults()

	if o.ReadOnly && o.Inputs {
		return nil, errors.New("store: Inputs need to write")
	}

	key, err := seal.NewKey(o.Key)
	if err != nil {
		return nil, err
	}

	registry.mu.Lock()
	defer registry.mu.Unlock()

	sh, warnings, err := share(o, key)
	if err != nil {
		return nil, err
	}

	sh.refs++
	if o.Inputs {
		sh.inputRefs++
	}

	s := &Store{
		sh:       sh,
		inputs:   o.Inputs,
		readOnly: o.ReadOnly,
		crashed:  o.Inputs && sh.crashed,
	}
	s.warnings = slices.Concat(warnings, sh.warnings, s.keyWarnings(key))

	return s, nil
}

// keyWarnings encrypts tokens again that an older version encrypted, and returns a
// warning if there are tokens that do not fit the key.
func (s *Store) keyWarnings(key *seal.Key) []string {
	chains := s.chains()
	if err := chains.upgrade(context.Background()); err != nil {
		return []string{err.Error()}
	}

	n, tenant, err := chains.unsealed(context.Background())
	if err != nil || n == 0 {
		return nil
	}

	how := "are encrypted with a key that is not configured: set key_file to the right one"
	if key != nil {
		how = "are not encrypted with the key in key_file and are not used: " +
			"run `defenderctl tokens rekey`, or set the right key"
	}

	return []string{fmt.Sprintf("%s: the tokens of %d tenants (such as %s) %s", s.sh.tokens.path(), n, tenant, how)}
}

// Close implements store.Store.
func (s *Store) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}

	registry.mu.Lock()
	defer registry.mu.Unlock()

	sh := s.sh

	var errs []error

	if s.inputs {
		if sh.inputRefs--; sh.inputRefs == 0 {
			sh.rescueFailed = time.Time{} // the last chance
			_ = sh.restoreFiles()

			errs = append(errs, sh.markClean())
			if sh.refs > 1 {
				errs = append(errs, sh.endInputs())
			}
		}
	}

	if sh.refs--; sh.refs == 0 {
		delete(registry.open, sh.id)
		errs = append(errs, sh.shut())
	}

	return errors.Join(errs...)
}

// Warnings implements store.Store.
func (s *Store) Warnings() []string { return s.warnings }

// CrashedMachine implements store.Store.
func (s *Store) CrashedMachine() bool { return s.crashed }

func (s *Store) writable() error {
	if s.closed.Load() {
		return store.ErrClosed
	}

	if s.readOnly {
		return fmt.Errorf("%s: %w: the store was opened for reading", s.sh.dir.path, store.ErrReadOnly)
	}

	return nil
}

// view runs fn on a file in a transaction that reads. In a ReadOnly store without the
// file it runs nothing, and returns no error.
func (s *Store) view(ctx context.Context, f *file, fn func(tx) error) error {
	if s.closed.Load() {
		return store.ErrClosed
	}

	if err := s.sh.checkFiles(false); err != nil {
		return err
	}

	err := f.use(ctx, func() error { return f.begin(ctx, fn, true) })
	if errors.Is(err, errNoFile) {
		return nil
	}

	return err
}

// update runs fn on a file in a transaction that writes.
func (s *Store) update(ctx context.Context, f *file, fn func(tx) error) error {
	if err := s.writable(); err != nil {
		return err
	}

	if err := s.sh.checkFiles(false); err != nil {
		return err
	}

	return f.update(ctx, fn)
}
