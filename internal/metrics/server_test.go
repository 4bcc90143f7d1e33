package metrics

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/secret"
)

// serve starts a server on a free port and returns its address.
func serve(t *testing.T, settings Settings, src Source) string {
	t.Helper()
	address, _ := serveBounded(t, settings, src)

	return address
}

// serveBounded returns the listener too.
func serveBounded(t *testing.T, settings Settings, src Source) (string, *listener) {
	t.Helper()

	var s Servers

	settings.Address = anyPort.Address

	leave, err := s.Serve(settings, src)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(leave)

	return s.where(settings), s.open[settings.Address].listener
}

// waitBusy returns when n requests are being answered.
func (l *listener) waitBusy(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()

	for {
		busy := 0
		for _, c := range l.open {
			if c.busy {
				busy++
			}
		}

		if busy == n {
			return
		}

		l.change.Wait()
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()

	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { c.Close() })

	if err := c.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}

	return c
}

// ask sends a scrape over a connection that stays open.
func ask(t *testing.T, c net.Conn) {
	t.Helper()

	if _, err := fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

func answer(t *testing.T, c net.Conn) {
	t.Helper()

	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || len(body) == 0 {
		t.Fatalf("%d %v: %d bytes", res.StatusCode, err, len(body))
	}
}

func TestIdleConnectionsGiveWayToNewOnes(t *testing.T) {
	address, l := serveBounded(t, Settings{}, &fixed{})

	// The first one has been served; the others never say anything, or stop in the
	// middle of a header. The server is a little later than its client in noticing that
	// an answer is complete, and a connection makes room in the order of being idle.
	first := dial(t, address)
	ask(t, first)
	answer(t, first)
	l.waitBusy(0)

	var silent []net.Conn

	for i := range 3 * maxConnections {
		c := dial(t, address)
		if i%2 == 0 {
			if _, err := fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHo"); err != nil {
				t.Fatal(err)
			}
		}

		silent = append(silent, c)
	}

	last := dial(t, address)
	ask(t, last)
	answer(t, last)

	// All but the newest maxConnections are closed: reading ends, not at the deadline.
	for i, c := range append([]net.Conn{first}, silent[:len(silent)-maxConnections]...) {
		var netErr net.Error
		if _, err := io.Copy(io.Discard, c); errors.As(err, &netErr) && netErr.Timeout() {
			t.Fatalf("connection %d is still open", i)
		}
	}
}

// slow is a source that reports when it is asked, and answers when it is told to.
type slow struct {
	asked, answer chan struct{}
	now, most     atomic.Int32
}

func (s *slow) Input() measure.Input        { return measure.Input{} }
func (s *slow) Ready(context.Context) error { return nil }

func (s *slow) Units() []measure.Unit {
	if n := s.now.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}

	s.asked <- struct{}{}

	<-s.answer
	s.now.Add(-1)

	return nil
}

func TestConnectionsBeingAnsweredAreNotClosed(t *testing.T) {
	src := &slow{asked: make(chan struct{}, 100), answer: make(chan struct{})}
	address, l := serveBounded(t, Settings{}, src)

	var busy []net.Conn

	for range maxConnections {
		c := dial(t, address)
		ask(t, c)
		busy = append(busy, c)
	}

	<-src.asked // one is gathered, the others wait
	l.waitBusy(maxConnections)

	// One more than there are places: it waits until one of them is done, and is then
	// answered.
	last := dial(t, address)
	ask(t, last)
	close(src.answer)

	for _, c := range append(busy, last) {
		answer(t, c)
	}

	if n := src.most.Load(); n != 1 {
		t.Errorf("%d scrapes were gathered at a time", n)
	}
}

func TestAFullListenerCanBeClosed(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	l := newListener(inner, 1)
	dial(t, inner.Addr().String())

	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}

	c.(*connection).setBusy(true)

	dial(t, inner.Addr().String())

	accepted := make(chan error)

	go func() {
		_, err := l.Accept()
		accepted <- err
	}()

	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// hostAndToken is a request to a server with settings, and the status of its answer.
type hostAndToken struct {
	settings            Settings
	host, authorization string
	status              int
}

func hostsAndTokens() map[string]hostAndToken {
	token := func() (secret.Text, error) { return secret.New("s3cret"), nil }
	none := func() (secret.Text, error) { return secret.Text{}, errors.New("gone") }
	listed := []string{"collector.example"}

	return map[string]hostAndToken{
		"address":                   {host: "127.0.0.1:9180", status: 200},
		"IPv6 address":              {host: "[::1]:9180", status: 200},
		"IPv6 address without port": {host: "[::1]", status: 200},
		"localhost":                 {host: "LocalHost:9180", status: 200},
		"localhost with a dot":      {host: "localhost.", status: 200},
		"another name":              {host: "evil.example", status: 403},
		"like an address":           {host: "127.0.0.1.evil.example", status: 403},
		"like localhost":            {host: "localhost.evil.example", status: 403},
		"listed":                    {settings: Settings{Hosts: listed}, host: "Collector.example:9180", status: 200},
		"below a listed one":        {settings: Settings{Hosts: listed}, host: "a.collector.example", status: 403},
		"token": {
			settings:      Settings{Token: token},
			host:          "127.0.0.1",
			authorization: "Bearer s3cret",
			status:        200,
		},
		"token, any name": {
			settings:      Settings{Token: token},
			host:          "any.example",
			authorization: "bearer  s3cret",
			status:        200,
		},
		"no token": {settings: Settings{Token: token}, host: "127.0.0.1", status: 401},
		"wrong token": {
			settings:      Settings{Token: token},
			host:          "127.0.0.1",
			authorization: "Bearer s3cres",
			status:        401,
		},
		"empty token": {
			settings:      Settings{Token: token},
			host:          "127.0.0.1",
			authorization: "Bearer ",
			status:        401,
		},
		"token as a password": {
			settings:      Settings{Token: token},
			host:          "127.0.0.1",
			authorization: "Basic s3cret",
			status:        401,
		},
		"no token, listed": {
			settings: Settings{Token: token, Hosts: listed},
			host:     "collector.example",
			status:   401,
		},
		"token file never was good": {
			settings:      Settings{Token: none},
			host:          "127.0.0.1",
			authorization: "Bearer ",
			status:        401,
		},
		"token given but none asked": {host: "127.0.0.1", authorization: "Bearer x", status: 200},
	}
}

