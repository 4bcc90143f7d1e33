package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fluent-bit-defender/internal/store"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
	lib "modernc.org/sqlite/lib"
)

// tx is a transaction with its prepared statements.
type tx struct {
	*sql.Tx
	f     *file
	stmts map[string]*sql.Stmt // closed by the end of the transaction
}

// exec runs a statement, prepared once per transaction.
func (t tx) exec(query string, args ...any) error {
	s, err := t.stmt(query)
	if err != nil {
		return err
	}

	_, err = s.Exec(args...)

	return err
}

// row runs a query for one row. An error of preparing it is returned by Scan.
func (t tx) row(query string, args ...any) *sql.Row {
	s, err := t.stmt(query)
	if err != nil {
		return t.QueryRow(query, args...)
	}

	return s.QueryRow(args...)
}

func (t tx) rows(query string, args ...any) (*sql.Rows, error) {
	s, err := t.stmt(query)
	if err != nil {
		return nil, err
	}

	return s.Query(args...)
}

func (t tx) stmt(query string) (*sql.Stmt, error) {
	if s := t.stmts[query]; s != nil {
		return s, nil
	}

	s, err := t.Prepare(query)
	if err == nil {
		t.stmts[query] = s
	}

	return s, err
}

// update runs fn in one transaction. The context ends the wait for other calls and
// other processes, but not the transaction: its outcome must be known, and a rotated
// token must be saved even during a shutdown. If the file turns out to be damaged, it
// is replaced, and fn is run again.
func (f *file) update(ctx context.Context, fn func(tx) error) error {
	return f.use(ctx, func() error { return f.transact(ctx, fn) })
}

func (f *file) transact(ctx context.Context, fn func(tx) error) error { return f.begin(ctx, fn, false) }

// begin runs fn in a transaction as soon as other processes allow it. No call of SQLite
// gets the context: database/sql would close the connection after an interrupted call.
func (f *file) begin(ctx context.Context, fn func(tx) error, readOnly bool) error {
	for end := time.Now().Add(busyTimeout); ; {
		begun, err := f.once(fn, readOnly)
		if code(err)&0xff != lib.SQLITE_BUSY || begun && !readOnly {
			return err
		}

		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w: %w", f.path(), store.ErrBusy, ctx.Err())
		}

		if !time.Now().Before(end) {
			return err
		}
	}
}

// once runs fn in a transaction, if one can be begun within busyPiece.
func (f *file) once(fn func(tx) error, readOnly bool) (begun bool, err error) {
	t, err := f.db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: readOnly})
	if err != nil {
		return false, err
	}

	if err = fn(tx{t, f, make(map[string]*sql.Stmt)}); err != nil {
		_ = t.Rollback()
	} else {
		err = t.Commit()
	}

	if err != nil && !readOnly && f.reset != nil {
		f.reset()
	}

	return true, err
}

func (f *file) use(ctx context.Context, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}

	if err := f.mu.lock(ctx); err != nil {
		return fmt.Errorf("%s: %w", f.path(), err)
	}
	defer f.mu.unlock()

	if f.closed {
		return store.ErrClosed
	}

	if f.db == nil {
		return errNoFile
	}

	err := fn()
	if err != nil && isDamage(err) && !f.dir.readOnly {
		if healErr := f.heal(err); healErr != nil {
			return healErr
		}

		err = fn()
	}

	if err != nil {
		return explain(f.path(), err)
	}

	return nil
}

// errNoFile says that the file of a ReadOnly store does not exist. Readers return what
// they would for an empty one.
var errNoFile = errors.New("no file yet")

// heal replaces a file that turned out to be damaged while it was in use.
func (f *file) heal(damage error) error {
	ctx, cancel := context.WithTimeout(context.Background(), exclusiveTimeout)
	defer cancel()

	if err := f.locks.lock(ctx, unix.F_WRLCK, rangeOpen); err != nil {
		return explain(f.path(), errors.Join(damage, err))
	}

	defer f.locks.unlock(rangeOpen)

	_ = f.disconnect()
	if f.reset != nil {
		f.reset()
	}

	err := f.replace(damage)
	if err == nil && f.renewed != nil {
		return explain(f.path(), f.renewed())
	}

	if err != nil && f.db == nil {
		_ = f.reconnect()
	}

	return err
}

// reconnect opens the file again. If that fails it keeps a handle all the same, so that
// a later call can try again.
func (f *file) reconnect() error {
	err := f.connect()
	if err != nil {
		f.db, _ = sql.Open("sqlite", dsn(f.path(), "rw", f.params))
		f.db.SetMaxOpenConns(1)
	}

	return err
}

func (f *file) disconnect() (err error) {
	if f.db != nil {
		f.spareNames()
		err = f.db.Close()
		f.db = nil
		f.opened.Store(nil)
	}

	return err
}

func (f *file) close() error {
	_ = f.mu.lock(context.Background())
	defer f.mu.unlock()

	f.closed = true

	return explain(f.path(), f.disconnect())
}
