package sqlite

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/storetest"
	"fluent-bit-defender/internal/tick"
)

// backUp writes a snapshot of a world's directory as `defenderctl backup` does: from a
// store that only reads, whatever key it has.
func backUp(t *testing.T, w *world) (dir string, files []string) {
	t.Helper()

	dir = t.TempDir()
	r := w.open(readOnly)

	files, err := r.Snapshot(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}

	return dir, files
}

// restore restores the files of a backup.
func restore(t *testing.T, o Options, dir string, files []string) ([]string, error) {
	t.Helper()

	copies := map[string]io.Reader{}

	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Log(err)
		}

		copies[name] = bytes.NewReader(data)
	}

	return Restore(o, copies)
}

// A backup is taken while a process commits and saves tokens, and is the state of one
// moment in each file, which opens and goes on anywhere.
func TestABackupOfAStoreInUseIsWhole(t *testing.T) {
	for name, key := range map[string]func(*Options){
		"plain":  func(*Options) {},
		"sealed": withKey(testKey),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.open(key)
			save(t, s, 1, "first-token")

			stop := make(chan struct{})

			var wg sync.WaitGroup
			wg.Go(func() {
				for n := tick.Tick(1); ; n++ {
					select {
					case <-stop:
						return
					default:
					}

					c := store.Commit{
						Key:        storetest.Key(1),
						Checkpoint: store.Checkpoint{Floor: 1, Watermark: n, SeenSince: 1},
						Seen:       storetest.Entries(n, 1),
					}
					if err := s.Commit(t.Context(), []store.Commit{c}); err != nil {
						t.Error(err)
						return
					}
				}
			})

			for range 5 {
				dir, files := backUp(t, w)
				if strings.Join(files, " ") != unitsFile+" "+tokensFile {
					t.Fatalf("files %v", files)
				}

				o := w.options()
				o.Dir, o.Inputs = filepath.Join(t.TempDir(), "restored"), false
				key(&o)

				if warnings, err := restore(t, o, dir, files); err != nil || len(warnings) > 0 {
					t.Fatal(warnings, err)
				}

				r, err := open(o)
				if err != nil {
					t.Fatal(err)
				}

				expectToken(t, r, 1, "first-token")

				cp, seen, ok, err := r.Load(t.Context(), storetest.Key(1))
				if err != nil || ok && len(seen) != int(cp.Watermark) {
					t.Errorf("watermark %v with %d entries, %v", cp.Watermark, len(seen), err)
				}

				save(t, r, 1, "newer-token") // what is sealed can be changed

				if err := r.Close(); err != nil {
					t.Fatal(err)
				}

				checkConsistency(t, o.Dir)
			}

			close(stop)
			wg.Wait()
		})
	}
}

func TestRestoreTouchesNoStoreThatIsThere(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	save(t, s, 1, "token")
	dir, files := backUp(t, w)

	o := w.options()
	o.Inputs = false

	if _, err := restore(t, o, dir, files); !errors.Is(err, store.ErrInUse) {
		t.Errorf("over a running input: %v", err)
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if _, err := restore(t, o, dir, files); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over a store: %v", err)
	}

	expectToken(t, w.open(), 1, "token")
}

func TestABackupThatIsDamagedLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	save(t, s, 1, "token")
	dir, files := backUp(t, w)

	path := filepath.Join(dir, tokensFile)
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}

	o := w.options()
	o.Dir, o.Inputs = filepath.Join(t.TempDir(), "restored"), false

	if _, err := restore(t, o, dir, files); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a damaged file was restored: %v", err)
	}

	if _, err := restore(t, o, dir, append(files, "other.db")); err == nil {
		t.Error("a foreign file was restored")
	}

	if left := list(t, o.Dir); left != inputsFile && left != inputsFile+" "+lockFile {
		t.Errorf("left behind: %s", left)
	}
}

func TestWhoRunsInputsIsKnown(t *testing.T) {
	w := newWorld(t)
	if _, running := InputsRun(w.dir); running {
		t.Error("inputs run in a directory that does not exist")
	}

	s := w.open()
	if who, running := InputsRun(w.dir); !running || !strings.Contains(who, "process ") {
		t.Errorf("InputsRun = %q, %t", who, running)
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if who, running := InputsRun(w.dir); running {
		t.Errorf("after the end: %s", who)
	}

	if got := Formats(w.dir); got[unitsFile] != unitsSpec.version || got[tokensFile] != tokensSpec.version {
		t.Errorf("Formats = %v", got)
	}
}
