package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Simulator is the sign-in service and the data APIs. Its methods may be called at any
// time, from any goroutine, before Start and after Close too.
type Simulator struct {
	cfg     Config
	started time.Time

	// mu guards the fields below, up to stats. It is not held while an answer is
	// written.
	mu      sync.Mutex
	tenants []*tenant
	byName  map[string]*tenant // GUID and domain
	foreign map[string]*App    // applications registered elsewhere
	access  map[string]*accessToken
	refresh map[string]*refreshToken
	codes   map[string]*grantCode
	devices map[string]*deviceCode
	jtis    map[string]time.Time
	// home is the provider's tenant, nil without one.
	home          *tenant
	relationships []*Relationship
	quotas        map[string]*quotaState
	waits         map[string]time.Time
	plan          *plan
	issued        int
	errors        int

	stats  statistics
	hosts  map[string]*http.Server
	addrs  map[string]string
	cancel context.CancelFunc
	done   context.Context
	wg     sync.WaitGroup
}

// New returns a simulator. It does not listen until Start.
func New(cfg Config) (*Simulator, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}

	s := &Simulator{
		cfg:     cfg,
		started: cfg.Clock(),
		byName:  map[string]*tenant{},
		foreign: map[string]*App{},
		access:  map[string]*accessToken{},
		refresh: map[string]*refreshToken{},
		codes:   map[string]*grantCode{},
		devices: map[string]*deviceCode{},
		jtis:    map[string]time.Time{},
		quotas:  map[string]*quotaState{},
		waits:   map[string]time.Time{},
		hosts:   map[string]*http.Server{},
		addrs:   map[string]string{},
	}
	s.stats.init()

	s.done, s.cancel = context.WithCancel(context.Background())
	if err := s.SetFaults(cfg.Faults); err != nil {
		return nil, err
	}

	for _, a := range cfg.Apps {
		s.foreign[strings.ToLower(a.ClientID)] = &a
	}

	for _, t := range cfg.Tenants {
		if err := s.AddTenant(t); err != nil {
			return nil, err
		}
	}

	if err := errors.Join(validRelationships(&cfg), s.setHome(cfg.Home)); err != nil {
		return nil, err
	}

	for _, r := range cfg.Relationships {
		s.AddRelationship(r)
	}

	return s, nil
}

// AddTenant adds a tenant with its alerts.
func (s *Simulator) AddTenant(t Tenant) error {
	if err := t.validate(); err != nil {
		return err
	}

	s.mu.Lock()
	if s.byName[strings.ToLower(t.ID)] != nil {
		s.mu.Unlock()
		return fmt.Errorf("simulator: tenant %s is listed twice", t.ID)
	}

	n := newTenant(s, t, len(s.tenants))
	n.Apps = append([]App(nil), t.Apps...)
	s.tenants = append(s.tenants, n)

	s.byName[n.ID] = n
	if n.Domain != "" {
		s.byName[n.Domain] = n
	}

	for i := range n.Apps {
		for _, seed := range n.Apps[i].RefreshTokens {
			s.seed(n, &n.Apps[i], seed)
		}
	}
	s.mu.Unlock()

	for _, a := range t.Alerts {
		s.Add(n.ID, a)
	}

	if t.Generated > 0 {
		s.Generate(n.ID, t.Generated, t.GenerateOptions)
	}

	return nil
}

// Start listens on addr, such as "127.0.0.1:0", with the sign-in service, and on the
// same host with each API on a port of its own: the SIEM API and Defender for Endpoint
// share their path. A port other than 0 is that of the sign-in service; the APIs take
// the next ones, in the order of APIs, and after them Partner Center if there is a home.
func (s *Simulator) Start(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("simulator: address %q: %w", addr, err)
	}

	first, err := net.LookupPort("tcp", port)
	if err != nil {
		return fmt.Errorf("simulator: address %q: %w", addr, err)
	}

	names := append([]string{Login}, APIs()...)
	if s.cfg.Home != "" {
		names = append(names, Partner)
	}

	for i, name := range names {
		at := 0
		if first != 0 {
			at = first + i
		}

		l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(at)))
		if err != nil {
			return errors.Join(fmt.Errorf("simulator: listening for %s: %w", name, err), s.Close())
		}

		s.serve(name, l)
	}

	return nil
}

