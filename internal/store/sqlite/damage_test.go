package sqlite

import (
	"errors"
	"fluent-bit-defender/internal/store"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/setup"
)

// filled makes a directory with chains and units in it.
func filled(t *testing.T, w *world) {
	t.Helper()

	if template == nil {
		s := w.open()
		for n := range 60 {
			save(t, s, n, fmt.Sprint("token-", n, padding))
		}

		drive(t, w, s, 1, 300)

		if err := s.Close(); err != nil {
			t.Fatal(err)
		}

		files := make(map[string][]byte)

		tamper(t, filepath.Join(w.dir, unitsFile), "VACUUM") // a page that is free could be damaged without any loss

		for _, name := range []string{tokensFile, copyFile, unitsFile} {
			b, err := os.ReadFile(filepath.Join(w.dir, name))
			if err != nil {
				t.Fatal(err)
			}

			files[name] = b
		}

		template = files

		return
	}

	w.advance(300 * time.Second)

	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}

	for name, b := range template {
		if err := os.WriteFile(filepath.Join(w.dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	w.open().Close() // makes the lock files
}

// template is what filled made the first time.
var template map[string][]byte

var padding = strings.Repeat("-", 136)

// damages are ways in which a file goes bad. want is what Open must do about it: repair,
// refuse or, where both are right, either.
var damages = []struct {
	name   string
	do     func(path string) error
	intact bool // nothing is lost: it must not be replaced
}{
	{"empty", func(p string) error { return os.Truncate(p, 0) }, false},
	{"1 byte", func(p string) error { return os.Truncate(p, 1) }, false},
	{"half a header", func(p string) error { return os.Truncate(p, 50) }, false},
	{"only a header", func(p string) error { return os.Truncate(p, 100) }, false},
	{"one page less a byte", func(p string) error { return os.Truncate(p, 4095) }, false},
	{"one page", func(p string) error { return os.Truncate(p, 4096) }, false},
	{"two pages and a bit", func(p string) error { return os.Truncate(p, 9000) }, false},
	{"the last page missing", func(p string) error { return cut(p, 4096) }, false},
	{"the last byte missing", func(p string) error { return cut(p, 1) }, false},
	{"garbage of the same size", func(p string) error { return scribble(p, 0, -1) }, false},
	{"short garbage", func(p string) error { return os.WriteFile(p, []byte("not a database\n"), 0o600) }, false},
	{"garbage in the first page", func(p string) error { return scribble(p, 0, 4096) }, false},
	{"garbage in the header's text", func(p string) error { return scribble(p, 0, 16) }, false},
	{"garbage in the table of tables", func(p string) error { return scribble(p, 100, 60) }, false},
	{"garbage in the second page", func(p string) error { return scribble(p, 4096, 4096) }, false},
	{"zeros in the third page", func(p string) error { return patch(p, 8192, make([]byte, 4096)) }, false},
	{"write format of the future", func(p string) error { return patch(p, 18, []byte{9}) }, false},
	{"read format of the future", func(p string) error { return patch(p, 19, []byte{9}) }, false},
	{"another page size", func(p string) error { return patch(p, 16, []byte{2, 0}) }, false},
	{"another text encoding", func(p string) error { return patch(p, 56, []byte{0, 0, 0, 2}) }, false},
	{"version flipped", func(p string) error { return patch(p, 60, []byte{0x40}) }, false},
	{"application id flipped", func(p string) error { return patch(p, 68, []byte{0x40}) }, false},
	{"a directory instead", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) }, false},
	{"a directory with files in it instead", func(p string) error {
		return errors.Join(os.Remove(p), os.MkdirAll(filepath.Join(p, "x"), 0o755))
	}, false},
	{"gone", os.Remove, true},
}

func cut(path string, n int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}

	return os.Truncate(path, info.Size()-n)
}

func patch(path string, at int64, b []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}

	_, err = f.WriteAt(b, at)

	return errors.Join(err, f.Close())
}

// scribble writes n random bytes, to the end if n is negative.
func scribble(path string, at, n int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}

	if n < 0 {
		n = info.Size() - at
	}

	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32() | 1)
	}

	return patch(path, at, b)
}

func TestADamagedFileIsSetAsideAndTheOtherIsUntouched(t *testing.T) {
	for _, file := range []string{tokensFile, unitsFile} {
		for _, d := range damages {
			t.Run(file+" "+d.name, func(t *testing.T) {
				w := newWorld(t)
				filled(t, w)

				if err := d.do(filepath.Join(w.dir, file)); err != nil {
					t.Fatal(err)
				}

				s := w.open()
				// Tokens are there in any case: untouched, or from their copy.
				for n := range 60 {
					expectToken(t, s, n, fmt.Sprint("token-", n, padding))
				}

				c, _, ok, err := s.Load(t.Context(), testUnit)
				if err != nil || (file == tokensFile && c.Watermark != 300) || (ok && c.Watermark != 300) {
					t.Errorf("unit: %+v, %v, %v", c, ok, err)
				}

				if w.logs.String() == "" && !d.intact {
					t.Error("nothing was logged")
				}
				// It goes on from there.
				save(t, s, 3, "after")
				drive(t, w, s, 301, 310)
				s.Close()
				s = w.open()
				expectToken(t, s, 3, "after")

				if c, _, ok, err := s.Load(t.Context(), testUnit); err != nil || !ok || c.Watermark != 310 {
					t.Errorf("unit after another start: %+v, %v, %v", c, ok, err)
				}
			})
		}
	}
}

