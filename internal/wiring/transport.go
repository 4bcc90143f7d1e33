package wiring

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
	"fluent-bit-defender/internal/netfault"
)

// transportKey names connections by their proxy and by the content of the CA bundle:
// the file may be renewed under the same name.
type transportKey struct {
	proxy string
	ca    [sha256.Size]byte
}

// maxHeaderBytes bounds the headers of an answer. Those of the services have a few
// kilobytes.
const maxHeaderBytes = 256 << 10

// Transports keeps the connections of a process: tenants with the same proxy and CA
// bundle share them. The zero value is ready; its methods are safe for concurrent use.
type Transports struct {
	mu   sync.Mutex // guards made
	made map[transportKey]*http.Transport
}

// HTTPClient returns an HTTP client for a tenant, with connections that it shares with
// nobody.
func HTTPClient(t config.Tenant) (*http.Client, error) { return new(Transports).Client(t) }

// Client returns an HTTP client for a tenant. Those who use it refuse redirects.
func (s *Transports) Client(t config.Tenant) (*http.Client, error) {
	tr, err := s.transport(t)
	if err != nil {
		return nil, err
	}

	return &http.Client{Transport: tr}, nil
}

// transport returns the connections for the tenant's proxy and CA bundle.
func (s *Transports) transport(t config.Tenant) (*http.Transport, error) {
	key := transportKey{proxy: t.Proxy.Reveal()}

	bundle, err := readBundle(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file (tenant %s): %w", t.TenantName, err)
	}

	if bundle != nil {
		key.ca = sha256.Sum256(bundle)
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if tr := s.made[key]; tr != nil {
		return tr, nil
	}

	tr, err := newTransport(key.proxy, bundle)
	if err != nil {
		return nil, fmt.Errorf("%w (tenant %s)", err, t.TenantName)
	}

	if s.made == nil {
		s.made = make(map[transportKey]*http.Transport)
	}

	s.made[key] = tr

	return tr, nil
}

// readBundle reads a CA bundle. It returns nil if there is none.
func readBundle(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}

	return config.ReadPEM(path)
}

// newTransport returns new connections through a proxy (empty: that of the environment)
// which trust the CA bundle beside the system's certificates (nil: those alone).
func newTransport(proxy string, bundle []byte) (*http.Transport, error) {
	choose, err := proxyChoice(proxy)
	if err != nil {
		return nil, err
	}

	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}

	tr := &http.Transport{
		Proxy:                  choose,
		OnProxyConnectResponse: netfault.CheckProxy,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    15 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
	if bundle == nil {
		return tr, nil
	}

	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}

	if !pool.AppendCertsFromPEM(bundle) {
		return nil, errors.New("ca_file: holds no certificate in PEM form")
	}

	tr.TLSClientConfig.RootCAs = pool

	return tr, nil
}

// proxyChoice returns the function that chooses the proxy of a request. A request to an
// http:// address goes to this machine only, and never to a proxy, which could read the
// token or the secret. For https:// the proxy is a tunnel.
func proxyChoice(proxy string) (func(*http.Request) (*url.URL, error), error) {
	choose := http.ProxyFromEnvironment

	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil {
			return nil, errors.New("proxy: not a URL") // the error of url.Parse would print it, with its password
		}

		choose = http.ProxyURL(u)
	}

	return func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme == "http" {
			return nil, nil
		}

		return choose(r)
	}, nil
}
