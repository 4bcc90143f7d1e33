package pgtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Bouncer starts pgbouncer in transaction mode in front of the server and returns the
// port of 127.0.0.1 on which it listens. pgbouncer ends with the test. If it is not
// installed, the test is skipped; where CI is set, it fails.
func (s *Server) Bouncer(t testing.TB) int {
	t.Helper()

	program := findBouncer(t)
	listen := freePort(t)
	config := filepath.Join(s.dir, fmt.Sprintf("pgbouncer-%d.ini", listen))
	log := config + ".log"
	text := fmt.Sprintf(`[databases]
* = host=%s port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
max_client_conn = 200
server_login_retry = 1
logfile = %s
`, s.dir, s.port, listen, log)

	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}

	c := s.command("pgbouncer", "-q", config)
	c.Path = program
	c.SysProcAttr.Pdeathsig = syscall.SIGKILL

	if err := c.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = c.Process.Kill()
		ended := c.Wait() // an error, since it was killed

		if t.Failed() {
			said, _ := os.ReadFile(log)
			t.Logf("pgbouncer: %v\n%s", ended, said)
		}
	})

	for end := time.Now().Add(startLimit); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", listen))
		if err == nil {
			_ = conn.Close()
			return listen
		}

		if time.Now().After(end) {
			said, _ := os.ReadFile(log)
			t.Fatalf("pgbouncer does not listen: %v\n%s", err, said)
		}
	}
}

// findBouncer returns the program pgbouncer. Without it the test is skipped, or fails
// where CI is set.
func findBouncer(t testing.TB) string {
	t.Helper()

	program, err := exec.LookPath("pgbouncer")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal("pgbouncer is not installed: apt-get install pgbouncer")
	}

	if err != nil {
		t.Skip("pgbouncer is not installed (apt-get install pgbouncer)")
	}

	return program
}

// freePort returns a port of 127.0.0.1 on which nothing listens.
func freePort(t testing.TB) int {
	t.Helper()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	return l.Addr().(*net.TCPAddr).Port
}
