// Package setup has what the tests of the whole program share: the built plugin, a
// simulator, a real Fluent Bit, and a wait for what must happen.
package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/flbhost"
	"fluent-bit-defender/internal/testbed/simulator"
)

// LongWait is how long a test waits at least for what must happen. It is long because the
// machine may be busy. It costs nothing unless the test fails.
const LongWait = 3 * time.Minute

// Plugin returns the path of the plugin that `make` builds, and brings it up to date.
func Plugin(t testing.TB) string {
	t.Helper()

	so, err := build()
	if err != nil {
		t.Fatal(err)
	}

	return so
}

var (
	build    = sync.OnceValues(func() (string, error) { return made("in_defender.so") })
	buildCLI = sync.OnceValues(func() (string, error) { return made("defenderctl") })
)

// made builds a file of the directory build and returns its path.
func made(name string) (string, error) {
	root, err := checkout()
	if err != nil {
		return "", err
	}

	// Tests of several packages run beside one another, and each asks for what it needs.
	unlock, err := lock(filepath.Join(root, "build"))
	if err != nil {
		return "", err
	}
	defer unlock()

	cmd := exec.Command("make", "-s", "build/"+name)

	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
	}

	// go test takes a result from its cache unless a file changed that the test itself
	// looked at.
	path := filepath.Join(root, "build", name)
	_, err = os.Stat(path)

	return path, err
}

// Tests begin in the directory of their package, and some of them leave it.
var began, errBegan = os.Getwd()

// checkout returns the directory of this project, which is above that of the test.
func checkout() (string, error) {
	if errBegan != nil {
		return "", errBegan
	}

	for dir := began; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}

		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", fmt.Errorf("looking for the checkout above %s: %w", began, err)
		}
	}
}

// lock waits until no other process builds in dir. The function that it returns lets the
// next one begin.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}

	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}

	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}

	return func() { _ = f.Close() }, nil // closing the file ends the lock
}

// CLI returns the path of the defenderctl that `make` builds, and brings it up to date.
func CLI(t testing.TB) string {
	t.Helper()

	program, err := buildCLI()
	if err != nil {
		t.Fatal(err)
	}

	return program
}

// FluentBit returns the path of this machine's Fluent Bit. It skips the test where there
// is none.
func FluentBit(t testing.TB) string {
	t.Helper()

	program, err := flbhost.Find()
	if err != nil {
		t.Skip(err)
	}

	return program
}

// Simulator starts a simulator on a free port of 127.0.0.1. It is closed when the test
// ends.
func Simulator(t testing.TB, cfg simulator.Config) *simulator.Simulator {
	t.Helper()

	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}

	if err := sim.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { sim.Close() })

	return sim
}

// Until waits until ok returns true, asking ten times a second. It fails the test when
// that takes longer than limit and [LongWait]. The failure ends with what explain
// returns. explain may be nil.
func Until(t testing.TB, what string, limit time.Duration, ok func() bool, explain func() string) {
	t.Helper()

	limit = max(limit, LongWait)
	for end := time.Now().Add(limit); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().Before(end) {
			continue
		}

		why := ""
		if explain != nil {
			why = "\n" + explain()
		}

		t.Fatalf("%s: not within %v%s", what, limit, why)
	}
}

// Long reports whether tests take the sizes with which `make torture` proves the promise,
// instead of those of every day.
func Long() bool { return os.Getenv("TORTURE_LONG") != "" }

// Size returns how much a test does: daily in `make test`, torture in `make torture`.
func Size(daily, torture int) int {
	if Long() {
		return torture
	}

	return daily
}

// OneGoroutine skips a test under the race detector, which has nothing to find where
// one goroutine works at a time, and makes it five times as slow. `make test` runs the
// package of such a test without the detector too: PURE in the Makefile.
func OneGoroutine(t testing.TB) {
	t.Helper()

	if detector {
		t.Skip("one goroutine works at a time: this runs without the race detector")
	}
}

// FreeAddress returns an address of this machine on which nobody listens.
func FreeAddress(t testing.TB) string {
	t.Helper()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	return l.Addr().String()
}