func (s *Simulator) serve(name string, l net.Listener) {
	server := &http.Server{
		Handler:           s.Handler(name),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return s.done },
	}
	s.mu.Lock()
	s.hosts[name], s.addrs[name] = server, l.Addr().String()
	s.mu.Unlock()
	s.wg.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Log(fmt.Sprintf("simulator: %s stopped: %v", name, err))
		}
	})
}

// Close stops listening and breaks every connection. It may be called twice.
func (s *Simulator) Close() error {
	s.cancel()
	s.mu.Lock()
	hosts := s.hosts
	s.hosts = map[string]*http.Server{}
	s.mu.Unlock()

	var errs []error
	for _, h := range hosts {
		errs = append(errs, h.Close())
	}

	s.wg.Wait()

	return errors.Join(errs...)
}

// LoginURL returns the base address of the sign-in service, http://127.0.0.1:port; empty
// before Start.
func (s *Simulator) LoginURL() string { return s.APIURL(Login) }

// APIURL returns the base address of an API; empty before Start.
func (s *Simulator) APIURL(api string) string {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.addrs[api] == "" {
		return ""
	}

	return "http://" + s.addrs[api]
}

// Handler serves one API (or Login), for callers that bring their own listener, TLS or
// path. It panics if there is no such API.
func (s *Simulator) Handler(name string) http.Handler {
	var h func(*exchange)

	switch a := dataAPIOf(name); {
	case name == Login:
		h = s.login
	case name == Partner:
		h = s.partner
	case a == nil:
		panic(fmt.Sprintf("simulator: dataAPIs has no row for the API %q", name))
	case a.list == nil:
		h = s.siem
	case a.onGraph: // one host has them all
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.exchange(graphAPI(name, r.URL.Path), w, r, s.graph)
		})
	default:
		h = s.odata
	}

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.exchange(name, w, r, h) })
}

// now returns the time by the servers' clock: the true time and the clock's error.
func (s *Simulator) now() time.Time { return s.cfg.Clock().Add(s.skew()) }

// skew returns the error of the servers' clock.
func (s *Simulator) skew() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.plan.skew(s.elapsed())
}

// elapsed returns the time since New.
func (s *Simulator) elapsed() time.Duration { return s.cfg.Clock().Sub(s.started) }

// tenant finds a tenant by GUID or domain. The caller holds s.mu.
func (s *Simulator) tenant(name string) *tenant {
	t := s.byName[strings.ToLower(name)]
	if t == nil || t.gone {
		return nil
	}

	return t
}

// Add puts an alert into a tenant's store, or a new version of it if there is one with
// that ID, and returns its ID. It panics if there is no such tenant, which is a mistake
// of the test.
func (s *Simulator) Add(tenantID string, a Alert) string {
	t, skew := s.mustTenant(tenantID), s.skew()
	t.mu.Lock()
	defer t.mu.Unlock()

	return t.add(s.late(t, a), s.cfg.Clock(), skew)
}

// Update makes a new version of an alert, updated at the given time, which mutate may
// change in anything but ID, IncidentID and the detections that are there. mutate must
// not call the simulator. Update panics if there is no such tenant or alert.
func (s *Simulator) Update(tenantID, alertID string, at time.Time, mutate func(*Alert)) {
	t, skew := s.mustTenant(tenantID), s.skew()
	t.mu.Lock()
	defer t.mu.Unlock()

	change := func(a *Alert) {
		if mutate != nil {
			mutate(a)
		}

		*a = s.late(t, *a)
	}
	if err := t.update(alertID, at, s.cfg.Clock(), skew, change); err != nil {
		panic(err)
	}
}

// mustTenant returns a tenant by GUID or domain; it panics if there is none.
func (s *Simulator) mustTenant(name string) *tenant {
	s.mu.Lock()
	defer s.mu.Unlock()

	t := s.byName[strings.ToLower(name)]
	if t == nil {
		panic("simulator: there is no tenant " + name)
	}

	return t
}
