package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fluent-bit-defender/internal/store"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/test/setup"
)

// Other processes are this test binary, started again with the name of a job in the
// environment.
const (
	childJob = "STORE_TEST_JOB"
	childDir = "STORE_TEST_DIR"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(childJob); job != "" {
		if err := jobs[job](os.Getenv(childDir)); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}

		os.Exit(0)
	}

	os.Exit(m.Run())
}

// child is another process at its job. Lines are what it wrote: one number for each
// piece of work that it holds for done.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	stdin io.WriteCloser
}

func startChild(t *testing.T, job, dir string) *child {
	t.Helper()

	cmd := exec.Command(os.Args[0])

	cmd.Env = append(os.Environ(), childJob+"="+job, childDir+"="+dir)

	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}

	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	c := &child{cmd, bufio.NewScanner(out), in}

	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })

	return c
}

func (c *child) next(t *testing.T) string {
	t.Helper()

	if !c.lines.Scan() {
		t.Fatalf("the other process ended: %v", c.lines.Err())
	}

	return c.lines.Text()
}

// killAfter lets n pieces of work be done, waits some microseconds more, kills the
// process and returns the last number it wrote.
func (c *child) killAfter(t *testing.T, n int, more time.Duration) int {
	t.Helper()

	last := -1
	read := func() {
		number, err := strconv.Atoi(c.lines.Text())
		if err != nil {
			t.Fatalf("the other process says: %s", c.lines.Text())
		}

		last = number
	}

	for range n {
		c.next(t)
		read()
	}

	timer := time.AfterFunc(more, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()

	for c.lines.Scan() {
		read()
	}

	_ = c.cmd.Wait()

	return last
}

// kills are the jobs of a process that is killed, each with what must be found after it.
var kills = map[string]func(t *testing.T, s *Store, acknowledged int){
	"save chains":    savedChains,
	"commit units":   committedUnits,
	"rewind units":   rewoundUnits,
	"open and close": func(t *testing.T, s *Store, _ int) { expectToken(t, s, 2, "x") },
}

// savedChains: the chain has the last token, or the one after it, and no seed is
// forgotten.
func savedChains(t *testing.T, s *Store, acknowledged int) {
	c, ok, err := s.Tokens().Load(t.Context(), chainKey(1))

	number, _ := strconv.Atoi(c.Refresh.Reveal())
	if err != nil || !ok || number < acknowledged || number > acknowledged+1 {
		t.Errorf("token %d (%v, %v), acknowledged %d", number, ok, err, acknowledged)
	}

	for n := 1; n <= number; n++ {
		seen, err := s.Tokens().SeedSeen(t.Context(), chainKey(1), [32]byte{1, byte(n), byte(n >> 8)})
		if err != nil || !seen {
			t.Errorf("seed %d of %d: %v, %v", n, number, seen, err)
		}
	}
}

// committedUnits: both units are where the last commit left them, or the one after it,
// with the seen-set that belongs to it.
func committedUnits(t *testing.T, s *Store, acknowledged int) {
	other := testUnit
	other.TenantID = "other"

	for _, key := range []alert.UnitKey{testUnit, other} {
		c, seen, ok, err := s.Load(t.Context(), key)
		if err != nil || !ok || int(c.Watermark) < acknowledged || int(c.Watermark) > acknowledged+1 {
			t.Errorf("watermark %d (%v, %v), acknowledged %d", c.Watermark, ok, err, acknowledged)
		}

		times := seenTimes(seen)
		for n := c.SeenSince; n <= c.Watermark; n++ {
			if !times[n] {
				t.Errorf("the checkpoint stands at %d, but %d is not in the seen-set", c.Watermark, n)
			}
		}

		if len(times) != int(c.Watermark-c.SeenSince)+1 {
			t.Errorf("%d entries, checkpoint %+v", len(times), c)
		}
	}
}

// rewoundUnits: the rewind was made as a whole, or not at all.
func rewoundUnits(t *testing.T, s *Store, _ int) {
	c, seen, ok, err := s.Load(t.Context(), testUnit)
	times := seenTimes(seen)

	rewound := c.Watermark == 50 && !times[60]
	untouched := c.Watermark == 100 && times[60]

	if err != nil || !ok || !times[40] || !rewound && !untouched {
		t.Errorf("half a rewind: %+v, %v, %v, %v", c, times, ok, err)
	}
}

func TestAKilledProcessLosesNothingThatItHeldForDone(t *testing.T) {
	for job, check := range kills {
		t.Run(job, func(t *testing.T) {
			w := newWorld(t)
			for range setup.Size(5, 30) {
				moment := time.Duration(rand.IntN(3000)) * time.Microsecond
				acknowledged := startChild(t, job, w.dir).killAfter(t, 1+rand.IntN(20), moment)

				s := w.open(
					func(o *Options) { o.BootID = bootID },
					func(o *Options) { o.Inputs = job == "open and close" },
				)
				if s.CrashedMachine() {
					t.Error("a killed process is taken for a crashed machine")
				}

				check(t, s, acknowledged)

				if err := s.Close(); err != nil {
					t.Error(err)
				}

				checkConsistency(t, w.dir)

				if names := list(t, w.dir); strings.Contains(names, "damaged") || w.logged("damaged") {
					t.Errorf("a kill damages files: %s, %q", names, w.logs.String())
				}
			}
		})
	}
}

func TestASecondProcessWithInputsIsRefusedByName(t *testing.T) {
	w := newWorld(t)
	c := startChild(t, "hold inputs", w.dir)
	pid := c.next(t)

	_, err := w.tryOpen()
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), "process "+pid) ||
		!strings.Contains(err.Error(), "data_dir") {
		t.Errorf("Open: %v", err)
	}

	s := w.open(noInputs) // the CLI may
	save(t, s, 1, "from the CLI")

	_, err = s.Tokens().Rekey(t.Context(), testKey)
	if !errors.Is(err, store.ErrInUse) || strings.Contains(err.Error(), "data_dir") {
		t.Errorf("Rekey: %v", err) // another data_dir would be no help
	}

	s.Close()
	c.killAfter(t, 0, 0)
	expectToken(t, w.open(), 1, "from the CLI")
}

