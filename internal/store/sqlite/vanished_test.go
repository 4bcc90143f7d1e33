package sqlite

import (
	"errors"
	"fluent-bit-defender/internal/store"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// used makes a store at work: three chains, a unit at its fifth second.
func used(t *testing.T, w *world) *Store {
	t.Helper()

	s := w.open()
	for n := range 3 {
		save(t, s, n, fmt.Sprint("token-", n))
	}

	drive(t, w, s, 1, 5)

	if names := s.sh.vanished(); len(names) != 0 {
		t.Fatalf("%q are missed although nothing has happened", names)
	}

	return s
}

// look makes a store look at once, which it does by itself every second.
func look(t *testing.T, s *Store) {
	t.Helper()

	if err := s.sh.checkFiles(true); err != nil {
		t.Fatal(err)
	}
}

// goesOn uses the store further, kills it, and opens it again as another process would:
// all must be there.
func goesOn(t *testing.T, w *world, s *Store) *Store {
	t.Helper()
	save(t, s, 1, "rotated")
	drive(t, w, s, 6, 8)

	if names := s.sh.vanished(); len(names) != 0 {
		t.Errorf("%q are missing still", names)
	}

	if info, err := os.Stat(w.dir); err != nil || info.Mode().Perm() != dirMode {
		t.Errorf("the directory: %v, %v", info, err)
	}

	eachFile(t, w.dir, func(name string, mode fs.FileMode, _, _ int) {
		if mode != fileMode {
			t.Errorf("%s has mode %#o", name, mode)
		}
	})
	die(t, s)

	s = w.open()
	for n, want := range []string{"token-0", "rotated", "token-2"} {
		expectToken(t, s, n, want)
	}

	if c, seen, ok, err := s.Load(t.Context(), testUnit); err != nil || !ok || c.Watermark != 8 || len(seen) != 8 {
		t.Errorf("the unit: %+v, %d seen, %v, %v", c, len(seen), ok, err)
	}

	return s
}

func TestWhatVanishesUnderARunningInputIsWrittenAnew(t *testing.T) {
	remove := func(names ...string) func(dir string) error {
		return func(dir string) (err error) {
			for _, name := range names {
				err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
			}

			return err
		}
	}
	for name, deed := range map[string]func(dir string) error{
		"tokens.db":           remove(tokensFile),
		"its log":             remove(tokensFile + "-wal"),
		"its index":           remove(tokensFile + "-shm"),
		"tokens.db and all":   remove(tokensFile, tokensFile+"-wal", tokensFile+"-shm", copyFile),
		"defender.db":         remove(unitsFile),
		"its log, its index":  remove(unitsFile+"-wal", unitsFile+"-shm"),
		"both databases":      remove(unitsFile, tokensFile),
		"the locks":           remove(lockFile, inputsFile),
		"the copy":            remove(copyFile),
		"the directory":       os.RemoveAll,
		"the directory moved": func(dir string) error { return os.Rename(dir, dir+".old") },
		"the directory moved, and an empty one in its place": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)

			s := used(t, w)
			if err := deed(w.dir); err != nil {
				t.Fatal(err)
			}

			look(t, s)

			if name != "the copy" && !w.logged("ERROR "+w.dir+": ") {
				t.Errorf("log: %q", w.logs.String())
			}
			// Another process sees the same locks.
			if name != "the copy" {
				c := startChild(t, "hold a chain", w.dir)
				c.next(t)

				if _, err := s.Tokens().Lock(soon(t), chainKey(1)); !errors.Is(err, store.ErrBusy) {
					t.Errorf("a chain that another process has locked: %v", err)
				}

				second := startChild(t, "hold inputs", w.dir).next(t)
				if !strings.Contains(second, store.ErrInUse.Error()) {
					t.Errorf("a second process with inputs says: %s", second)
				}

				c.killAfter(t, 0, 0)
			}

			s = goesOn(t, w, s)
			names := list(t, w.dir)
			if strings.Contains(names, "damaged") || strings.Contains(names, "found") ||
				strings.Contains(names, freshFile) {
				t.Errorf("files: %s", names)
			}

			if s.CrashedMachine() {
				t.Error("it is taken for a crash of the machine")
			}
		})
	}
}

func TestARotationAfterTheDirectoryVanishedIsKept(t *testing.T) {
	w := newWorld(t)

	s := used(t, w)
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}

	save(t, s, 1, "rotated") // whenever it looked last
	die(t, s)
	expectToken(t, w.open(), 1, "rotated")
}

func TestCloseIsTheLastChanceForWhatVanished(t *testing.T) {
	w := newWorld(t)

	s := used(t, w)
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = w.open()
	goesOn(t, w, s)
}

func TestABackupRestoredUnderARunningInputIsKept(t *testing.T) {
	other := newWorld(t)
	o := other.open()
	save(t, o, 1, "from the backup")
	drive(t, other, o, 1, 2)
	o.Close()

	for _, name := range []string{tokensFile, unitsFile} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := used(t, w)
			backup := filepath.Join(t.TempDir(), "backup")
			copyTo(t, filepath.Join(other.dir, name), backup)

			if err := os.Rename(backup, filepath.Join(w.dir, name)); err != nil {
				t.Fatal(err)
			}

			look(t, s)

			found, err := filepath.Glob(filepath.Join(w.dir, name+".found-*"))
			if err != nil || len(found) == 0 || !w.logged(found[0]) {
				t.Fatalf("renamed: %q, log %q", found, w.logs.String())
			}

			b, err := os.ReadFile(found[0])

			want, _ := os.ReadFile(filepath.Join(other.dir, name))
			if err != nil || string(b) != string(want) {
				t.Errorf("the backup was changed: %d bytes, were %d, %v", len(b), len(want), err)
			}

			goesOn(t, w, s)
		})
	}
}

