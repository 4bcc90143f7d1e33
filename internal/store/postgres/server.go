package postgres

import (
	"context"
	"crypto/tls"
)

// Server is what a connection shows of a database.
type Server struct {
	// Version is the server's own, such as "15.14".
	Version string
	// Encrypted says that this connection is; Verified that the certificate has to be
	// the server's.
	Encrypted, Verified bool
	// Plain says that the settings allow a connection without encryption, to another
	// machine: the password may travel on it.
	Plain bool
}

// Server asks the database what it is.
func (s *Store) Server(ctx context.Context) (found Server, err error) {
	c := s.pool.Config().ConnConfig

	found.Plain = c.TLSConfig == nil && !s.local
	for _, other := range c.Fallbacks {
		found.Plain = found.Plain || other.TLSConfig == nil && !isLocal(other.Host)
	}

	err = s.call(ctx, ctx, "server", func(ctx context.Context) error {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()

		secure, encrypted := conn.Conn().PgConn().Conn().(*tls.Conn)

		found.Encrypted = encrypted
		found.Verified = encrypted && len(secure.ConnectionState().VerifiedChains) > 0

		return conn.QueryRow(ctx, `SELECT current_setting('server_version')`).Scan(&found.Version)
	})

	return found, err
}
