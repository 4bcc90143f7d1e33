package netfault_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/netfault"
	"fluent-bit-defender/internal/testbed/rawhttp"
)

const hidden = "Sup3r~Secret/Value+1"

func TestNothingThatAServerSaysInPlaceOfHTTPIsQuoted(t *testing.T) {
	for name, answer := range map[string]func(string) string{
		"an echo":       func(body string) string { return body + "\r\n\r\n" },
		"in the status": func(body string) string { return "HTTP/1.1 " + body + " x\r\n\r\n" },
		"in a header":   func(body string) string { return "HTTP/1.1 200 OK\r\n" + body + "\r\n\r\n" },
		"in the length": func(body string) string {
			return "HTTP/1.1 200 OK\r\nContent-Length: " + body + "\r\n\r\n"
		},
		"in the encoding": func(body string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + body + "\r\n\r\n"
		},
		"in a chunk's length": func(body string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "\r\n"
		},
		"in the proxy's words": nil,
	} {
		client, target := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, ""

		if answer == nil {
			proxy, _ := url.Parse(rawhttp.Serve(t,
				func(string) string { return "HTTP/1.1 502 " + hidden + "\r\n\r\n" }))
			client.Transport, target = &http.Transport{Proxy: http.ProxyURL(proxy)}, "https://login.example.test"
		} else {
			target = rawhttp.Serve(t, answer)
		}

		res, err := client.PostForm(target, url.Values{"client_secret": {hidden}})
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}

		if err == nil {
			t.Fatalf("%s: no error", name)
		}

		if f := netfault.Of(err); f.Err == nil || netfault.Shares(f.Err.Error(), hidden) ||
			strings.Contains(f.Err.Error(), "client_secret") {
			t.Errorf("%s: %v", name, f.Err)
		}
	}
}

func TestTheProxysOwnRefusalIsNamed(t *testing.T) {
	for _, tc := range []struct {
		line string // the proxy's status line
		hook bool
		kind netfault.Kind
		want string
	}{
		{"407 Proxy Authentication Required", false, netfault.ProxySignIn, "407 Proxy Authentication Required"},
		{"407 Proxy Authentication Required", true, netfault.ProxySignIn, "407 Proxy Authentication Required"},
		{"407 " + hidden, true, netfault.ProxySignIn, "407 Proxy Authentication Required"},
		{"407", true, netfault.ProxySignIn, "407 Proxy Authentication Required"},
		{"502 Bad Gateway", false, netfault.Proxy, "502 Bad Gateway"},
		{"599 " + hidden, true, netfault.Proxy, "599"},
	} {
		u, err := url.Parse(rawhttp.Serve(t, func(string) string { return "HTTP/1.1 " + tc.line + "\r\n\r\n" }))
		if err != nil {
			t.Fatal(err)
		}

		transport := &http.Transport{Proxy: http.ProxyURL(u)}
		if tc.hook {
			transport.OnProxyConnectResponse = netfault.CheckProxy
		}

		_, err = (&http.Client{Transport: transport}).Get("https://login.example.test")

		f := netfault.Of(err)
		if f.Kind != tc.kind || !f.Dialing || !strings.Contains(f.Err.Error(), tc.want) ||
			netfault.Shares(f.Err.Error(), hidden) {
			t.Errorf("%q: %+v", tc.line, f)
		}
	}
}

// TestAnHTTP2ResetIsNamedByItsCode: of the stream, before and in the middle of the
// answer, and of the whole connection.
func TestAnHTTP2ResetIsNamedByItsCode(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "[")
			w.(http.Flusher).Flush()
		}

		panic(http.ErrAbortHandler)
	}))
	server.EnableHTTP2 = true

	server.StartTLS()
	defer server.Close()

	for _, path := range []string{"/", "/body"} {
		res, err := server.Client().Get(server.URL + path)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}

		if f := netfault.Of(err); f.Kind != netfault.Reset || f.Err.Error() != "HTTP/2 INTERNAL_ERROR" {
			t.Errorf("%s: %+v", path, f)
		}
	}

	goAway := errors.New("http2: server sent GOAWAY and closed the connection; debug=" + hidden)
	if f := netfault.Of(goAway); f.Kind != netfault.Reset || f.Err.Error() != "HTTP/2 GOAWAY" {
		t.Errorf("%+v", f)
	}
}

func TestAPieceOfASecretIsFoundHoweverItIsSpelt(t *testing.T) {
	for text, want := range map[string]bool{
		"https://sup3r~secret.example": true,
		url.QueryEscape(hidden):        true,
		"x" + hidden[3:15]:             true,
		hidden[:11]:                    false,
		"login.example.test":           false,
		"":                             false,
	} {
		if got := netfault.Shares(text, hidden); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}

	for text, want := range map[string]bool{"is pass-w1": true, "PASS-W1.example": true, "pass-w": false} {
		if got := netfault.Shares(text, "pass-w1"); got != want {
			t.Errorf("a short secret in %q: %v", text, got)
		}
	}

	if netfault.Shares("invalid_grant", "g") || netfault.Shares("anything", "") {
		t.Error("what is hardly a secret is found everywhere")
	}
}