func TestInputsOfOneProcessShareTheDirectory(t *testing.T) {
	w := newWorld(t)

	a, b := w.open(), w.open()
	if a.sh != b.sh {
		t.Error("the files are open twice")
	}

	if _, err := w.tryOpen(withKey(testKey)); !errors.Is(err, store.ErrKey) {
		t.Errorf("another key: %v", err)
	}

	a.Close()
	a.Close()

	if err := a.Commit(t.Context(), []store.Commit{{Key: testUnit}}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Commit after Close: %v", err)
	}

	drive(t, w, b, 1, 3)
	b.Close()

	if len(registry.open) != 0 {
		t.Errorf("%d directories stay open", len(registry.open))
	}
}

func TestAChainIsLockedAgainstOtherProcesses(t *testing.T) {
	w := newWorld(t)
	c := startChild(t, "hold a chain", w.dir)
	c.next(t)

	s := w.open()

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()

	if _, err := s.Tokens().Lock(ctx, chainKey(1)); !errors.Is(err, store.ErrBusy) {
		t.Errorf("Lock: %v", err)
	}
	if unlock, err := s.Tokens().Lock(t.Context(), chainKey(2)); err != nil {
		t.Errorf("another chain: %v", err)
	} else {
		unlock()
	}

	c.killAfter(t, 0, 0) // a process that dies releases its locks
	unlock, err := s.Tokens().Lock(t.Context(), chainKey(1))
	if err != nil {
		t.Fatal(err)
	}

	unlock()
}

func TestProcessesAndGoroutinesTakeTurns(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	save(t, s, 1, "0")
	children := []*child{startChild(t, "count", w.dir), startChild(t, "count", w.dir)}
	done := make(chan error, 2)

	for range 2 {
		go func() { done <- count(s, countEach) }()
	}

	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}

	for _, c := range children {
		out, _ := io.ReadAll(c.stdinless())
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}

	expectToken(t, s, 1, strconv.Itoa(4*countEach))

	if c, _, _ := s.Tokens().Load(t.Context(), chainKey(1)); c.Version != 4*countEach+1 {
		t.Errorf("version %d", c.Version)
	}

	s.Close()
	// The copy has followed every process.
	scratch := newWorld(t)
	if err := os.MkdirAll(scratch.dir, 0o700); err != nil {
		t.Fatal(err)
	}

	b, err := os.ReadFile(w.dir + "/" + copyFile)
	if err == nil {
		err = os.WriteFile(scratch.dir+"/"+copyFile, b, 0o600)
	}

	if err != nil {
		t.Fatal(err)
	}

	expectToken(t, scratch.open(), 1, strconv.Itoa(4*countEach))
}

// stdinless returns what the process still writes, after telling it that no more input
// comes.
func (c *child) stdinless() io.Reader {
	_ = c.stdin.Close()
	r, w := io.Pipe()

	go func() {
		for c.lines.Scan() {
			fmt.Fprintln(w, c.lines.Text())
		}

		_ = w.Close()
	}()

	return r
}
