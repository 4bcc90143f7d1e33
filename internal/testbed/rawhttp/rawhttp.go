// Package rawhttp has a server that answers requests with whatever bytes a test wants, be
// they HTTP or not.
package rawhttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// Serve answers the first request of each connection with what answer returns for its
// body, until the test ends. It returns the server's address as "http://host:port".
func Serve(t testing.TB, answer func(body string) string) string {
	t.Helper()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = l.Close() })

	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}

			go reply(c, answer)
		}
	}()

	return "http://" + l.Addr().String()
}

// reply answers one request. A client that has gone away gets no answer.
func reply(c net.Conn, answer func(body string) string) {
	defer func() { _ = c.Close() }()

	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}

	body, _ := io.ReadAll(r.Body)
	_, _ = io.WriteString(c, answer(string(body)))
}
