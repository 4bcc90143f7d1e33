package instance

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/metrics"
	"fluent-bit-defender/internal/store"
)

// shared is what the instances of a process have in common.
type shared struct {
	mu         sync.Mutex
	homes      []*home
	live       map[store.FeedKey]bool
	gates      map[gateKey]*sharedGate
	transports map[transportKey]*http.Transport
	metrics    metrics.Servers
	clocks     clocks
}

// gateKey names who shares a quota.
type gateKey struct{ clientID, tenantID, apiURL, api string }

// transportKey tells connections apart: by proxy and by what the CA bundle holds, which may be renewed under its name.
type transportKey struct {
	proxy string
	ca    [sha256.Size]byte
}

func newShared() *shared {
	return &shared{
		live:       make(map[store.FeedKey]bool),
		gates:      make(map[gateKey]*sharedGate),
		transports: make(map[transportKey]*http.Transport),
	}
}

// claim makes feeds this instance's own; two live inputs must not share one, since each would take the other's progress for its own. It
// gives the gates at which they now count, in order.
func (s *shared) claim(tenants []config.Tenant) ([]*sharedGate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, t := range tenants {
		if s.live[Feed(t)] {
			errs = append(errs, fmt.Errorf("tenant_id: tenant %s with api %s is already polled by another [INPUT]: give this one another `state_id`, or use one input with `format json+cef`", t.TenantName, t.API))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	gates := make([]*sharedGate, len(tenants))
	for i, t := range tenants {
		s.live[Feed(t)] = true
		gates[i] = s.gateOf(t)
		gates[i].feeds++
	}
	return gates, nil
}

// release gives a feed back, and its place at a gate.
func (s *shared) release(key store.FeedKey, gate *sharedGate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, key)
	gate.feeds--
}

// move counts a feed, whose settings have changed, at the gate that it shares from now on.
func (s *shared) move(from *sharedGate, t config.Tenant) *sharedGate {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.gateOf(t)
	from.feeds--
	to.feeds++
	return to
}

// sharedGate is a gate and how many live feeds use it.
type sharedGate struct {
	gate  *defender.Gate
	feeds int
}

// gateOf is where everybody waits who shares the quota of an application in a tenant at an API; s.mu must be held. It is kept when the last feed has
// gone: the service goes on counting.
func (s *shared) gateOf(t config.Tenant) *sharedGate {
	key := gateKey{t.ClientID, t.TenantID, t.APIURL, string(t.API)}
	g := s.gates[key]
	if g == nil {
		g = &sharedGate{gate: defender.NewGate(time.Now,
			defender.Budget{Calls: t.Endpoint.PerMinute, Per: time.Minute}, defender.Budget{Calls: t.Endpoint.PerHour, Per: time.Hour})}
		s.gates[key] = g
	}
	return g
}

// gate gives the tenant's gate, and what counts its feeds.
func (s *shared) gate(t config.Tenant) (gate *defender.Gate, feeds func() int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gateOf(t)
	return g.gate, func() int { return s.feeds(g) }
}

func (s *shared) feeds(g *sharedGate) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.feeds
}

// transport gives the connections for a proxy and CA bundle.
func (s *shared) transport(t config.Tenant) (*http.Transport, error) {
	key := transportKey{proxy: t.Proxy.Reveal()}
	var bundle []byte
	if t.CAFile != "" {
		var err error
		if bundle, err = config.ReadPEM(t.CAFile); err != nil {
			return nil, fmt.Errorf("ca_file (tenant %s): %w", t.TenantName, err)
		}
		key.ca = sha256.Sum256(bundle)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if tr := s.transports[key]; tr != nil {
		return tr, nil
	}
	tr := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
	if key.proxy != "" {
		u, err := url.Parse(key.proxy)
		if err != nil {
			return nil, errors.New("proxy: not a URL") // the error of url.Parse would print it, with its password
		}
		tr.Proxy = http.ProxyURL(u)
	}
	if bundle != nil {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(bundle) {
			return nil, fmt.Errorf("ca_file (tenant %s): %s holds no certificate in PEM form", t.TenantName, t.CAFile)
		}
		tr.TLSClientConfig.RootCAs = pool
	}
	s.transports[key] = tr
	return tr, nil
}

// client is an HTTP client for a tenant. Redirects are refused by those who use it.
func (s *shared) client(t config.Tenant) (*http.Client, error) {
	tr, err := s.transport(t)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: tr}, nil
}
