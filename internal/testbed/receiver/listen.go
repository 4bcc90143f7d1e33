package receiver

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// listening is a server on a port of its own.
type listening struct {
	server   *http.Server
	listener net.Listener
}

// listen starts a server on a free port of 127.0.0.1, with plain HTTP if security is nil.
func listen(handler http.Handler, security *tls.Config) (listening, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return listening{}, fmt.Errorf("receiver: %w", err)
	}

	s := listening{
		server: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:          log.New(io.Discard, "", 0),
		},
		listener: l,
	}

	if security != nil {
		l = tls.NewListener(l, security)
	}

	go func() { _ = s.server.Serve(l) }() // ends with Close

	return s, nil
}

// Port returns the TCP port that the server listens on.
func (l listening) Port() int { return l.listener.Addr().(*net.TCPAddr).Port }

// Close stops the server and breaks its connections.
func (l listening) Close() error { return l.server.Close() }