func TestADamagedFileKeepsItsBytes(t *testing.T) {
	w := newWorld(t)
	filled(t, w)

	garbage := []byte("garbage, but somebody may still read it")
	for _, suffix := range []string{"", "-wal"} {
		if err := os.WriteFile(filepath.Join(w.dir, unitsFile+suffix), garbage, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	w.open().Close()

	found := 0

	entries, _ := os.ReadDir(w.dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unitsFile+".damaged-") {
			if b, _ := os.ReadFile(filepath.Join(w.dir, e.Name())); string(b) == string(garbage) {
				found++
			}
		}
	}

	if found != 2 {
		t.Errorf("%d of 2 files were kept whole: %s", found, list(t, w.dir))
	}
}

func TestFlippedBitsNeverGiveAWrongTokenOrAWatermarkAhead(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	w := newWorld(t)
	filled(t, w)

	good := make(map[string][]byte)

	for _, name := range []string{tokensFile, copyFile, unitsFile} {
		b, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}

		good[name] = b
	}

	for round := range setup.Size(15, 60) {
		for name, b := range good {
			b = append([]byte(nil), b...)

			if name != copyFile {
				for range 1 + rnd.IntN(4) {
					b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
				}
			}

			if err := os.WriteFile(filepath.Join(w.dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}

		s, err := w.tryOpen()
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}

		for n := range 60 {
			expectToken(t, s, n, fmt.Sprint("token-", n, padding))
		}

		c, _, ok, err := s.Load(t.Context(), testUnit)
		if err != nil || (ok && c.Watermark > 300) {
			t.Errorf("round %d: %+v, %v, %v", round, c, ok, err)
		}

		s.Close()

		if t.Failed() {
			return
		}

		removeDamaged(t, w.dir)
	}
}

func TestWhatCannotBeMendedIsRefusedAndLeftAlone(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, w *world)
		want error
	}{
		{"tokens.db of a newer version", func(t *testing.T, w *world) {
			tamper(t, filepath.Join(w.dir, tokensFile),
				"UPDATE meta SET v = 99 WHERE k = 'version'; PRAGMA user_version = 99")
		}, store.ErrNewer},
		{"defender.db of a newer version", func(t *testing.T, w *world) {
			tamper(t, filepath.Join(w.dir, unitsFile),
				"UPDATE meta SET v = 99 WHERE k = 'version'; PRAGMA user_version = 99")
		}, store.ErrNewer},
		{"a database of another program", func(t *testing.T, w *world) {
			if err := os.Remove(filepath.Join(w.dir, unitsFile)); err != nil {
				t.Fatal(err)
			}

			if err := os.WriteFile(filepath.Join(w.dir, unitsFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}

			tamper(t, filepath.Join(w.dir, unitsFile), "CREATE TABLE photos (x); PRAGMA application_id = 5")
		}, store.ErrForeign},
		{"a symbolic link", func(t *testing.T, w *world) {
			target := filepath.Join(filepath.Dir(w.dir), "target")
			if err := errors.Join(
				os.Rename(filepath.Join(w.dir, tokensFile), target),
				os.Symlink(target, filepath.Join(w.dir, tokensFile)),
			); err != nil {
				t.Fatal(err)
			}
		}, store.ErrUnsafe},
		{"a symbolic link as lock file", func(t *testing.T, w *world) {
			p := filepath.Join(w.dir, lockFile)
			if err := errors.Join(os.Remove(p), os.Symlink("/dev/null", p)); err != nil {
				t.Fatal(err)
			}
		}, store.ErrUnsafe},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			filled(t, w)
			test.do(t, w)

			before := list(t, w.dir)
			if _, err := w.tryOpen(); !errors.Is(err, test.want) || !strings.Contains(err.Error(), w.dir) {
				t.Errorf("Open: %v", err)
			}

			if after := list(t, w.dir); after != before {
				t.Errorf("before: %s\nafter:  %s", before, after)
			}

			if len(registry.open) != 0 {
				t.Error("something stays open")
			}
		})
	}
}

