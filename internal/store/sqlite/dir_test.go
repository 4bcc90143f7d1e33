package sqlite

import (
	"errors"
	"fluent-bit-defender/internal/store"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/alert"
)

// owners returns mode and owner of every file of the directory.
func eachFile(t *testing.T, dir string, f func(name string, mode fs.FileMode, uid, gid int)) {
	t.Helper()

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}

	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}

		st := info.Sys().(*syscall.Stat_t)
		f(e.Name(), info.Mode().Perm(), int(st.Uid), int(st.Gid))
	}
}

func TestFilesAreForTheirOwnerOnlyWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077, 0o277} {
		w := newWorld(t)
		old := syscall.Umask(umask)

		s, err := open(w.options())
		if err == nil {
			save(t, s, 1, "x")
			drive(t, w, s, 1, 2)
		}

		syscall.Umask(old)

		if err != nil {
			t.Errorf("umask %#o: %v", umask, err)
			continue
		}

		if info, _ := os.Stat(w.dir); info.Mode().Perm() != dirMode {
			t.Errorf("umask %#o: the directory has mode %#o", umask, info.Mode().Perm())
		}

		files := 0

		eachFile(t, w.dir, func(name string, mode fs.FileMode, _, _ int) {
			files++

			if mode != fileMode {
				t.Errorf("umask %#o: %s has mode %#o", umask, name, mode)
			}
		})

		if files < 9 { // two databases with -wal and -shm, the copy, two lock files
			t.Errorf("umask %#o: only %d files: %s", umask, files, list(t, w.dir))
		}

		if len(s.Warnings()) != 0 {
			t.Errorf("umask %#o: %q", umask, s.Warnings())
		}

		s.Close()
	}
}

func TestAWiderDirectoryIsAWarningAndWiderFilesAreNarrowed(t *testing.T) {
	w := newWorld(t)
	filled(t, w)

	if err := errors.Join(os.Chmod(w.dir, 0o755), os.Chmod(filepath.Join(w.dir, tokensFile), 0o644)); err != nil {
		t.Fatal(err)
	}

	s := w.open()

	text := strings.Join(s.Warnings(), "\n")
	if !strings.Contains(text, "chmod 700 "+w.dir) || !strings.Contains(text, tokensFile) {
		t.Errorf("warnings: %q", text)
	}

	eachFile(t, w.dir, func(name string, mode fs.FileMode, _, _ int) {
		if mode != fileMode {
			t.Errorf("%s has mode %#o", name, mode)
		}
	})
}

func asRoot(t *testing.T) {
	t.Helper()

	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

func TestRootWritesForTheOwnerOfTheDirectory(t *testing.T) {
	asRoot(t)

	const uid, gid = 1234, 2345

	w := newWorld(t)
	if err := errors.Join(os.Mkdir(w.dir, 0o700), os.Chown(w.dir, uid, gid)); err != nil {
		t.Fatal(err)
	}

	expect := func(when string) {
		t.Helper()
		eachFile(t, w.dir, func(name string, _ fs.FileMode, u, g int) {
			if u != uid || g != gid {
				t.Errorf("%s: %s belongs to %d:%d", when, name, u, g)
			}
		})
	}
	s := w.open(noInputs)
	save(t, s, 1, "x")
	drive(t, w, s, 1, 2)
	expect("while root has it open")
	s.Close()

	if err := os.Chown(filepath.Join(w.dir, tokensFile), 0, 0); err != nil { // made by some earlier program
		t.Fatal(err)
	}

	if err := os.WriteFile(
		filepath.Join(w.dir, unitsFile),
		[]byte(strings.Repeat("garbage", 100)),
		0o600,
	); err != nil {
		t.Fatal(err)
	}

	w.open().Close()
	expect("after the repair")
	w.open(readOnly).Close()
	expect("after looking")
}

// asUser runs f as another user in every thread of the process.
func asUser(t *testing.T, uid int, f func()) {
	t.Helper()
	asRoot(t)

	if err := syscall.Setresuid(-1, uid, -1); err != nil {
		t.Fatal(err)
	}

	defer func() {
		if err := syscall.Setresuid(-1, 0, -1); err != nil {
			panic(err)
		}
	}()

	f()
}

func TestWithoutRightsTheErrorSaysWhere(t *testing.T) {
	asRoot(t)

	for name, prepare := range map[string]func(w *world) error{
		"the directory belongs to somebody else": func(w *world) error { return nil },
		"the directory is read-only": func(w *world) error {
			return errors.Join(chownAll(w.dir, 1234), os.Chmod(w.dir, 0o500))
		},
		"a file belongs to somebody else": func(w *world) error {
			return errors.Join(chownAll(w.dir, 1234), os.Chown(filepath.Join(w.dir, unitsFile), 0, 0))
		},
		"a file is read-only": func(w *world) error {
			file := filepath.Join(w.dir, tokensFile)
			return errors.Join(chownAll(w.dir, 1234), os.Chown(file, 0, 1234), os.Chmod(file, 0o440))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			filled(t, w)

			for parent := filepath.Dir(w.dir); parent != "/" && parent != os.TempDir(); parent = filepath.Dir(parent) {
				if err := os.Chmod(parent, 0o755); err != nil {
					t.Fatal(err)
				}
			}

			if err := prepare(w); err != nil {
				t.Fatal(err)
			}

			before := list(t, w.dir)
			for _, how := range []func(*Options){func(*Options) {}, noInputs} {
				asUser(t, 1234, func() {
					if _, err := w.tryOpen(how); !errors.Is(err, store.ErrReadOnly) ||
						!strings.Contains(err.Error(), w.dir) {
						t.Errorf("Open: %v", err)
					}
				})
			}

			if after := list(t, w.dir); strings.Contains(after, "damaged") || len(registry.open) != 0 {
				t.Errorf("before %s\nafter %s", before, after)
			}

			if err := errors.Join(chownAll(w.dir, 0), os.Chmod(w.dir, 0o700)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func chownAll(dir string, uid int) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}

		return os.Lchown(path, uid, uid)
	})
}

func TestReadOnlyLeavesNoFiles(t *testing.T) {
	w := newWorld(t)
	if _, err := w.tryOpen(readOnly); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}

	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}

	empty := w.open(readOnly)
	if statuses, err := empty.Statuses(t.Context()); err != nil || len(statuses) != 0 {
		t.Errorf("an empty directory: %v, %v", statuses, err)
	}

	if chains, err := empty.Tokens().List(t.Context()); err != nil || len(chains) != 0 {
		t.Errorf("an empty directory: %v, %v", chains, err)
	}

	empty.Close()

	if names := list(t, w.dir); names != "" {
		t.Errorf("looking left files: %s", names)
	}
}

