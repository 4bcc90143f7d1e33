package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"fluent-bit-defender/internal/store"
)

// sqlState returns the SQLSTATE of an error of the database, empty if it is none.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}

	return ""
}

// retryable reports whether a transaction was undone because of another one (SQLSTATE
// class 40), so that it can be run again.
func retryable(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

// broken reports whether a connection is of no use after an error, or could not be
// made: the network failed, the server ended, or a time limit was reached.
func broken(err error) bool {
	if err == nil {
		return false
	}

	if state := sqlState(err); state != "" {
		return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P") || state == "25P03" || state == "25P04"
	}

	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}

	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}

	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}

	return strings.Contains(err.Error(), "conn closed")
}

// errNoTables says that the tables were removed while the store was open.
var errNoTables = errors.New("the tables of the schema defender are gone")

// errUnfit says that the store cannot work with the settings of the database or the
// role.
var errUnfit = errors.New("cannot be used as it is")

// explain adds to an error its class, the name of the database and a remedy.
func (s *Store) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, errUnfit) || store.Explained(err) {
		return err
	}

	err = oneLine{err}
	class := func(kind error, remedy string) error {
		return fmt.Errorf("%s: %w: %s (%w)", s.where, kind, remedy, err)
	}

	if remedy, kind := classOf(err); kind != nil {
		if sqlState(err) == "28P01" {
			remedy = cmp.Or(s.o.noPassword(), remedy)
		}

		return class(kind, remedy)
	}

	if remedy := tlsRemedy(err); remedy != "" {
		return class(store.ErrDenied, remedy)
	}

	if broken(err) {
		return class(store.ErrUnreachable, s.unreachable(err))
	}

	return fmt.Errorf("%s: %w", s.where, err)
}

// unreachable says what to do about a server that does not answer.
func (s *Store) unreachable(err error) string {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	remedy := "check that the server runs and that this machine can reach it"

	switch {
	case strings.Contains(err.Error(), "read only connection"):
		remedy = "none of these servers takes changes: they are read-only, or standbys of which one has to be promoted"
	case !connecting && errors.Is(err, context.DeadlineExceeded):
		remedy = fmt.Sprintf("no answer came within %s: check whether it is overloaded, or a table is locked (SELECT "+
			"* FROM pg_stat_activity WHERE wait_event_type = 'Lock'), and whether the network works", s.o.CallLimit)
	}

	if s.o.Inputs {
		return "it is tried again; " + remedy
	}

	return remedy
}

// oneLine is an error whose text is brought to one line: pgx writes a line for each
// failed connection, some of them twice.
type oneLine struct{ error }

// Error implements error.
func (e oneLine) Error() string {
	lines := strings.FieldsFunc(e.error.Error(), func(r rune) bool { return r == '\n' || r == '\t' })
	return strings.Join(slices.Compact(lines), " ")
}

// Unwrap returns the error below it, for errors.Is and errors.As.
func (e oneLine) Unwrap() error { return e.error }

// classes have the SQLSTATEs, or their first two letters, that mean something to callers.
var classes = []struct {
	states string
	kind   error
	remedy string
}{
	{"53100 53200", store.ErrFull, "make room on the server"},
	{"53300", store.ErrBusy, "the server has no connection left: raise max_connections, or lower pool_max_conns"},
	{"53 55P03 57014 40", store.ErrBusy, "try again"},
	{"25006", store.ErrReadOnly, "the server is a standby or read-only: name the primary in the connection " +
		"string, or all of them with target_session_attrs=read-write"},
	{"28", store.ErrDenied, "check user and password in the connection string or in PGPASSFILE, and pg_hba.conf " +
		"on the server"},
	{"42704", store.ErrDenied, "the connection string has a parameter that neither this program nor the server " +
		"knows"},
	{"3D000", store.ErrDenied, "make the database, or correct its name in the connection string"},
	{"42501", store.ErrDenied, "the role needs rights on the schema defender, and to make it the right CREATE " +
		"on the database"},
	{"3F000 42P01 42883 42703", errNoTables, "they are made again; what was in them is lost unless a backup is " +
		"put back"},
	{"XX001 XX002", store.ErrDamaged, "the server found its files damaged: restore the database from a backup"},
}

// refusals are what a server says when it refuses a role for another reason than its
// password.
var refusals = []struct {
	said, remedy string
}{
	{"valid client certificate", "it asks for a client certificate: name one with sslcert, and its key with sslkey"},
	{"certificate authentication failed", "the certificate in sslcert is for another name: its CN has to be " +
		"that of the role, unless a map in pg_ident.conf says otherwise"},
	{"no encryption", "pg_hba.conf on it has no line for this connection, which is not encrypted: add " +
		"sslmode=verify-full to the connection string"},
	{"no pg_hba.conf entry", "pg_hba.conf on it has no line for this connection: add one for this role, database " +
		"and address"},
	{"is not permitted to log in", "the role may not log in: ALTER ROLE … LOGIN"},
}

// classOf returns the class of an error of the database; nil if it has none.
func classOf(err error) (remedy string, kind error) {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return "", nil
	}

	if strings.HasPrefix(e.Code, "28") {
		for _, r := range refusals {
			if strings.Contains(e.Message, r.said) {
				return r.remedy, store.ErrDenied
			}
		}
	}

	if e.Code == "08P01" && refusedByPooler(e.Message) {
		return "check user, password and database in the connection string, and the settings of the pooler",
			store.ErrDenied
	}

	for _, c := range classes {
		for _, state := range strings.Fields(c.states) {
			if strings.HasPrefix(e.Code, state) {
				return c.remedy, c.kind
			}
		}
	}

	return "", nil
}

// refusedByPooler reports whether pgbouncer refuses this program: its errors all have
// the same SQLSTATE.
func refusedByPooler(message string) bool {
	for _, part := range []string{"no such database", "no such user", "authentication failed", "not allowed"} {
		if strings.Contains(message, part) {
			return true
		}
	}

	return false
}
