package postgres

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
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
	// Inputs is set by a process that polls. The store writes to a unit only while it
	// holds it (store.Leases), and may be opened while the database cannot be reached.
	Inputs bool
	// ReadOnly opens the store for reading only: no tables are made or changed, and
	// missing tables read as empty.
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

	// schema are the tables; those of this program if it is not set, as in all but tests.
	schema schema
	// home returns the home directory of the user if $HOME is not set.
	home func() string
}

// DefaultCallLimit is how long a call takes at most, unless Options say otherwise. It
// is shorter than the time for which a node trusts its lease by default.
const DefaultCallLimit = 10 * time.Second

const (
	connectTimeout = 5 * time.Second
	nextTimeout    = 2 * time.Second // where several servers are tried
	maxConns       = 4
	// maxLockConns bounds how many chains a process redeems at the same time: each holds
	// a connection as long as the sign-in service takes. A few services that do not
	// answer must not keep the others waiting.
	maxLockConns = 8
	// maxPooledLocks is maxLockConns behind a pooler such as pgbouncer: each lock keeps
	// one of the few connections that all nodes share, and when all of these are kept,
	// nobody can save the token that was redeemed.
	maxPooledLocks = 3
	maxIdle        = 5 * time.Minute
	programName    = "fluent-bit-defender"
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

	if o.home == nil {
		o.home = homeOfUser
	}

	if o.schema.files == nil {
		o.schema = schema{schemaVersion, migrations}
	}
}

// poolConfig reads the connection string. Its errors do not quote it.
func (o *Options) poolConfig() (*pgxpool.Config, error) {
	c, err := o.parse()
	if err != nil {
		return nil, err
	}

	o.complete(c.ConnConfig)

	// A changed password, authority or client certificate is used from the next
	// connection on. While its file is being replaced, the old one is used.
	c.BeforeConnect = func(_ context.Context, next *pgx.ConnConfig) error {
		if fresh, err := o.parse(); err == nil {
			o.complete(fresh.ConnConfig)
			*next = *fresh.ConnConfig
		}

		return nil
	}

	if !strings.Contains(o.URL.Reveal(), "pool_max_conns") {
		c.MaxConns = maxConns
	}

	c.MaxConnIdleTime = min(c.MaxConnIdleTime, maxIdle)
	// A broken connection is noticed at its next use, and the call is made again.
	c.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }

	return c, nil
}

// complete sets the properties that every connection needs, whatever the settings of
// the role or the database are.
func (o *Options) complete(c *pgx.ConnConfig) {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout

		if len(endpoints(c)) > 1 { // one that is off must not use up the time for the others
			c.ConnectTimeout = nextTimeout
		}
	}

	dialer := net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: connectTimeout}
	c.DialFunc = dialer.DialContext

	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = programName
	}

	// A pooler lets these two through, and not many others.
	c.RuntimeParams["client_encoding"] = "UTF8"
	c.RuntimeParams["datestyle"] = "ISO"

	// No named prepared statements and no cache of them: behind a pooler such as
	// pgbouncer each transaction may run on another connection.
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.StatementCacheCapacity = 0
	c.DescriptionCacheCapacity = 0
}

// place returns a name of the database for people, without user and password.
func place(c *pgx.ConnConfig) string {
	var names []string
	for _, e := range endpoints(c) {
		names = append(names, e.name())
	}

	return fmt.Sprintf("PostgreSQL at %s, database %s", strings.Join(names, " or "), cmp.Or(c.Database, c.User))
}