func TestReadOnlySeesWhatARunningProcessWrites(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	r := w.open(readOnly)

	for n := range 3 {
		save(t, s, n, "x")

		if err := s.SetStatus(
			t.Context(),
			map[alert.UnitKey]store.Status{testUnit: {State: "ok", Polls: uint64(n)}},
		); err != nil {
			t.Fatal(err)
		}

		statuses, err := r.Statuses(t.Context())
		if err != nil || statuses[testUnit].Polls != uint64(n) {
			t.Errorf("status %d: %+v, %v", n, statuses, err)
		}

		if chains, err := r.Tokens().List(t.Context()); err != nil || len(chains) != n+1 {
			t.Errorf("%d chains, %v", len(chains), err)
		}
	}

	if err := r.Tokens().Save(t.Context(), chainKey(1), chainOf("y")); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Save: %v", err)
	}

	if _, err := r.Tokens().Lock(t.Context(), chainKey(1)); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Lock: %v", err)
	}
	if err := r.Rewind(t.Context(), testUnit, 1); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Rewind: %v", err)
	}

	r.Close()
	die(t, s)

	if chains, err := w.open(readOnly).Tokens().List(t.Context()); err != nil || len(chains) != 3 {
		t.Errorf("after it ended: %d chains, %v", len(chains), err)
	}
}

func TestAReaderIsToldOfDamageInWhatItReads(t *testing.T) {
	w := newWorld(t)
	filled(t, w)
	tamper(t, filepath.Join(w.dir, tokensFile), "UPDATE chains SET account = 'mallory' WHERE tenant_id = 'tenant-7'")

	r := w.open(readOnly)
	if _, _, err := r.Tokens().Load(t.Context(), chainKey(7)); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("the changed row: %v", err)
	}

	if _, err := r.Tokens().List(t.Context()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("all rows: %v", err)
	}

	expectToken(t, r, 8, "token-8"+padding)
	r.Close()
	expectToken(t, w.open(), 7, "token-7"+padding) // who writes repairs it
}

func TestADirectoryMayBeALinkAndHaveAnOddName(t *testing.T) {
	w := newWorld(t)

	target := filepath.Join(t.TempDir(), "a ?b#c%20d&_pragma=x ü")
	if err := errors.Join(os.Mkdir(target, 0o700), os.Symlink(target, w.dir)); err != nil {
		t.Fatal(err)
	}

	s := w.open()
	save(t, s, 1, "x")

	o := w.options()
	o.Dir = target

	other, err := open(o)
	if err != nil {
		t.Fatal(err)
	}

	if other.sh != s.sh {
		t.Error("one directory under two names is opened twice")
	}

	other.Close()
	s.Close()

	if names := list(t, target); !strings.Contains(names, "defender.db") || !strings.Contains(names, "tokens.db.bak") {
		t.Errorf("files: %s", names)
	}
}

