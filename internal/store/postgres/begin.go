package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The kinds of transactions.
const (
	beginWrite = "BEGIN"
	beginRead  = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
)

// The keepalive settings of the server: it notices within a quarter of a minute that
// the machine of a client is gone, instead of after its default of more than two hours.
const (
	keepaliveIdle     = 6 * time.Second
	keepaliveInterval = 3 * time.Second
	keepaliveCount    = 3
)

// limits are how long a transaction may last at the server when its client is silent.
// Otherwise a process that was stopped in the middle of a transaction, or whose machine
// or network is gone, would keep its row locks, and nobody could take over its units.
type limits struct {
	silence time.Duration // between two statements
	whole   time.Duration // of the transaction; 0 is without limit
}

// begin starts a transaction with its limits, in one round trip. They are settings of
// the transaction: behind a pooler such as pgbouncer each transaction may run on
// another connection. transaction_timeout exists since PostgreSQL 17: it also ends a
// transaction whose client stopped in the middle of sending statements.
// https://www.postgresql.org/docs/current/runtime-config-client.html
func begin(ctx context.Context, c beginner, kind string, l limits) (pgx.Tx, error) {
	query := fmt.Sprintf(`%s; SELECT set_config(s.name, s.value, true) FROM (VALUES
		('idle_in_transaction_session_timeout', '%d'),
		('transaction_timeout', '%d'),
		('tcp_keepalives_idle', '%d'),
		('tcp_keepalives_interval', '%d'),
		('tcp_keepalives_count', '%d')) AS s (name, value)
		WHERE current_setting(s.name, true) IS NOT NULL`,
		kind, l.silence.Milliseconds(), l.whole.Milliseconds(),
		int(keepaliveIdle.Seconds()), int(keepaliveInterval.Seconds()), keepaliveCount)

	return c.BeginTx(ctx, pgx.TxOptions{BeginQuery: query})
}

// beginner is a connection.
type beginner interface {
	BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error)
}

// limits returns the limits for calls: their callers give up after CallLimit, and send
// the statements without a pause.
func (s *Store) limits() limits {
	return limits{silence: s.o.CallLimit / 2, whole: 2 * s.o.CallLimit}
}
