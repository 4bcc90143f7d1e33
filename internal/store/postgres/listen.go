package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/pause"
)

// channel is the channel of LISTEN and NOTIFY on which nodes announce changes.
const channel = "defender"

// Times of the connection that listens.
const (
	firstPause   = time.Second
	longestPause = time.Minute
	// quietFor is how long nothing may arrive before the connection is checked.
	quietFor = time.Minute
)

// Changed implements store.Leases.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// notify tells the other nodes that something has changed, when the transaction is
// committed. It also works through a pooler.
func (s *Store) notify(ctx context.Context, t pgx.Tx) error {
	_, err := t.Exec(ctx, `SELECT pg_notify($1::text, $2::text)`, channel, s.session)

	return err
}

// startListening begins to listen for other nodes on a connection of its own, until the
// store is closed.
func (s *Store) startListening() {
	ctx, cancel := context.WithCancel(context.Background())

	s.listen.mu.Lock()
	s.listen.stop = cancel
	s.listen.mu.Unlock()

	if s.closed.Load() {
		cancel()
	}

	go s.listenUntil(ctx)
}

// closeLeases ends listening for other nodes.
func (s *Store) closeLeases() {
	s.listen.mu.Lock()
	defer s.listen.mu.Unlock()

	if s.listen.stop != nil {
		s.listen.stop()
	}
}

// errPooler says that there is a pooler between this process and the database, which
// forwards no notifications.
var errPooler = errors.New("a pooler is between")

// listenUntil listens, and connects again whenever the connection breaks, until ctx
// ends. Its errors are ignored, since nobody depends on it: the nodes look for changes
// now and then all the same.
func (s *Store) listenUntil(ctx context.Context) {
	wait := firstPause

	for {
		err := s.listenOnce(ctx, func() { wait = firstPause })
		if errors.Is(err, errPooler) {
			return
		}

		if pause.For(ctx, wait) != nil {
			return
		}

		wait = min(2*wait, longestPause)
	}
}

// listenOnce connects and listens until the connection breaks. It calls connected when it
// listens.
func (s *Store) listenOnce(ctx context.Context, connected func()) error {
	c, err := s.connectToListen(ctx)
	if err != nil {
		return err
	}

	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), connectTimeout)
		defer cancel()

		_ = c.Close(closing) // the connection is of no use any more, even if this fails
	}()

	connected()
	s.signalChanged() // earlier notifications are lost

	for {
		waiting, cancel := context.WithTimeout(ctx, quietFor)
		n, err := c.WaitForNotification(waiting)
		quiet := waiting.Err() != nil && ctx.Err() == nil

		cancel()

		switch {
		case err == nil:
			if n.Payload != s.session {
				s.signalChanged()
			}
		case quiet:
			if err := s.limited(ctx, func(ctx context.Context) error { return c.Ping(ctx) }); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// connectToListen returns a connection that listens.
func (s *Store) connectToListen(ctx context.Context) (c *pgx.Conn, err error) {
	err = s.limited(ctx, func(ctx context.Context) error {
		config := s.pool.Config()
		if err = config.BeforeConnect(ctx, config.ConnConfig); err != nil {
			return err
		}

		if c, err = pgx.ConnectConfig(ctx, config.ConnConfig); err != nil {
			return err
		}

		// A pooler has process numbers of its own. It would take LISTEN, for whichever
		// connection is free, and forward nothing.
		var pid uint32
		if err = c.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err == nil && pid != c.PgConn().PID() {
			err = errPooler

			s.pooled.Store(true)
		}

		if err == nil {
			_, err = c.Exec(ctx, `LISTEN `+channel)
		}

		if err != nil {
			_ = c.Close(ctx)
		}

		return err
	})

	return c, err
}

// limited calls fn with the limit of a call.
func (s *Store) limited(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.CallLimit)
	defer cancel()

	return fn(ctx)
}

// signalChanged sends a value to the channel of Changed, unless there is one already.
func (s *Store) signalChanged() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
