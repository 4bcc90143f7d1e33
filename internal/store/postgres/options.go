package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/secret"
)

// Options say which database to open and how.
type Options struct {
	// URL is a connection string as libpq takes it. The variables of libpq complete it
	// (PGPASSFILE, PGPASSWORD, …).
	URL secret.Text
	// Key is the 32-byte key that encrypts refresh tokens. An opening that polls needs
	// one.
	Key []byte
	// Inputs is set by a process that polls. It writes to a unit only while it holds it
	// (store.Leases), and may be opened while the database is away.
	Inputs bool
	// ReadOnly opens for looking only: no tables are made or changed, and those that are
	// missing read as empty.
	ReadOnly bool
	// Now is the clock, by default time.Now.
	Now func() time.Time
	// Uptime is time since the machine started, unaffected by changes of the clock; by
	// default CLOCK_BOOTTIME.
	Uptime func() time.Duration
	// Log gets what the operator should know. By default nothing is logged.
	Log *slog.Logger
	// CallLimit bounds each call, the wait for a connection included; by default
	// DefaultCallLimit.
	CallLimit time.Duration
}

// DefaultCallLimit is how long a call takes at most, unless Options say otherwise. It is
// shorter than what a node trusts its lease for by default.
const DefaultCallLimit = 10 * time.Second

const (
	connectTimeout = 5 * time.Second
	maxConns       = 4
	// maxLockConns bounds how many chains a process redeems at the same time: each holds
	// a connection as long as the sign-in service takes. A few services that do not
	// answer must not keep the others waiting.
	maxLockConns = 8
	maxIdle      = 5 * time.Minute
	programName  = "fluent-bit-defender"
)

func (o *Options) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}

	if o.Uptime == nil {
		o.Uptime = uptime
	}

	if o.Log == nil {
		o.Log = logs.Discard()
	}

	if o.CallLimit == 0 {
		o.CallLimit = DefaultCallLimit
	}
}

// errURL says what a connection string looks like. What is wrong with the given one is
// left out where it might quote a password.
var errURL = errors.New("store: not a connection string of PostgreSQL: write " +
	"postgres://user@host:port/database?sslmode=verify-full, and the password into the file that " +
	"the variable PGPASSFILE names")

// poolConfig reads the connection string. Its errors do not quote it.
func poolConfig(url secret.Text) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(url.Reveal())
	if err != nil {
		return nil, urlError(err)
	}

	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = connectTimeout
	}

	dialer := net.Dialer{Timeout: c.ConnConfig.ConnectTimeout, KeepAlive: connectTimeout}
	c.ConnConfig.DialFunc = dialer.DialContext

	if c.ConnConfig.RuntimeParams["application_name"] == "" {
		c.ConnConfig.RuntimeParams["application_name"] = programName
	}

	// Neither names for prepared statements nor a cache of them: a connection of a pool
	// such as pgbouncer is another one with each transaction.
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.ConnConfig.StatementCacheCapacity = 0
	c.ConnConfig.DescriptionCacheCapacity = 0

	if !strings.Contains(url.Reveal(), "pool_max_conns") {
		c.MaxConns = maxConns
	}

	c.MaxConnIdleTime = min(c.MaxConnIdleTime, maxIdle)
	// A connection that was cut is noticed by its next use, which is then made again.
	c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }

	return c, nil
}

// urlError returns what is wrong with a connection string without quoting it.
func urlError(err error) error {
	text := err.Error() // cannot parse `…`: what is wrong

	_, what, _ := strings.Cut(text, "`: ")
	what, _, _ = strings.Cut(what, " (") // the rest quotes the value

	if strings.HasPrefix(what, "invalid ") || strings.HasPrefix(what, "cannot parse pool_") {
		return fmt.Errorf("%w (%s)", errURL, what)
	}

	return errURL
}

// place names a database for people, without user and password.
func place(c *pgx.ConnConfig) string {
	at := c.Host
	if !strings.HasPrefix(at, "/") {
		at = net.JoinHostPort(at, strconv.Itoa(int(c.Port)))
	}

	return fmt.Sprintf("PostgreSQL at %s, database %s", at, cmp.Or(c.Database, c.User))
}
