package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
)

// Store is one opening of a database. It is safe for concurrent use.
type Store struct {
	o     Options
	where string // names the database, for people

	pool *pgxpool.Pool
	// lockPool has the connections that hold a chain's lock while a refresh token is
	// redeemed. Those that save the token must not be used up by them.
	lockPool *pgxpool.Pool

	key   atomic.Pointer[seal.Key]
	clock databaseClock
	calls callCounter

	held   held
	writes turn // one write to units at a time
	doubts doubts

	closed atomic.Bool
	usable atomic.Bool // the tables are there, in the present version

	preparing turn // guards empty
	empty     bool // a ReadOnly store without tables

	mu       sync.Mutex // guards the fields below
	warnings []string
	timeline string // the last known timeline of the server; empty if it is not known
	// undoneLoggedAt is when lost commits were last logged, by Options.Uptime.
	undoneLoggedAt time.Duration

	chainState
	leaseState
}

var _ store.Shared = (*Store)(nil)

// Open opens a database, and makes or converts its tables. Its errors name the database
// and the remedy: store.ErrUnreachable, ErrDenied, ErrNewer, ErrReadOnly. With Inputs, a
// database that does not answer is no error: each call tries again.
func Open(o Options) (*Store, error) {
	o.defaults()

	if o.Inputs && o.ReadOnly {
		return nil, errors.New("store: Inputs need to write")
	}

	if o.Inputs && o.Key == nil {
		return nil, fmt.Errorf("store: %w: with a database as store, key_file is required: the refresh tokens "+
			"leave this machine, and everyone who can read the database could use them", store.ErrKey)
	}

	key, err := seal.NewKey(o.Key)
	if err != nil {
		return nil, err
	}

	s, err := connect(o)
	if err != nil {
		return nil, err
	}

	s.key.Store(key)

	ctx, cancel := context.WithTimeout(context.Background(), o.CallLimit)
	defer cancel()

	err = s.prepare(ctx)
	if o.Inputs && errors.Is(err, store.ErrUnreachable) {
		o.Log.Warn(fmt.Sprintf("%v; inputs wait for it", err))
		return s, nil
	}

	if err != nil {
		return nil, errors.Join(err, s.Close())
	}

	return s, nil
}

// connect makes the pools. It makes no connection yet.
func connect(o Options) (*Store, error) {
	config, err := o.poolConfig()
	if err != nil {
		return nil, err
	}

	s := &Store{
		o:         o,
		where:     place(config.ConnConfig),
		writes:    newTurn(),
		preparing: newTurn(),
	}
	s.clock.uptime = o.Uptime
	s.initLeases()

	locks := config.Copy()
	locks.MaxConns = maxLockConns
	locks.MinConns = 0
	locks.MinIdleConns = 0

	if s.pool, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		return nil, fmt.Errorf("%s: %w", s.where, err)
	}

	if s.lockPool, err = pgxpool.NewWithConfig(context.Background(), locks); err != nil {
		s.pool.Close()
		return nil, fmt.Errorf("%s: %w", s.where, err)
	}

	return s, nil
}

// Warnings implements store.Store.
func (s *Store) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.Clone(s.warnings)
}

// CrashedMachine implements store.Store. What a machine lost is delivered again by the
// node that takes over its units.
func (s *Store) CrashedMachine() bool { return false }

// OldTokenFiles implements store.Store.
func (s *Store) OldTokenFiles() ([]string, error) { return nil, nil }

// Close implements store.Store. It does not leave the nodes: see Leave.
func (s *Store) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}

	s.closeLeases()

	// Closing waits for connections that are in use, in calls that have a limit.
	go s.pool.Close()
	go s.lockPool.Close()

	return nil
}

// writable returns why nothing can be written, or nil.
func (s *Store) writable() error {
	if s.closed.Load() {
		return store.ErrClosed
	}

	if s.o.ReadOnly {
		return fmt.Errorf("%s: %w: the store was opened for reading", s.where, store.ErrReadOnly)
	}

	return nil
}

// warn collects the warnings of the store, with a connection to the database.
func (s *Store) warn(ctx context.Context, c *pgx.Conn) error {
	var found []string

	if open := tlsWarning(s.pool.Config().ConnConfig); open != "" {
		found = append(found, s.where+": "+open)
	}

	for _, readable := range s.o.readableSecrets() {
		found = append(found, s.where+": "+readable)
	}

	var setting string
	if err := c.QueryRow(ctx, `SELECT current_setting('synchronous_commit')`).Scan(&setting); err != nil {
		return err
	}

	if setting == "off" {
		found = append(found, s.where+": synchronous_commit is off: when the server crashes, what was committed "+
			"last is lost, alerts are emitted again, and a rotated refresh token may be lost: switch it on for "+
			"this database or role")
	}

	s.mu.Lock()
	s.warnings = found
	s.mu.Unlock()

	return nil
}
