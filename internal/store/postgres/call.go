package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"fluent-bit-defender/internal/store"
)

// querier is a connection or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// turn is a mutex whose wait ends with a context.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) lock(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) unlock() { <-t }

// maxAttempts bounds how often a call is made again after its connection broke: all idle
// connections of the pool may have been cut at once.
const maxAttempts = maxConns + 2

// view runs fn, which only reads, on a connection. It runs fn again when the connection
// breaks. In a ReadOnly store without tables it runs nothing, and returns no error.
func (s *Store) view(ctx context.Context, name string, fn func(ctx context.Context, q querier) error) error {
	return s.call(ctx, readCall, name, func(ctx context.Context) error {
		if s.empty {
			return nil
		}

		return s.attempts(ctx, func(c *pgxpool.Conn) (again bool, err error) {
			err = fn(ctx, c)
			return broken(err), err
		})
	})
}

// update runs fn in a transaction. The given context ends the wait before the
// transaction, and not the transaction itself. It runs fn again when the connection
// breaks before COMMIT is sent, and when the database asks for it. An error of COMMIT
// leaves open whether it was carried out (errUnknown).
func (s *Store) update(ctx context.Context, name string, fn func(ctx context.Context, t pgx.Tx) error) error {
	if err := s.writable(); err != nil {
		return err
	}

	return s.call(ctx, writeCall, name, func(ctx context.Context) error {
		return s.attempts(ctx, func(c *pgxpool.Conn) (again bool, err error) {
			t, err := begin(ctx, c, beginWrite, s.limits())
			if err != nil {
				return broken(err), err
			}

			if err = fn(ctx, t); err != nil {
				_ = t.Rollback(ctx)
				return broken(err) || retryable(err), err
			}

			if err = t.Commit(ctx); err != nil && broken(err) {
				return false, fmt.Errorf("%w: %w", errUnknown, err)
			}

			return retryable(err), err
		})
	})
}

// errUnknown is the error of a transaction that may have been committed or not.
var errUnknown = errors.New("the connection broke before the answer came")

// kind says what happens to a call whose caller gives up.
type kind int

const (
	// readCall goes on for lingering, and is then given up, too; mostly it is over by
	// then. To break it off at once, the server would be asked on another connection to
	// cancel it; if the process ends before the answer, pgbouncer 1.18 exits:
	// https://github.com/pgbouncer/pgbouncer/pull/846
	readCall kind = iota
	// writeCall goes on, so that it is known whether it was carried out.
	writeCall
)

// lingering is how long a readCall goes on after its caller has given up.
const lingering = time.Second

// call runs fn with a context that has the limit of a call, and counts it. ctx ends the
// call before it has begun, and later as its kind says. call adds the class and the
// name of the database to the error.
func (s *Store) call(ctx context.Context, k kind, name string, fn func(context.Context) error) error {
	if s.closed.Load() {
		return store.ErrClosed
	}

	if err := ctx.Err(); err != nil {
		return err
	}

	started := time.Now()

	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.CallLimit)
	defer cancel()

	if k == readCall {
		defer context.AfterFunc(ctx, func() { time.AfterFunc(lingering, cancel) })()
	}

	err := s.prepare(limited)
	if err == nil {
		err = fn(limited)
	}

	if err != nil {
		if k == readCall && broken(err) && ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err) // whoever called gave up
		}

		err = s.explain(err)
		if errors.Is(err, errNoTables) {
			s.usable.Store(false) // they are made anew by the next call
		}
	}

	s.calls.note(name, time.Since(started), err)

	return err
}

// attempts runs fn on a connection, and on another one as long as fn returns again.
func (s *Store) attempts(ctx context.Context, fn func(c *pgxpool.Conn) (again bool, err error)) error {
	for n := 1; ; n++ {
		c, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}

		again, err := fn(c)
		s.release(ctx, c, err)

		if err == nil || !again || n >= maxAttempts || ctx.Err() != nil {
			return err
		}
	}
}

// release returns a connection to the pool. If its server does not answer in time, or
// takes no changes any more, all connections are closed: each of the others would take
// the same time, and a new one finds the server that has taken over.
func (s *Store) release(ctx context.Context, c *pgxpool.Conn, err error) {
	silent := err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && sqlState(err) == ""

	if silent || sqlState(err) == "25006" {
		s.pool.Reset()
	}

	c.Release()
}

// callCounter counts calls by name.
type callCounter struct {
	mu    sync.Mutex
	calls map[string]*store.CallStats
}

func (c *callCounter) note(name string, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	n := c.calls[name]
	if n == nil {
		if c.calls == nil {
			c.calls = make(map[string]*store.CallStats)
		}

		n = &store.CallStats{Call: name}
		c.calls[name] = n
	}

	n.Count++
	n.Took += took

	if err != nil && !errors.Is(err, store.ErrFenced) {
		n.Failed++
	}
}

// CallStats implements store.Measured.
func (s *Store) CallStats() []store.CallStats {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()

	all := make([]store.CallStats, 0, len(s.calls.calls))
	for _, n := range s.calls.calls {
		all = append(all, *n)
	}

	return store.SortCallStats(all)
}
