package metrics

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
)

// listener limits how many connections are open at a time. When there are too many, it
// closes the one that has been idle longest. While all are being answered, a new one
// waits, and those behind it wait in the kernel, where they need no descriptor of this
// process.
type listener struct {
	net.Listener
	limit int

	mu     sync.Mutex
	change sync.Cond     // a connection has closed or become idle, or the listener has closed
	open   []*connection // the one that was idle first comes first
	closed bool
}

func newListener(l net.Listener, limit int) *listener {
	b := &listener{Listener: l, limit: limit}
	b.change.L = &b.mu

	return b
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}

	conn := &connection{Conn: c, listener: l}

	victim, ok := l.admit(conn)
	if victim != nil {
		victim.Conn.Close() // the server notices, and has nothing to say about it
	}

	if !ok {
		c.Close()
		return nil, net.ErrClosed
	}

	return conn, nil
}

// admit waits until conn may be open, and returns the connection that has to be closed
// for it, if any. ok is false if the listener has closed.
func (l *listener) admit(conn *connection) (victim *connection, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	for !l.closed {
		if len(l.open) < l.limit {
			l.open = append(l.open, conn)
			return nil, true
		}

		if i := slices.IndexFunc(l.open, func(c *connection) bool { return !c.busy }); i >= 0 {
			victim = l.open[i]
			l.open = append(slices.Delete(l.open, i, i+1), conn)

			return victim, true
		}

		l.change.Wait()
	}

	return nil, false
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.change.Broadcast()

	return l.Listener.Close()
}

// remove removes a connection that has closed from the list.
func (l *listener) remove(conn *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if i := slices.Index(l.open, conn); i >= 0 {
		l.open = slices.Delete(l.open, i, i+1)
	}

	l.change.Broadcast()
}

// connection is a connection of a listener.
type connection struct {
	net.Conn
	listener *listener
	busy     bool // a request is being answered; guarded by listener.mu
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.listener.remove(c)
	return c.Conn.Close()
}

// setBusy records whether a request is being answered. A connection that becomes idle
// goes to the end of the list, so that it is the last to be closed for another one.
func (c *connection) setBusy(busy bool) {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()

	c.busy = busy
	if i := slices.Index(l.open, c); i >= 0 && !busy {
		l.open = append(slices.Delete(l.open, i, i+1), c)
	}

	l.change.Broadcast()
}

type connectionKey struct{}

// withConnection lets handlers find their connection; for http.Server.ConnContext.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// markBusy marks a connection as busy from the moment its request is answered; noteIdle
// ends that.
func markBusy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
			c.setBusy(true)
		}

		next.ServeHTTP(w, r)
	})
}

// noteIdle marks a connection as idle once a response is sent to its last byte; for
// http.Server.ConnState.
func noteIdle(conn net.Conn, state http.ConnState) {
	if c, ok := conn.(*connection); ok && state == http.StateIdle {
		c.setBusy(false)
	}
}
