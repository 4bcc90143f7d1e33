package pgtest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/secret"
)

// Database is a database for one test.
type Database struct {
	Server *Server
	Name   string

	ahead time.Duration
}

var databases atomic.Int64

// New returns an empty database of the shared server, which is dropped after the test.
func New(t testing.TB) *Database {
	t.Helper()
	return Shared(t).New(t)
}

// New returns an empty database, which is dropped after the test.
func (s *Server) New(t testing.TB) *Database {
	t.Helper()
	return s.NewEncoded(t, "UTF8")
}

// NewEncoded is New with an encoding, such as LATIN1.
func (s *Server) NewEncoded(t testing.TB, encoding string) *Database {
	t.Helper()

	d := &Database{Server: s, Name: fmt.Sprintf("t%d", databases.Add(1))}
	s.exec(t, "postgres", fmt.Sprintf(`CREATE DATABASE %s TEMPLATE template0 ENCODING '%s'`, d.Name, encoding))

	t.Cleanup(func() {
		if s != shared.server {
			return // the server is removed as a whole
		}

		s.exec(t, "postgres", fmt.Sprintf(`DROP DATABASE %s WITH (FORCE)`, d.Name))
	})

	return d
}

// URL returns the connection string of the database.
func (d *Database) URL() secret.Text { return secret.New(d.Server.URL(d.Name)) }

// Exec runs a statement, as a person would beside the store.
func (d *Database) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	d.Server.exec(t, d.Name, sql, args...)
}

// Count returns the number that a query selects.
func (d *Database) Count(t testing.TB, sql string, args ...any) (n int64) {
	t.Helper()

	d.Server.connect(t, d.Name, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, sql, args...).Scan(&n)
	})

	return n
}

// Advance moves the clock that the store uses forward. Its tables must have been made
// before.
func (d *Database) Advance(t testing.TB, by time.Duration) {
	t.Helper()

	d.ahead += by
	d.Exec(t, fmt.Sprintf(`CREATE OR REPLACE FUNCTION defender.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
		AS 'SELECT clock_timestamp() + interval ''%d microseconds'''`, d.ahead.Microseconds()))
}

// Disconnect cuts every connection to the database.
func (d *Database) Disconnect(t testing.TB) {
	t.Helper()

	d.Server.exec(t, "postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, d.Name)
}

func (s *Server) exec(t testing.TB, database, sql string, args ...any) {
	t.Helper()

	s.connect(t, database, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, sql, args...)
		return err
	})
}

func (s *Server) connect(t testing.TB, database string, do func(context.Context, *pgx.Conn) error) {
	t.Helper()

	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()

	c, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)

	if err := do(ctx, c); err != nil {
		t.Fatal(err)
	}
}
