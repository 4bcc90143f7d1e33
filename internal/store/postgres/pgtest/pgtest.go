// Package pgtest starts PostgreSQL for tests: one server for each test binary, on a
// socket in a temporary folder, and a database of its own for each test. Tests that
// stop or kill a server start one for themselves.
//
// If PostgreSQL is not installed, a test is skipped; where CI is set, it fails. The
// server ends with the test binary, however that ends.
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// socketPort names the socket of a server that has none on the network.
const socketPort = 5432

// startLimit is generous: many tests may start servers at once.
const startLimit = 2 * time.Minute

// Server is a running PostgreSQL.
type Server struct {
	dir      string // has the socket and the data
	bin      string
	owner    *syscall.Credential // the user of the server; nil: that of this process
	settings []string
	extra    []string // the settings of the test, which are among settings
	port     int      // of the socket, and on the network if it listens there

	watcher  *exec.Cmd // removes everything when this process is gone
	lifeline *os.File  // open as long as this process needs the server

	server *exec.Cmd
	ended  chan struct{} // closed when server has ended
}

var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Shared returns the server of this test binary.
func Shared(t testing.TB) *Server {
	t.Helper()

	bin := binaries(t)

	shared.once.Do(func() { shared.server, shared.err = start(bin, nil) })

	if shared.err != nil {
		t.Fatal(shared.err)
	}

	return shared.server
}

// Start returns a server for this test alone, with settings such as "fsync=on", which
// ends with the test.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()

	s, err := start(binaries(t), settings)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(s.remove)

	return s
}

// StartPrepared returns a server for this test alone that listens on 127.0.0.1. prepare
// writes files into its folder of data before it is started.
func StartPrepared(t testing.TB, prepare func(*Server), settings ...string) *Server {
	t.Helper()

	s, err := initialized(binaries(t), append([]string{"listen_addresses=127.0.0.1"}, settings...))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(s.remove)

	s.port = freePort(t)
	prepare(s)
	s.Launch(t)

	return s
}

// WriteFile writes a file into the folder of data, where only the server can read it.
func (s *Server) WriteFile(t testing.TB, name string, data []byte) {
	t.Helper()

	path := filepath.Join(s.data(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}

	if s.owner == nil {
		return
	}

	if err := os.Chown(path, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
		t.Fatal(err)
	}
}

// binaries returns where the programs of PostgreSQL are.
func binaries(t testing.TB) string {
	t.Helper()

	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatal(err)
	}

	if path, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			found = append(found, target) // the other programs are beside it
		}
	}

	if len(found) > 0 {
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1])
	}

	if os.Getenv("CI") != "" {
		t.Fatal("PostgreSQL is not installed: apt-get install postgresql")
	}

	t.Skip("PostgreSQL is not installed (apt-get install postgresql)")

	return ""
}

// start makes a cluster of databases and starts its server.
func start(bin string, settings []string) (*Server, error) {
	s, err := initialized(bin, settings)
	if err != nil {
		return nil, err
	}

	return s, s.launch()
}

// initialized makes a cluster of databases.
func initialized(bin string, settings []string) (*Server, error) {
	s, err := folder(bin, settings)
	if err != nil {
		return nil, err
	}

	initdb := s.command("initdb", "-D", s.data(), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8",
		"--no-locale")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}

	return s, s.watch()
}

// folder makes the folder of a server.
func folder(bin string, settings []string) (*Server, error) {
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}

	s := &Server{
		dir:   dir,
		bin:   bin,
		port:  socketPort,
		extra: settings,
		settings: append([]string{
			"listen_addresses=",
			"unix_socket_directories=" + dir,
			"fsync=off",
			"max_connections=200",
			"shared_buffers=32MB",
			"max_wal_size=256MB",
			"log_destination=stderr",
		}, settings...),
	}

	return s, s.own()
}

// own makes another user the owner of the folder if this one is root, as which
// PostgreSQL does not run.
func (s *Server) own() error {
	if os.Geteuid() != 0 {
		return nil
	}

	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}

	if err != nil {
		return err
	}

	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}

	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}

	s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}

	return os.Chown(s.dir, int(uid), int(gid))
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command returns a command that the owner of the server runs.
func (s *Server) command(program string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, program), args...)
	c.Dir = s.dir
	c.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + s.dir}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}

	return c
}

// cleanup waits until this process ends or closes the pipe (also when it is killed),
// and then removes everything.
const cleanup = `cat >/dev/null
kill -QUIT $(head -n 1 data/postmaster.pid) 2>/dev/null
rm -rf "$PWD"`

// watch starts a process that removes everything, however this one ends.
func (s *Server) watch() error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()

	s.watcher = s.command("sh", "-c", cleanup)
	s.watcher.Path = "/bin/sh"
	s.watcher.Stdin = read
	s.lifeline = write

	return s.watcher.Start()
}

// launch starts the server and waits until it answers.
func (s *Server) launch() error {
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}

	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()

	c := s.command("postgres", args...)
	c.Stdout = log
	c.Stderr = log

	if err := c.Start(); err != nil {
		return err
	}

	ended := make(chan struct{})
	s.server, s.ended = c, ended

	go func() {
		_ = c.Wait() // an error if the server was killed

		close(ended)
	}()

	return s.await()
}

// await waits until the server answers.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()

	for {
		c, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return c.Close(ctx)
		}

		select {
		case <-s.ended:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("PostgreSQL ended: %s", log)
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("PostgreSQL does not start: %w: %s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL returns the connection string of a database of the server.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@/%s?host=%s&port=%d", database, url.QueryEscape(s.dir), s.port)
}

// Socket returns the path of the server's socket, for a proxy.
func (s *Server) Socket() string { return filepath.Join(s.dir, fmt.Sprintf(".s.PGSQL.%d", s.port)) }

// Programs returns the directory of the programs of this PostgreSQL.
func (s *Server) Programs() string { return s.bin }

// Port returns the port of 127.0.0.1 on which a server of StartPrepared listens.
func (s *Server) Port() int { return s.port }

// PID returns the id of the server's process.
func (s *Server) PID() int { return s.server.Process.Pid }

// Log returns what the server has logged.
func (s *Server) Log(t testing.TB) string {
	t.Helper()

	b, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}

	return string(b)
}

// Signal sends the server a signal, such as SIGSTOP.
func (s *Server) Signal(t testing.TB, signal syscall.Signal) {
	t.Helper()

	if err := s.server.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// Stop stops the server properly, with all its connections. Launch starts it again.
func (s *Server) Stop(t testing.TB) {
	t.Helper()

	s.Signal(t, syscall.SIGINT)
	<-s.ended
}

// Kill ends the server at once, as a crash does.
func (s *Server) Kill(t testing.TB) {
	t.Helper()

	s.Signal(t, syscall.SIGQUIT)
	<-s.ended
}

// Launch starts a server that was ended.
func (s *Server) Launch(t testing.TB) {
	t.Helper()

	if err := s.launch(); err != nil {
		t.Fatal(err)
	}
}

// Restart stops the server and starts it again.
func (s *Server) Restart(t testing.TB) {
	t.Helper()

	s.Stop(t)
	s.Launch(t)
}

// remove ends the server and removes its folder.
func (s *Server) remove() {
	if s.server != nil {
		_ = s.server.Process.Signal(syscall.SIGCONT)
	}

	_ = s.lifeline.Close()
	_ = s.watcher.Wait()

	if s.server != nil {
		<-s.ended
	}
}
