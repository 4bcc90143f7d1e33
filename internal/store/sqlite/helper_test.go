package sqlite

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/loglines"
)

// world is a directory with a machine around it: clocks, boot id, log.
type world struct {
	t    *testing.T
	dir  string
	mu   sync.Mutex
	now  time.Time
	up   time.Duration
	boot string
	logs loglines.Lines
}

// newWorld makes an empty data_dir. When the test ends, whatever databases are left in
// it must be whole.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t:    t,
		dir:  filepath.Join(t.TempDir(), "defender"),
		now:  time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		up:   time.Hour,
		boot: "boot-1",
	}
	t.Cleanup(func() { checkConsistency(t, w.dir) })

	return w
}

func (w *world) options() Options {
	return Options{
		Dir:    w.dir,
		Inputs: true,
		Now:    func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
		Uptime: func() time.Duration { w.mu.Lock(); defer w.mu.Unlock(); return w.up },
		BootID: func() string { w.mu.Lock(); defer w.mu.Unlock(); return w.boot },
		Log:    w.logs.Logger(),
	}
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.now, w.up = w.now.Add(d), w.up+d
}

// reboot starts the machine again: another boot id, uptime from 0.
func (w *world) reboot() {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.boot += "'"
	w.up = time.Second
}

func (w *world) logged(part string) bool {
	return strings.Contains(w.logs.String(), part)
}

// open opens the store and closes it when the test ends.
func (w *world) open(change ...func(*Options)) *Store {
	w.t.Helper()

	s, err := w.tryOpen(change...)
	if err != nil {
		w.t.Fatal(err)
	}

	return s
}

func (w *world) tryOpen(change ...func(*Options)) (*Store, error) {
	o := w.options()
	for _, f := range change {
		f(&o)
	}

	s, err := open(o)
	if err == nil {
		w.t.Cleanup(func() { _ = s.Close() })
	}

	return s, err
}

// die ends a store as a killed process would: no mark of a clean exit, all descriptors
// closed.
func die(t *testing.T, s *Store) {
	t.Helper()
	s.closed.Store(true)
	registry.mu.Lock()
	defer registry.mu.Unlock()

	delete(registry.open, s.sh.id)

	if err := s.sh.shut(); err != nil {
		t.Fatal(err)
	}
}

func noInputs(o *Options) { o.Inputs = false }
func readOnly(o *Options) { o.Inputs, o.ReadOnly = false, true }

// checkConsistency runs SQLite's full check over every database that is in use or
// serves as a copy.
func checkConsistency(t *testing.T, dir string) {
	for _, name := range []string{tokensFile, copyFile, unitsFile} {
		path := filepath.Join(dir, name)
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			continue
		}

		if result, err := integrity(path); err != nil || result != "ok" {
			t.Errorf("%s: integrity_check says %q, %v", name, result, err)
		}
	}
}

func integrity(path string) (result string, err error) {
	db, err := sql.Open("sqlite", dsn(path, "rw", ""))
	if err != nil {
		return "", err
	}
	defer db.Close()

	err = db.QueryRow("PRAGMA integrity_check").Scan(&result)

	return result, err
}

// tamper runs SQL on a database that no store has open.
func tamper(t *testing.T, path, query string, args ...any) {
	t.Helper()

	db, err := sql.Open("sqlite", dsn(path, "rw", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
}

func list(t *testing.T, dir string) string {
	t.Helper()

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}

	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}

	return strings.Join(names, " ")
}

func removeDamaged(t *testing.T, dir string) {
	t.Helper()

	names, err := filepath.Glob(filepath.Join(dir, "*.damaged-*"))
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range names {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
}
