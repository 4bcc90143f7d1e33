package pgtest

import (
	"path/filepath"
	"strconv"
	"testing"
)

// Standby returns a running hot standby of the server, for this test alone. It answers
// queries, and accepts no changes until it is promoted.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()

	b, err := folder(s.bin, s.extra)
	if err != nil {
		t.Fatal(err)
	}

	copying := b.command("pg_basebackup", "-h", s.dir, "-p", strconv.Itoa(s.port), "-U", "postgres", "-D", b.data(),
		"-R", "-X", "stream", "-c", "fast", "--no-sync")
	if out, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}

	if err := b.watch(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(b.remove)
	b.Launch(t)

	return b
}

// Promote makes a standby a server that accepts changes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()

	promote := s.command("pg_ctl", "promote", "-D", s.data(), "-w", "-t", "120")
	if out, err := promote.CombinedOutput(); err != nil {
		t.Fatalf("pg_ctl promote: %v: %s", err, out)
	}
}

// Folder returns the folder of the server's socket: the host in a connection string.
func (s *Server) Folder() string { return filepath.Dir(s.Socket()) }