func TestOnlyAllowedHostsAndTokensAreAnswered(t *testing.T) {
	for name, tc := range hostsAndTokens() {
		t.Run(name, func(t *testing.T) {
			address := serve(t, tc.settings, &fixed{})

			req, err := http.NewRequestWithContext(
				context.Background(),
				http.MethodGet,
				"http://"+address+"/metrics",
				nil,
			)
			if err != nil {
				t.Fatal(err)
			}

			req.Host = tc.host
			if tc.authorization != "" {
				req.Header.Set("Authorization", tc.authorization)
			}

			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()

			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tc.status {
				t.Errorf("%d %v, want %d", res.StatusCode, err, tc.status)
			}

			if (tc.status == 200) != strings.Contains(string(body), "defender_buffer_bytes") {
				t.Errorf("body: %.200s", body)
			}

			if (tc.status == 401) != (res.Header.Get("WWW-Authenticate") != "") {
				t.Error("WWW-Authenticate and the status do not fit")
			}
		})
	}
}

func TestOneAddressCannotHaveTwoTokens(t *testing.T) {
	var s Servers

	leave, err := s.Serve(anyPort, &fixed{})
	if err != nil {
		t.Fatal(err)
	}
	defer leave()

	for _, other := range []Settings{{TokenFile: "/t"}, {Hosts: []string{"a.example"}}} {
		other.Address = anyPort.Address
		if _, err := s.Serve(other, &fixed{}); err == nil || !strings.Contains(err.Error(), "give both the same") {
			t.Errorf("got %v", err)
		}
	}
}

func TestNetHTTPsOwnLinesGoToTheLog(t *testing.T) {
	var lines bytes.Buffer

	v := &server{log: slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, line := range []string{"http: Accept error: too many open files\n", "http: panic serving 127.0.0.1:5: x\n"} {
		if n, err := v.Write([]byte(line)); n != len(line) || err != nil {
			t.Error(n, err)
		}
	}

	for _, want := range []string{
		`level=DEBUG msg="metrics_listen: http: Accept error: too many open files"`,
		`level=ERROR msg="metrics_listen: http: panic serving 127.0.0.1:5: x"`,
	} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("no %s in %s", want, lines.String())
		}
	}
}

func TestIdleAndSlowClientsCostLittle(t *testing.T) {
	const idle = 1100

	src := &fixed{units: crowd(1000, time.Now())}
	address, l := serveBounded(t, Settings{}, src)

	for i := range idle {
		c := dial(t, address)
		if i%3 == 0 {
			if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
	}

	if res, _ := get(t, address, "/", "", ""); res.StatusCode != 200 {
		t.Fatalf("beside %d idle connections: %d", idle, res.StatusCode)
	}

	// All connections but one are taken by clients that ask for a page as it is, and read
	// no more than its first byte.
	before := heap()

	for i := range maxConnections - 1 {
		c := dial(t, address)
		if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}

		path := []string{"/", "/metrics", "/api/status"}[i%3]
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}

		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // the answer has begun
			t.Fatal(err)
		}
	}

	for _, path := range []string{"/", "/metrics", "/api/status", "/healthz", "/readyz"} {
		if res, body := get(t, address, path, "", ""); res.StatusCode != 200 || body == "" {
			t.Errorf("%s beside slow readers: %d", path, res.StatusCode)
		}
	}

	if more := heap() - before; more > 16<<20 {
		t.Errorf("%d slow readers take %d MB", maxConnections-1, more>>20)
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	if len(l.open) > maxConnections {
		t.Errorf("%d connections are open", len(l.open))
	}
}

// heap returns how much memory is in use, in bytes.
func heap() int {
	runtime.GC()

	var m runtime.MemStats
	runtime.ReadMemStats(&m)

	return int(m.HeapInuse)
}

func TestAnAnswerIsCompressedForThoseWhoUnpackIt(t *testing.T) {
	address := serve(t, Settings{}, &fixed{units: crowd(300, time.Now())})

	asIs := &http.Transport{DisableCompression: true}
	defer asIs.CloseIdleConnections()

	for accepted, packed := range map[string]bool{
		"":                    false,
		"identity":            false,
		"gzip":                true,
		"deflate, gzip;q=1.0": true,
		"br, GZIP;q=0.5":      true,
		"gzip;q=0":            false,
		"gzip; q=0.0, *":      false,
		"xgzip":               false,
	} {
		req, err := http.NewRequest(http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}

		req.Header.Set("Accept-Encoding", accepted)

		res, err := asIs.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}

		body, err := io.ReadAll(res.Body)
		res.Body.Close()

		if err != nil || int(res.ContentLength) != len(body) ||
			(res.Header.Get("Content-Encoding") == "gzip") != packed {
			t.Errorf("%q: %v, %d bytes of %d, %v", accepted, err, len(body), res.ContentLength, res.Header)
		}

		if !packed && !strings.HasSuffix(string(body), "</html>") {
			t.Errorf("%q: the page ends in %q", accepted, body[len(body)-20:])
		}
	}
}
