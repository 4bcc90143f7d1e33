package pgtest

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
)

// Proxy passes TCP connections on to a database server or to pgbouncer. With it a test
// lets the network between a node and the database fail. Its methods are safe for
// concurrent use.
type Proxy struct {
	listener        net.Listener
	network, target string
	serving         sync.WaitGroup

	// mu guards the fields below. It is not held while data is read or written.
	mu      sync.Mutex
	changed *sync.Cond
	state   proxyState
	mark    []byte // the proxy becomes muted when a client sends this
	open    map[net.Conn]bool
}

// proxyState says what happens to connections.
type proxyState int

const (
	passing proxyState = iota
	cut
	frozen
	muted
	closed
)

// NewProxy listens on a free port of 127.0.0.1 and passes every connection on to target,
// an address of the network "unix" or "tcp". It is closed when the test ends.
func NewProxy(t testing.TB, network, target string) *Proxy {
	t.Helper()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	p := &Proxy{
		listener: listener,
		network:  network,
		target:   target,
		open:     map[net.Conn]bool{},
	}
	p.changed = sync.NewCond(&p.mu)
	p.serving.Go(p.serve)
	t.Cleanup(p.close)

	return p
}

// Port returns the port of 127.0.0.1 that the proxy listens on.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Cut breaks every connection and refuses new ones, until Restore.
func (p *Proxy) Cut() {
	p.set(cut)
	p.breakAll()
}

// Freeze lets nothing through, in either direction, until Restore: connections stay open
// and new ones are accepted, but nobody answers. What was sent meanwhile arrives late.
func (p *Proxy) Freeze() { p.set(frozen) }

// MuteAt lets no answer through from the time at which a client sends a text, until
// Restore. What clients send arrives.
func (p *Proxy) MuteAt(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.mark = []byte(text)
}

// sends is called with what a client sends.
func (p *Proxy) sends(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.mark != nil && bytes.Contains(data, p.mark) {
		p.state, p.mark = muted, nil
	}
}

// Restore ends what Cut, Freeze or MuteAt began.
func (p *Proxy) Restore() { p.set(passing) }

func (p *Proxy) set(state proxyState) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.state != closed {
		p.state = state
	}

	p.changed.Broadcast()
}

func (p *Proxy) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()

	for c := range p.open {
		_ = c.Close()
	}
}

func (p *Proxy) close() {
	p.set(closed)
	_ = p.listener.Close()
	p.breakAll()
	p.serving.Wait()
}

// serve accepts connections until the listener is closed.
func (p *Proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}

		if err == nil {
			p.serving.Go(func() { p.pass(c) })
		}
	}
}

// pass connects a client with the server until one of them ends the connection.
func (p *Proxy) pass(client net.Conn) {
	defer p.forget(client)

	if !p.remember(client) || !p.mayPass(frozen) {
		return
	}

	server, err := net.Dial(p.network, p.target)
	if err != nil {
		return // the client sees that its connection ends
	}
	defer p.forget(server)

	if !p.remember(server) {
		return
	}

	var directions sync.WaitGroup
	directions.Go(func() { p.copy(server, client, frozen) })
	p.copy(client, server, frozen, muted)
	directions.Wait()
}

// copy copies data until one side ends, and then ends both. It waits while the proxy is
// in one of the states in waiting.
func (p *Proxy) copy(to, from net.Conn, waiting ...proxyState) {
	buffer := make([]byte, 1<<15)

	for {
		n, err := from.Read(buffer)
		if !slices.Contains(waiting, muted) {
			p.sends(buffer[:n])
		}

		if n > 0 && p.mayPass(waiting...) {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				err = failed
			}
		}

		if err != nil {
			p.mayPass(waiting...) // while nothing arrives, the end of a connection does not either

			_ = to.Close()
			_ = from.Close()

			return
		}
	}
}

// remember records a connection for breakAll, and reports whether it may be used.
func (p *Proxy) remember(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.open[c] = true

	return p.state == passing || p.state == frozen || p.state == muted
}

func (p *Proxy) forget(c net.Conn) {
	_ = c.Close()

	p.mu.Lock()
	defer p.mu.Unlock()

	delete(p.open, c)
}

// mayPass waits while the proxy is in one of the given states, and reports whether data
// passes afterwards.
func (p *Proxy) mayPass(waiting ...proxyState) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	for slices.Contains(waiting, p.state) {
		p.changed.Wait()
	}

	return p.state == passing || p.state == muted
}
