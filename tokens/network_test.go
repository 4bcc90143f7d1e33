package tokens_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// at returns a client for a service at u, with a transport of its own.
func at(t *testing.T, u string, tr *http.Transport) tokens.Client {
	t.Helper()

	if tr == nil {
		tr = &http.Transport{}
	}

	t.Cleanup(tr.CloseIdleConnections)

	a := app(tokens.V2)
	a.LoginURL = u

	return tokens.Client{App: a, HTTP: &http.Client{Transport: tr}}
}

func TestNetworkFaultsAreToldApartAndTransient(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)

	secure.StartTLS()
	defer secure.Close()

	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()

	broken := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }),
	)
	defer broken.Close()

	silent := httptest.NewServer(http.HandlerFunc(sayNothing))
	defer silent.Close()

	closed := httptest.NewServer(nil)
	closed.Close()
	dead, _ := url.Parse(closed.URL)

	noNames := &net.Resolver{
		PreferGo: true,
		Dial:     func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no resolver") },
	}
	for name, tc := range map[string]struct {
		url  string
		tr   *http.Transport
		want string
	}{
		"refused": {closed.URL, nil, "refused the connection"},
		"unknown name": {
			"https://login.invalid",
			&http.Transport{DialContext: (&net.Dialer{Resolver: noNames}).DialContext},
			"cannot be resolved",
		},
		"unknown authority":  {secure.URL, nil, "unknown authority"},
		"not TLS":            {strings.Replace(plain.URL, "http:", "https:", 1), nil, "TLS"},
		"broken":             {broken.URL, nil, "broke"},
		"timeout":            {silent.URL, &http.Transport{ResponseHeaderTimeout: 20 * time.Millisecond}, "in time"},
		"proxy out of reach": {"https://login.example.test", &http.Transport{Proxy: http.ProxyURL(dead)}, "proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := at(t, tc.url, tc.tr).ClientCredentials(t.Context())

			var e *tokens.Error
			if !errors.As(err, &e) || e.Fate != advice.TryAgain || e.Remedy == "" ||
				e.Err == nil ||
				e.Refusal.Status != 0 {
				t.Fatalf("%v", err)
			}

			if !strings.Contains(e.Problem, tc.want) {
				t.Errorf("%v does not say %q", err, tc.want)
			}
		})
	}
}

func TestRedirectsAreNotFollowedAndTheirTargetIsNamed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		stolen := 0
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen++ }))
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/token?secret=x", status)
		}))
		c := at(t, s.URL, nil)
		// whatever the caller's client does
		c.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
		_, err := c.Redeem(t.Context(), secret.New("rt0"))

		s.Close()
		other.Close()

		var e *tokens.Error
		if !errors.As(err, &e) || e.Fate != advice.NeedsFix || e.Refusal.Status != status || e.Dead() {
			t.Fatalf("%d: %v", status, err)
		}

		if !strings.Contains(err.Error(), "redirects to "+other.URL) || strings.Contains(err.Error(), "secret=x") ||
			stolen != 0 {
			t.Errorf("%d: %v; %d requests arrived", status, err, stolen)
		}
	}
}

func TestAStaleConnectionIsReplacedWithoutAnError(t *testing.T) {
	s := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(granted("a", "", 60))) }),
	)
	defer s.Close()

	c := at(t, s.URL, nil)
	for range 3 {
		if _, err := c.ClientCredentials(t.Context()); err != nil {
			t.Fatal(err)
		}

		s.CloseClientConnections() // as a load balancer closes idle connections
	}
}

func TestACancelledRequestGivesTheContextsError(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(sayNothing))
	defer silent.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()

	if _, err := at(t, silent.URL, nil).ClientCredentials(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// sayNothing never answers. It reads the request: a server notices that its client is
// gone only then.
func sayNothing(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}