func TestASecondNameOfAStrangersFileIsNotGivenAway(t *testing.T) {
	asRoot(t)

	for _, name := range []string{
		tokensFile, tokensFile + "-journal", tokensFile + "-wal", unitsFile + "-shm",
		copyFile, copyFile + "-journal", lockFile, inputsFile,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)

			stranger := filepath.Join(filepath.Dir(w.dir), "shadow")
			if err := errors.Join(
				os.Mkdir(w.dir, 0o700),
				os.Chown(w.dir, 1234, 1234),
				os.WriteFile(stranger, []byte("root's own"), 0o644),
				os.Link(stranger, filepath.Join(w.dir, name)),
			); err != nil {
				t.Fatal(err)
			}

			if _, err := w.tryOpen(); !errors.Is(err, store.ErrUnsafe) || !strings.Contains(err.Error(), name) {
				t.Errorf("Open: %v", err)
			}

			info, err := os.Stat(stranger)
			b, _ := os.ReadFile(stranger)
			if err != nil || string(b) != "root's own" || info.Mode().Perm() != 0o644 ||
				info.Sys().(*syscall.Stat_t).Uid != 0 {
				t.Errorf("the stranger's file: %q, %v, %v", b, info, err)
			}

			_ = os.Remove(filepath.Join(w.dir, name)) // it is no database, for the check at the end
		})
	}
}

func TestTheOwnerMayHaveSecondNamesOfHisFiles(t *testing.T) { // of a backup made with cp -al
	w := newWorld(t)
	filled(t, w)

	if err := os.Link(filepath.Join(w.dir, tokensFile), filepath.Join(filepath.Dir(w.dir), "backup")); err != nil {
		t.Fatal(err)
	}

	expectToken(t, w.open(), 1, "token-1"+padding)
}

func TestASymbolicLinkBesideADatabaseIsRefused(t *testing.T) {
	for _, name := range []string{
		tokensFile + "-wal", tokensFile + "-journal", unitsFile + "-shm", copyFile + "-journal",
	} {
		w := newWorld(t)
		filled(t, w)

		target := filepath.Join(filepath.Dir(w.dir), "target")
		if err := os.Symlink(target, filepath.Join(w.dir, name)); err != nil {
			t.Fatal(err)
		}

		if _, err := w.tryOpen(); !errors.Is(err, store.ErrUnsafe) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}

		if _, err := os.Lstat(target); err == nil {
			t.Errorf("%s: something was written through it", name)
		}

		_ = os.Remove(filepath.Join(w.dir, name))
	}
}

func TestADataDirThatOthersCanReplaceIsAWarning(t *testing.T) {
	w := newWorld(t)

	parent := filepath.Join(filepath.Dir(w.dir), "volume")
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}

	o := w.options()
	o.Dir = filepath.Join(parent, "data")

	for mode, warned := range map[os.FileMode]bool{
		0o755:                 false,
		0o777 | os.ModeSticky: false,
		0o775:                 true,
		0o777 | os.ModeSetgid: true,
	} {
		if err := os.Chmod(parent, mode); err != nil {
			t.Fatal(err)
		}

		s, err := open(o)
		if err != nil {
			t.Fatal(err)
		}

		warnings := strings.Join(s.Warnings(), "\n")
		if strings.Contains(warnings, "can be replaced by other users: "+parent) != warned {
			t.Errorf("mode %v: %q", mode, warnings)
		}

		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestANewDirectoryIsNeverMadeThroughALink(t *testing.T) {
	dir := t.TempDir()

	target := filepath.Join(dir, "target")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}

	link := filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}

	if f, err := openDir(unix.AT_FDCWD, link); err == nil {
		f.Close()
		t.Error("a link was opened, whose target would have been changed")
	}

	f, err := openDir(unix.AT_FDCWD, target)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	if err := os.Rename(target, target+".moved"); err != nil {
		t.Fatal(err)
	}

	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}

	if err := chmodAt(f, 0o700); err != nil {
		t.Fatal(err)
	}

	for path, want := range map[string]os.FileMode{target: 0o755, target + ".moved": 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestAPipeInDataDirNeverHangs(t *testing.T) {
	for _, name := range []string{tokensFile, unitsFile, copyFile, lockFile, inputsFile, tokensFile + "-wal"} {
		for _, readOnly := range []bool{false, true} {
			w := newWorld(t)

			s, err := open(w.options())
			if err != nil {
				t.Fatal(err)
			}

			if err := s.Close(); err != nil {
				t.Fatal(err)
			}

			path := filepath.Join(w.dir, name)
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}

			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}

			o := w.options()
			o.ReadOnly = readOnly
			o.Inputs = !readOnly

			s, err = open(o)
			if err == nil {
				s.Close() // the copy and inputs.lock are not opened for reading

				if !readOnly && name != copyFile {
					t.Errorf("%s was accepted", name)
				}
			}
		}
	}
}