func TestWhenTheCopyIsDamagedTooItStartsEmptyAndSaysSo(t *testing.T) {
	w := newWorld(t)
	filled(t, w)

	for _, name := range []string{tokensFile, copyFile} {
		if err := scribble(filepath.Join(w.dir, name), 0, -1); err != nil {
			t.Fatal(err)
		}
	}

	s := w.open()
	expectToken(t, s, 1, "")

	if !w.logged("tokens acquire") || !w.logged("damaged as well") || strings.Count(list(t, w.dir), "damaged-") != 2 {
		t.Errorf("log %q, files %s", w.logs.String(), list(t, w.dir))
	}

	if c, _, ok, err := s.Load(t.Context(), testUnit); !ok || err != nil || c.Watermark != 300 {
		t.Errorf("unit: %+v, %v, %v", c, ok, err)
	}
}

func TestADamagedCopyIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	filled(t, w)

	if err := scribble(filepath.Join(w.dir, copyFile), 0, -1); err != nil {
		t.Fatal(err)
	}

	w.open().Close()

	if result, err := integrity(filepath.Join(w.dir, copyFile)); err != nil || result != "ok" {
		t.Errorf("the copy: %q, %v", result, err)
	}
}

// One bad row must not cost the other units their state.
func TestARowThatWasChangedCostsOnlyItsUnit(t *testing.T) {
	w := newWorld(t)
	filled(t, w)

	other := testUnit
	other.TenantID = "fabrikam"

	s := w.open()
	if err := s.Commit(
		t.Context(),
		[]store.Commit{{Key: other, Checkpoint: store.Checkpoint{Watermark: 9}, Seen: []store.Seen{{Time: 9}}}},
	); err != nil {
		t.Fatal(err)
	}

	s.Close()
	tamper(
		t,
		filepath.Join(w.dir, unitsFile),
		"UPDATE feeds SET state = zeroblob(length(state)) WHERE tenant_id = 'contoso'",
	)
	tamper(
		t,
		filepath.Join(w.dir, unitsFile),
		"UPDATE seen SET data = zeroblob(length(data) - 4) WHERE id = (SELECT min(id) FROM seen)",
	)

	s = w.open()
	if _, _, ok, err := s.Load(t.Context(), testUnit); ok || err != nil || !w.logged("restarts from lookback") {
		t.Errorf("the damaged one: %v, %v, log %q", ok, err, w.logs.String())
	}

	if c, seen, ok, err := s.Load(t.Context(), other); !ok || err != nil || c.Watermark != 9 || len(seen) != 1 {
		t.Errorf("the other: %+v, %v, %v, %v", c, seen, ok, err)
	}

	drive(t, w, s, 1000, 1010)
	s.Close()

	if c, _, ok, err := w.open().Load(t.Context(), testUnit); !ok || err != nil || c.Watermark != 1010 {
		t.Errorf("the damaged one, written again: %+v, %v, %v", c, ok, err)
	}
}

func TestAFileThatGoesBadInTheMiddleOfTheWorkIsReplaced(t *testing.T) {
	for _, file := range []string{tokensFile, unitsFile} {
		t.Run(file, func(t *testing.T) {
			w := newWorld(t)
			filled(t, w)
			s := w.open()

			f := s.sh.tokens
			if file == unitsFile {
				f = s.sh.units
			}
			// Opening the file here would drop SQLite's locks; a bad statement result
			// is what damage looks like from above.
			hurt := true

			err := f.update(t.Context(), func(tx tx) error {
				if hurt {
					hurt = false
					return store.ErrDamaged
				}

				return nil
			})
			if err != nil {
				t.Fatal(err)
			}

			if !w.logged("is damaged") || !strings.Contains(list(t, w.dir), file+".damaged-") {
				t.Errorf("log %q, files %s", w.logs.String(), list(t, w.dir))
			}

			expectToken(t, s, 7, "token-7"+padding)
			drive(t, w, s, 301, 305)

			if c, _, ok, err := s.Load(t.Context(), testUnit); !ok || err != nil || c.Watermark != 305 {
				t.Errorf("unit: %+v, %v, %v", c, ok, err)
			}
		})
	}
}

func TestAFileThatAnotherProcessHasOpenIsNotReplaced(t *testing.T) {
	w := newWorld(t)
	filled(t, w)
	c := startChild(t, "hold inputs", w.dir)
	c.next(t)

	if err := scribble(filepath.Join(w.dir, tokensFile), 0, 4096); err != nil {
		t.Fatal(err)
	}

	before := list(t, w.dir)

	_, err := w.tryOpen(noInputs)
	if !errors.Is(err, store.ErrDamaged) || !errors.Is(err, store.ErrInUse) ||
		!strings.Contains(err.Error(), tokensFile) {
		t.Errorf("Open: %v", err)
	}

	if after := list(t, w.dir); after != before {
		t.Errorf("before: %s\nafter:  %s", before, after)
	}

	c.killAfter(t, 0, 0)
	expectToken(t, w.open(), 1, "token-1"+padding)
}
