package postgres

import (
	"context"
	"crypto/tls"
	"fmt"
)

// Server is what a connection shows of a database.
type Server struct {
	// Version is the server's own, such as "15.14".
	Version string
	// TLS is how this connection is protected: "verified", "authority" (of the
	// certificate only the authority is verified, not the name), "unverified" or "off".
	TLS string
	// Standby says that the server follows another one, and ReadOnly that it takes no
	// changes for that or another reason.
	Standby, ReadOnly bool
	// Notes are what the operator should know of it; it may be intended.
	Notes []string
}

// Server asks the database for its version, protection and role.
func (s *Store) Server(ctx context.Context) (found Server, err error) {
	config := s.pool.Config().ConnConfig

	err = s.call(ctx, readCall, "server", func(ctx context.Context) error {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()

		found.TLS = unencrypted.String()
		if _, encrypted := conn.Conn().PgConn().Conn().(*tls.Conn); encrypted {
			found.TLS = protectionOf(config.TLSConfig).String()
		}

		var r replication

		err = conn.QueryRow(ctx, `SELECT current_setting('server_version'), pg_is_in_recovery(),
				current_setting('transaction_read_only') = 'on', current_setting('synchronous_standby_names'),
				current_setting('synchronous_commit'), (SELECT count(*) FROM pg_stat_replication)`).Scan(
			&found.Version, &found.Standby, &found.ReadOnly, &r.waitsFor, &r.commits, &r.standbys)
		if err != nil {
			return err
		}

		if !found.Standby {
			found.Notes = r.notes(len(endpoints(config)))
		}

		return nil
	})

	return found, err
}

// replication is how a server keeps its standbys up to date.
type replication struct {
	waitsFor string // synchronous_standby_names
	commits  string // synchronous_commit
	standbys int64  // how many standbys are connected to it
}

// notes says what is lost when a standby takes over. servers is how many servers the
// connection string names.
func (r replication) notes(servers int) []string {
	reason := ""

	switch {
	case r.standbys == 0 && servers < 2:
		return nil
	case r.waitsFor == "":
		reason = "synchronous_standby_names is empty"
	case r.commits == "local" || r.commits == "off":
		reason = "synchronous_commit is " + r.commits
	default:
		return nil
	}

	return []string{fmt.Sprintf("a commit does not wait for a standby (%s): when a standby takes over without the "+
		"last commits, alerts of that time are emitted again, unmarked, and a customer whose refresh token was "+
		"renewed in it may have to be signed in to again", reason)}
}
