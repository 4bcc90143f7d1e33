package defender

import (
	"context"
	"errors"
	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestIdleTimeCountsWhileReadingOnly: a service that goes silent is given up; a sink
// that waits for the buffer has all the time.
func TestIdleTimeCountsWhileReadingOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			headers, body, sink time.Duration // how long each is silent
			fails               bool
		}{
			"all quick":            {},
			"a slow sink":          {sink: time.Hour},
			"slow, but not silent": {headers: 50 * time.Second, body: 50 * time.Second},
			"no answer":            {headers: 70 * time.Second, fails: true},
			"a stalled body":       {body: 70 * time.Second, fails: true},
		} {
			body := &slowly{
				parts: []string{`[` + row(alert.Graph, "a", start), `,` + row(alert.Graph, "b", start) + `]`},
				pause: test.body,
			}
			client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(test.headers):
				case <-r.Context().Done():
					return nil, context.Cause(r.Context())
				}

				body.ctx = r.Context()

				return &http.Response{
					StatusCode: 200,
					Header:     http.Header{},
					Body:       body,
					Request:    r,
				}, nil
			})}
			reader := slowReader(t, client)
			b, began := newBasket(t, alert.Graph), time.Now()
			b.before = func([]byte) error { time.Sleep(test.sink); return nil }

			err := reader.Read(t.Context(), lastHour(), b)
			if (err != nil) != test.fails {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}

			var e *Error
			if test.fails &&
				(!errors.As(err, &e) || e.Fate != advice.TryAgain || !e.Smaller ||
					!strings.Contains(e.Problem, "sent nothing for 1m0s")) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

type answering func(*http.Request) (*http.Response, error)

// slowly is a body in parts, with a pause before each but the first.
type slowly struct {
	ctx   context.Context
	parts []string
	pause time.Duration
	n     int
}

// TestUnreachableIsSaidAsSuch: a short pause does no harm where nothing was reached;
// and the caller's own end is no error of the network.
func TestUnreachableIsSaidAsSuch(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()

	for name, change := range map[string]func(*Settings){
		"nobody listens": func(s *Settings) { s.BaseURL = gone.URL },
		"no such name": func(s *Settings) {
			s.HTTP = &http.Client{Transport: &http.Transport{DialContext: func(
				context.Context, string, string,
			) (net.Conn, error) {
				return nil, &net.OpError{
					Op:  "dial",
					Err: &net.DNSError{Err: "no such host", Name: "x.example", IsNotFound: true},
				}
			}}}
		},
		"the proxy is gone": func(s *Settings) {
			proxy, _ := url.Parse(strings.Replace(gone.URL, "http://", "http://user:pass-word@", 1))
			s.BaseURL, s.HTTP = "https://x.example", &http.Client{
				Transport: &http.Transport{Proxy: http.ProxyURL(proxy)},
			}
		},
		"no TLS there": func(s *Settings) { s.BaseURL = strings.Replace(s.BaseURL, "http:", "https:", 1) },
	} {
		e := readError(t, alert.Graph, func(http.ResponseWriter, *http.Request) {}, change)
		if !e.Unreachable || e.Fate != advice.TryAgain || e.Remedy == "" || strings.Contains(e.Error(), "pass-word") ||
			strings.Contains(e.Error(), "filter=") {
			t.Errorf("%s: %v", name, e)
		}
	}

	tls := httptest.NewUnstartedServer(nil)
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)

	tls.StartTLS()
	defer tls.Close()

	e := readError(t, alert.Graph, nil, func(s *Settings) { s.BaseURL, s.HTTP = tls.URL, &http.Client{} })
	if !e.Unreachable || !strings.Contains(e.Remedy, "ca_file") {
		t.Errorf("an unknown certificate: %v", e)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopping")

	reader, _ := fake(t, alert.Graph, func(_ http.ResponseWriter, r *http.Request) {
		cancel(stop)
		<-r.Context().Done()
	})
	if err := reader.Read(ctx, lastHour(), discard{}); !errors.Is(err, stop) {
		t.Errorf("told to stop: %v", err)
	}
}

// FuzzErrorsHoldNothingOfTheAnswer: whatever a service puts into status line, headers
// and body, its words do not reach a log, nor does our token when it is sent back.
func FuzzErrorsHoldNothingOfTheAnswer(f *testing.F) {
	const token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.c2VjcmV0LWluLXRoZS1taWRkbGU.c2lnbmF0dXJl"

	for _, body := range []string{
		`{"error":{"code":"%s","message":"%s","target":"%s"}}`, `<html>%s`, `%s`, `{"error":"%s"}`,
		`{"error":{"innerError":{"request-id":"%s"}}}`,
		`{"value":[{"id":"%s"}`, `{"value":"%s"}`, `{"value":[%s]}`,
	} {
		for _, status := range []int{200, 302, 400, 401, 403, 429, 500} {
			f.Add(status, strings.ReplaceAll(body, "%s", token), token)
			f.Add(
				status,
				strings.ReplaceAll(body, "%s", "c2VjcmV0LWluLXRoZS1taWRkbGU"),
				"https://"+token[:36]+".example/",
			)
		}
	}

	f.Fuzz(func(t *testing.T, status int, body, header string) {
		if status < 200 || status > 599 {
			return
		}

		marked := strings.ReplaceAll(body, "message", `x":"word-of-the-service","message`)

		client := &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: status,
				Header: http.Header{
					"Location":         {header},
					"Request-Id":       {header},
					"Retry-After":      {header},
					"Date":             {header},
					"Www-Authenticate": {header},
				},
				Body:    io.NopCloser(strings.NewReader(marked)),
				Request: r,
			}, nil
		})}
		for _, api := range []alert.API{alert.SIEM, alert.Graph} {
			reader, _ := NewReader(api, Settings{
				BaseURL:  "http://x.example",
				Path:     "/a",
				HTTP:     client,
				Tokens:   fixedToken(token),
				Now:      func() time.Time { return start },
				MaxPage:  10,
				PageSize: 10,
			})

			var said string

			for range 3 {
				err := reader.Read(t.Context(), lastHour(), discard{})
				if err == nil {
					return
				}

				said += err.Error() + fmt.Sprintf("%+v", err)
			}

			if strings.Contains(said, "word-of-the-service") || strings.ContainsAny(said, "\n\r\x00") {
				t.Errorf("%q", said)
			}

			for i := 0; i+16 <= len(token); i++ {
				if strings.Contains(said, token[i:i+16]) {
					t.Fatalf("a piece of the token: %q", said)
				}
			}
		}
	})
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func (s *slowly) Read(p []byte) (int, error) {
	if s.n == len(s.parts) {
		return 0, io.EOF
	}

	if s.n > 0 {
		select {
		case <-time.After(s.pause):
		case <-s.ctx.Done():
			return 0, context.Cause(s.ctx)
		}
	}

	s.n++

	return copy(p, s.parts[s.n-1]), nil
}

func (*slowly) Close() error { return nil }
