package netfault_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/netfault"
)

const hidden = "Sup3r~Secret/Value+1"

// serve answers every connection with what answer makes of the request's body.
func serve(t *testing.T, answer func(body string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				body, _ := io.ReadAll(r.Body)
				io.WriteString(c, answer(string(body)))
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestNothingThatAServerSaysInPlaceOfHTTPIsQuoted(t *testing.T) {
	for name, answer := range map[string]func(string) string{
		"an echo":         func(body string) string { return body + "\r\n\r\n" },
		"in the status":   func(body string) string { return "HTTP/1.1 " + body + " x\r\n\r\n" },
		"in a header":     func(body string) string { return "HTTP/1.1 200 OK\r\n" + body + "\r\n\r\n" },
		"in the length":   func(body string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + body + "\r\n\r\n" },
		"in the encoding": func(body string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + body + "\r\n\r\n" },
		"in a chunk's length": func(body string) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "\r\n"
		},
		"in the proxy's words": nil,
	} {
		client, target := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, ""
		if answer == nil {
			proxy, _ := url.Parse(serve(t, func(string) string { return "HTTP/1.1 502 " + hidden + "\r\n\r\n" }))
			client.Transport, target = &http.Transport{Proxy: http.ProxyURL(proxy)}, "https://login.example.test"
		} else {
			target = serve(t, answer)
		}
		res, err := client.PostForm(target, url.Values{"client_secret": {hidden}})
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		if f := netfault.Of(err); f.Err == nil || netfault.Shares(f.Err.Error(), hidden) || strings.Contains(f.Err.Error(), "client_secret") {
			t.Errorf("%s: %v", name, f.Err)
		}
	}
}

func TestTheProxysOwnRefusalIsNamed(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer proxy.Close()
	u, _ := url.Parse(proxy.URL)
	_, err := (&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(u)}}).Get("https://login.example.test")
	if f := netfault.Of(err); f.Kind != netfault.Proxy || !f.Dialing || !strings.Contains(f.Err.Error(), "Proxy Authentication Required") {
		t.Errorf("%+v", f)
	}
}

func TestAPieceOfASecretIsFoundHoweverItIsSpelt(t *testing.T) {
	for text, want := range map[string]bool{
		"https://sup3r~secret.example": true, url.QueryEscape(hidden): true, "x" + hidden[3:15]: true, hidden[:11]: false, "login.example.test": false, "": false,
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

func TestRetryAfterIsBoundedAndCountsFromTheServersClock(t *testing.T) {
	now := time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, " 7 ": 7 * time.Second, "-3": 0, "1.5": 0, "soon": 0, "99999999999999999999": 24 * time.Hour, "86400": 24 * time.Hour,
		"Sun, 01 Mar 2026 12:01:30 GMT": 40 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0, "Sun, 08 Mar 2026 11:00:00 GMT": 24 * time.Hour,
	} {
		got, ok := netfault.RetryAfter(http.Header{"Retry-After": {value}, "Date": {"Sun, 01 Mar 2026 12:00:50 GMT"}}, now)
		if got != want || ok != (want > 0) {
			t.Errorf("%q: %v, %v; want %v", value, got, ok, want)
		}
	}
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
		"https://user:pw@login.example.test:8443/x?y": "https://login.example.test:8443", "https://a b/": "", "/path": "", "https://" + strings.Repeat("x", 200): "",
	} {
		u, err := url.Parse(address)
		if want == "" {
			want = "an address that is none"
		}
		if got := netfault.Host(u); err == nil && got != want {
			t.Errorf("%s: %q", address, got)
		}
	}
	if f := netfault.Of(errors.New("quote: " + hidden)); f.Kind != netfault.Other || netfault.Shares(f.Err.Error(), hidden) {
		t.Errorf("%+v", f)
	}
}
