package pgtest

import (
	"bufio"
	"fmt"
	"net"
	"testing"
)

// echo is a server that sends every line back.
func echo(t *testing.T) string {
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

			go func() {
				for in := bufio.NewScanner(c); in.Scan(); {
					_, _ = fmt.Fprintln(c, in.Text())
				}

				_ = c.Close()
			}()
		}
	}()

	return l.Addr().String()
}

func TestProxyPassesCutsAndFreezes(t *testing.T) {
	p := NewProxy(t, "tcp", echo(t))
	dial := func() net.Conn {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.Port()))
		if err != nil {
			t.Fatal(err)
		}

		t.Cleanup(func() { _ = c.Close() })

		return c
	}
	answer := func(c net.Conn) string {
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			return "end"
		}

		return line
	}
	send := func(c net.Conn, text string) { _, _ = fmt.Fprintln(c, text) }

	c := dial()
	send(c, "one")

	if got := answer(c); got != "one\n" {
		t.Errorf("passing: %q", got)
	}

	p.Freeze()
	send(c, "two")

	late := dial()
	send(late, "three")
	p.Restore()

	if got := answer(c); got != "two\n" {
		t.Errorf("what was sent while nothing passed: %q", got)
	}

	if got := answer(late); got != "three\n" {
		t.Errorf("a connection made while nothing passed: %q", got)
	}

	p.Cut()

	if got := answer(c); got != "end" {
		t.Errorf("a connection that was cut: %q", got)
	}

	refused := dial()
	send(refused, "four")

	if got := answer(refused); got != "end" {
		t.Errorf("a connection made while they are cut: %q", got)
	}

	p.Restore()

	again := dial()
	send(again, "five")

	if got := answer(again); got != "five\n" {
		t.Errorf("after the cut: %q", got)
	}
}