func TestRetryAfterIsReadInEveryForm(t *testing.T) {
	const date = "Sun, 01 Mar 2026 12:00:50 GMT"

	now := time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC) // a wrong clock here does not matter
	for value, want := range map[string]time.Duration{
		"":                                0,
		"0":                               0,
		"0.0":                             0,
		"5":                               5 * time.Second,
		" 7 ":                             7 * time.Second,
		"\t8":                             8 * time.Second,
		"30.5":                            31 * time.Second,
		"30.0":                            30 * time.Second,
		"30.":                             30 * time.Second,
		"0.1":                             time.Second,
		".5":                              time.Second,
		"-3":                              0,
		"-0.5":                            0,
		"1e3":                             0,
		"0x10":                            0,
		"1.5.5":                           0,
		"inf":                             0,
		"NaN":                             0,
		".":                               0,
		"soon":                            0,
		"30, 60":                          time.Minute,
		"99999999999999999999":            24 * time.Hour,
		"9999999999.5":                    24 * time.Hour,
		"86400":                           24 * time.Hour,
		"Sun, 01 Mar 2026 12:01:30 GMT":   40 * time.Second,
		"Sunday, 01-Mar-26 12:01:30 GMT":  40 * time.Second,
		"Sun Mar  1 12:01:30 2026":        40 * time.Second,
		"Sun, 01 Mar 2026 12:01:30 UTC":   40 * time.Second,
		"Sun, 1 Mar 2026 12:01:30 GMT":    40 * time.Second,
		"Sun, 01 Mar 2026 13:01:30 +0100": 40 * time.Second,
		"2026-03-01T12:01:30Z":            40 * time.Second,
		"Sun, 01 Mar 2026 12:01:30 XYZ":   0,
		"Sun, 01 Mar 2026 11:00:00 GMT":   0,
		"Sun, 08 Mar 2026 11:00:00 GMT":   24 * time.Hour,
	} {
		got, ok := netfault.RetryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now)
		if got != want || ok != (want > 0) {
			t.Errorf("%q: %v, %v; want %v", value, got, ok, want)
		}
	}

	several := http.Header{"Retry-After": {"soon", "5", "Sun, 01 Mar 2026 12:01:30 GMT", "7"}, "Date": {date}}
	if got, ok := netfault.RetryAfter(several, now); got != 40*time.Second || !ok {
		t.Errorf("of several headers: %v, %v", got, ok)
	}
}

// FuzzRetryAfter: whatever a server sends, the wait is within bounds and in whole
// seconds or zero.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"30.5", "Sun, 01 Mar 2026 12:01:30 GMT", "1,2", "-1", "9223372036854775808",
		"2026-03-01T12:01:30+23:59"} {
		f.Add(value, value)
	}

	now := time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC)

	f.Fuzz(func(t *testing.T, value, date string) {
		got, ok := netfault.RetryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now)
		if got < 0 || got > 24*time.Hour || ok != (got > 0) {
			t.Errorf("%q, %q: %v, %v", value, date, got, ok)
		}
	})
}

func TestRetryAfterDoesNotBelieveADateOfAnotherAge(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

	for _, date := range []string{"Thu, 01 Jan 1970 00:00:00 GMT", "Sun, 01 Mar 2099 12:00:00 GMT"} {
		h := http.Header{"Retry-After": {"Sun, 01 Mar 2026 12:00:30 GMT"}, "Date": {date}}
		if got, ok := netfault.RetryAfter(h, now); got != 30*time.Second || !ok {
			t.Errorf("Date %s: %v, %v; want 30s", date, got, ok)
		}
	}
}

func TestAHostIsPrintedOnlyIfItLooksLikeOne(t *testing.T) {
	for address, want := range map[string]string{
		"https://user:pw@login.example.test:8443/x?y": "https://login.example.test:8443",
		"https://a b/":                        "",
		"/path":                               "",
		"https://" + strings.Repeat("x", 200): "",
	} {
		u, err := url.Parse(address)

		if want == "" {
			want = "an invalid address"
		}

		if got := netfault.Host(u); err == nil && got != want {
			t.Errorf("%s: %q", address, got)
		}
	}

	if f := netfault.Of(errors.New("quote: " + hidden)); f.Kind != netfault.Other ||
		netfault.Shares(f.Err.Error(), hidden) {
		t.Errorf("%+v", f)
	}
}
