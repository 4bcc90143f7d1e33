package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/secret"
)

// Bounds of a server. A scrape of a thousand tenants takes a fraction of a second.
const (
	maxConnections = 16
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second // headers and body
	writeTimeout   = 30 * time.Second
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10

	// turnWait is how long a request waits while the answers to others are put together.
	turnWait = 10 * time.Second
	// readyWait is how long the store may take to answer for /readyz.
	readyWait = 5 * time.Second
)

// Settings says where a server listens and whom it answers.
type Settings struct {
	// Address is host:port.
	Address string
	// TokenFile names the file that Token reads; empty if requests need no token.
	TokenFile string
	// Token returns the bearer token that requests must have. It is called for each
	// request.
	Token func() (secret.Text, error)
	// Hosts are the names, in lower case, that a Host header may have besides addresses
	// and localhost.
	Hosts []string
	// Log, if not nil, is where the server logs while the source is shown.
	Log *slog.Logger
}

// same reports whether two inputs ask for the same server.
func (s Settings) same(t Settings) bool {
	return s.Address == t.Address && s.TokenFile == t.TokenFile && slices.Equal(s.Hosts, t.Hosts)
}

// Servers are the listeners of a process; inputs that name the same address share one.
// The zero value is ready.
type Servers struct {
	mu   sync.Mutex
	open map[string]*server
}

// server is one listener with the inputs that it shows.
type server struct {
	http     *http.Server
	settings Settings
	listener *listener
	turn     chan struct{}       // holds a value while an answer is put together
	runtime  prometheus.Gatherer // the metrics of Go and of the process
	now      func() time.Time

	relay logs.Relay // the loggers of the sources
	log   *slog.Logger

	mu      sync.Mutex // guards sources
	sources []Source   // in the order in which they came
}

// Serve shows a source at an address until leave is called. The listener is closed when
// the last source leaves.
func (s *Servers) Serve(settings Settings, src Source) (leave func(), err error) {
	if settings.Log == nil {
		settings.Log = logs.Discard()
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	v := s.open[settings.Address]
	switch {
	case v == nil:
		if v, err = listen(settings); err != nil {
			return nil, err
		}

		if s.open == nil {
			s.open = make(map[string]*server)
		}

		s.open[settings.Address] = v
	case !v.settings.same(settings):
		return nil, fmt.Errorf(
			"metrics_listen: another [INPUT] uses %s with other values of metrics_token_file or metrics_hosts; "+
				"give both the same, or each its own address",
			settings.Address,
		)
	}

	v.mu.Lock()
	v.sources = append(v.sources, src)
	v.mu.Unlock()

	v.relay.Add(settings.Log)

	return sync.OnceFunc(func() { s.leave(settings, v, src) }), nil
}

func (s *Servers) leave(settings Settings, v *server, src Source) {
	s.mu.Lock()
	defer s.mu.Unlock()

	v.relay.Remove(settings.Log)

	v.mu.Lock()
	v.sources = slices.DeleteFunc(v.sources, func(other Source) bool { return other == src })
	last := len(v.sources) == 0
	v.mu.Unlock()

	if !last {
		return
	}

	delete(s.open, settings.Address)

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()

	if v.http.Shutdown(ctx) != nil {
		v.http.Close()
	}
}

// listen opens the listener of a new server and starts to serve it.
func listen(settings Settings) (*server, error) {
	l, err := net.Listen("tcp", settings.Address)
	if err != nil {
		return nil, fmt.Errorf("metrics_listen: %w; choose an address that is free, such as 127.0.0.1:9180", err)
	}

	v := &server{
		settings: settings,
		listener: newListener(l, maxConnections),
		turn:     make(chan struct{}, 1),
		now:      time.Now,
	}
	v.log = v.relay.Logger()
	registry := prometheus.NewPedanticRegistry()

	process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), process} {
		if err := registry.Register(c); err != nil {
			return nil, errors.Join(fmt.Errorf("metrics_listen: %w", err), l.Close())
		}
	}

	v.runtime = registry

	v.http = &http.Server{
		Handler:           markBusy(v.routes()),
		ConnContext:       withConnection,
		ConnState:         noteIdle,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(v, "", 0),
	}
	go v.http.Serve(v.listener) // ends with leave

	return v, nil
}

// Write logs a line of net/http, which would go to stderr otherwise. Most lines are
// about a single connection and of no use to an operator, so their level is debug.
func (v *server) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.Contains(line, []byte("panic serving")) {
		level = slog.LevelError
	}

	v.log.Log(context.Background(), level, "metrics_listen: "+strings.TrimSpace(string(line)))

	return len(line), nil
}