func TestARescueThatFailsIsSaidOnceAndTriedAgain(t *testing.T) {
	w := newWorld(t)

	s := used(t, w)
	if err := errors.Join(
		os.RemoveAll(w.dir),
		os.WriteFile(w.dir, nil, 0o600),
	); err != nil { // no directory can be made there
		t.Fatal(err)
	}

	for range 3 {
		save(t, s, 0, "token-0")
		s.sh.rescueFailed = s.sh.rescueFailed.Add(-rescuePause)
	}

	said := strings.Count(w.logs.String(), "do not stop Fluent Bit")
	if said != 1 {
		t.Errorf("said %d times: %q", said, w.logs.String())
	}

	if err := os.Remove(w.dir); err != nil {
		t.Fatal(err)
	}

	s.sh.rescueFailed = time.Now().Add(-rescuePause)
	look(t, s)

	if !w.logged("nothing is lost") {
		t.Errorf("log: %q", w.logs.String())
	}

	goesOn(t, w, s)
}

func TestAnotherInputOfTheProcessJoinsWhatWasRescued(t *testing.T) {
	w := newWorld(t)

	s := used(t, w)
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}

	second := w.open()
	if second.sh != s.sh {
		t.Fatal("the files are open twice")
	}

	expectToken(t, second, 2, "token-2")
	second.Close()
	goesOn(t, w, s)
}

func TestOtherProcessesFollowTheOneThatRescues(t *testing.T) {
	w := newWorld(t)
	s := used(t, w)
	r := w.open(readOnly)
	c := startChild(t, "save when told", w.dir)
	c.next(t)

	say := func(token string) string {
		if _, err := fmt.Fprintln(c.stdin, token); err != nil {
			t.Fatal(err)
		}

		return c.next(t)
	}

	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}

	if answer := say("too early"); !strings.Contains(answer, "was removed while it was open") {
		t.Errorf("nobody has rescued it yet, and the other process says %s", answer)
	}

	look(t, s)

	if answer := say("in time"); answer != "saved" {
		t.Errorf("the other process says %s", answer)
	}

	expectToken(t, s, 9, "in time")
	look(t, r)

	if chains, err := r.Tokens().List(t.Context()); err != nil || len(chains) != 4 {
		t.Errorf("a reader sees %d chains, %v", len(chains), err)
	}

	_ = c.stdin.Close()
	if c.lines.Scan() {
		t.Errorf("the other process says %s", c.lines.Text())
	}

	if names := s.sh.vanished(); len(names) != 0 {
		t.Errorf("the other process took %q along", names)
	}

	goesOn(t, w, s)
}

func TestTheDirectoryIsMadeAgainForItsOwner(t *testing.T) {
	asRoot(t)

	const uid, gid = 1234, 2345

	w := newWorld(t)
	if err := errors.Join(os.Mkdir(w.dir, 0o700), os.Chown(w.dir, uid, gid)); err != nil {
		t.Fatal(err)
	}

	s := used(t, w)
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}

	look(t, s)
	eachFile(t, filepath.Dir(w.dir), func(name string, mode fs.FileMode, u, g int) {
		if name == filepath.Base(w.dir) && (u != uid || g != gid || mode != dirMode) {
			t.Errorf("the directory belongs to %d:%d, mode %#o", u, g, mode)
		}
	})
	eachFile(t, w.dir, func(name string, _ fs.FileMode, u, g int) {
		if u != uid || g != gid {
			t.Errorf("%s belongs to %d:%d", name, u, g)
		}
	})
	goesOn(t, w, s)
}

func TestTheDirectoryVanishesAgainAndAgainWhileEverybodyWorks(t *testing.T) {
	w := newWorld(t)
	s := used(t, w)
	stop, done := make(chan struct{}), make(chan error)

	var last [3]int
	for n := range last {
		go func() {
			for i := 1; ; i++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}

				unlock, err := s.Tokens().Lock(t.Context(), chainKey(n))
				if err == nil {
					err = errors.Join(
						s.Tokens().Save(t.Context(), chainKey(n), chainOf(fmt.Sprint(i))),
						s.Commit(
							t.Context(),
							[]store.Commit{{Key: testUnit, Checkpoint: store.Checkpoint{Floor: 1, Watermark: 5}}},
						),
					)

					unlock()
				}

				if err != nil {
					done <- err
					return
				}

				last[n] = i
			}
		}()
	}

	for range 10 {
		_ = os.RemoveAll(w.dir) // not empty, when a file is made meanwhile
		_ = s.sh.checkFiles(true)
	}

	close(stop)

	for range last {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}

	s.sh.rescueFailed = time.Time{} // a file that vanished again in the middle of a rescue
	look(t, s)
	die(t, s)
	s = w.open()

	for n, i := range last {
		if i > 0 {
			expectToken(t, s, n, fmt.Sprint(i))
		}
	}

	if c, _, ok, err := s.Load(t.Context(), testUnit); err != nil || !ok || c.Watermark != 5 {
		t.Errorf("the unit: %+v, %v, %v", c, ok, err)
	}
}
