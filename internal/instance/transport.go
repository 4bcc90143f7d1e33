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
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/netfault"
)

// transportKey tells connections apart: by proxy and by what the CA bundle holds, which
// may be renewed under its name.
type transportKey struct {
	proxy string
	ca    [sha256.Size]byte
}

// mostHeaderBytes bounds the headers of an answer; those of the services have a few
// kilobytes.
const mostHeaderBytes = 256 << 10

// client returns an HTTP client for a tenant. Those who use it refuse redirects.
func (s *shared) client(t config.Tenant) (*http.Client, error) {
	tr, err := s.transport(t)
	if err != nil {
		return nil, err
	}

	return &http.Client{Transport: tr}, nil
}

// transport returns the connections for a proxy and CA bundle.
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

	tr, err := newTransport(key.proxy, bundle)
	if err != nil {
		return nil, fmt.Errorf("%w (tenant %s)", err, t.TenantName)
	}

	s.transports[key] = tr

	return tr, nil
}

// newTransport makes the connections for a proxy, empty for the environment's, and the
// bytes of a CA bundle, nil for none.
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
		MaxResponseHeaderBytes: mostHeaderBytes,
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

// proxyChoice returns what chooses the proxy of a request. http:// leads to this
// machine only and never to a proxy, which could read the token or the secret; https://
// is a tunnel.
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
