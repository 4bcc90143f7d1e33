package filemode

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes directories that only we can write to, whatever the umask, and returns the
// innermost.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	chmod(t, dir, 0o700)

	inner := filepath.Join(dir, "etc", "defender")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}

	return inner
}

func write(t *testing.T, path string) string {
	t.Helper()

	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()

	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// writableFiles are modes of files and directories, and whether others may write.
var writableFiles = map[string]struct {
	file, dir, parent os.FileMode
	problem           string // empty: accepted
	fault             string // the last element of the path that is refused
}{
	"only ours":        {file: 0o600, dir: 0o700, parent: 0o700},
	"readable for all": {file: 0o644, dir: 0o755, parent: 0o755},
	"group-writable": {
		file:    0o660,
		dir:     0o700,
		parent:  0o700,
		problem: "written by its group (mode 0660)",
		fault:   "file",
	},
	"world-writable": {
		file:    0o666,
		dir:     0o700,
		parent:  0o700,
		problem: "written by every user of this machine (mode 0666)",
		fault:   "file",
	},
	"group-writable directory": {
		file:    0o600,
		dir:     0o770,
		parent:  0o700,
		problem: "a directory that can be written by its group",
		fault:   "defender",
	},
	"world-writable directory": {
		file:    0o600,
		dir:     0o777,
		parent:  0o700,
		problem: "by every user",
		fault:   "defender",
	},
	"setgid volume": {
		file:    0o600,
		dir:     0o777 | os.ModeSetgid,
		parent:  0o700,
		problem: "by every user",
		fault:   "defender",
	},
	"writable further up": {
		file:    0o600,
		dir:     0o700,
		parent:  0o775,
		problem: "by its group",
		fault:   "etc",
	},
	"sticky directory of ours": {file: 0o600, dir: 0o777 | os.ModeSticky, parent: 0o755},
	"sticky, but writable file": {
		file:    0o622,
		dir:     0o777 | os.ModeSticky,
		parent:  0o755,
		problem: "by every user",
		fault:   "file",
	},
}

func TestFilesThatOthersMayWriteAreRefused(t *testing.T) {
	for name, tc := range writableFiles {
		t.Run(name, func(t *testing.T) {
			dir := tree(t)
			file := write(t, filepath.Join(dir, "file"))
			chmod(t, file, tc.file)
			chmod(t, dir, tc.dir)
			chmod(t, filepath.Dir(dir), tc.parent)

			err := Check(file)

			var got *Error
			switch {
			case tc.problem == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case tc.problem == "":
			case !errors.As(err, &got) || got.Foreign:
				t.Fatalf("got %v", err)
			case !strings.Contains(got.Problem, tc.problem) || filepath.Base(got.Path) != tc.fault:
				t.Errorf("got %q of %s", got.Problem, got.Path)
			case got.Remedy != "chmod go-w "+got.Path:
				t.Errorf("remedy %q", got.Remedy)
			}
		})
	}
}

func TestOneCommandRepairsAllModes(t *testing.T) {
	dir := tree(t)
	file := write(t, filepath.Join(dir, "a file"))
	chmod(t, file, 0o666)
	chmod(t, dir, 0o775)

	want := "chmod go-w " + dir + " '" + file + "'"
	if err := Check(file); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s at the end", err, want)
	}
}

func TestLinksAreFollowedAndJudged(t *testing.T) {
	dir := tree(t)
	target := write(t, filepath.Join(t.TempDir(), "target"))
	chmod(t, filepath.Dir(target), 0o700)

	// As Kubernetes lays out a secret: name -> ..data/name, ..data -> ..2026_01_01.
	if err := os.Mkdir(filepath.Join(dir, "..2026_01_01"), 0o755); err != nil {
		t.Fatal(err)
	}

	write(t, filepath.Join(dir, "..2026_01_01", "inside"))

	for name, to := range map[string]string{
		"outside":  target,
		"relative": "../defender/./outside",
		"..data":   "..2026_01_01",
		"inside":   "..data/inside",
		"loop":     "loop",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}

	for _, name := range []string{"outside", "relative", "inside", "loop", "missing", "outside/missing"} {
		if err := Check(dir + "/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	chmod(t, filepath.Dir(target), 0o777)

	for _, name := range []string{"outside", "relative"} {
		if err := Check(dir + "/" + name); err == nil ||
			!strings.Contains(err.Error(), filepath.Dir(target)+" is a directory") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRelativePathsAreJudgedFromTheRoot(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "file"))
	t.Chdir(dir)

	if err := Check("file"); err != nil {
		t.Errorf("refused: %v", err)
	}

	outside := write(t, filepath.Join(filepath.Dir(filepath.Dir(dir)), "outside"))
	chmod(t, dir, 0o777) // the way does not lead through it

	if err := Check("../../" + filepath.Base(outside)); err != nil {
		t.Errorf("outside: %v", err)
	}

	chmod(t, dir, 0o700)
	chmod(t, filepath.Dir(dir), 0o777)

	if err := Check("./file"); err == nil {
		t.Error("a writable directory above the working directory was accepted")
	}
}

func TestOthersFilesInSharedDirectoriesAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}

	const nobody = 65534

	dir := tree(t)

	file := write(t, filepath.Join(dir, "file"))
	if err := os.Chown(file, nobody, nobody); err != nil {
		t.Fatal(err)
	}

	var got *Error
	if err := Check(file); !errors.As(err, &got) || !got.Foreign {
		t.Errorf("a file of another user: %v", err)
	}

	if err := Check(file, nobody); err != nil {
		t.Errorf("a file of a trusted user: %v", err)
	}

	chmod(t, dir, 0o777|os.ModeSticky)

	if err := Check(file); !errors.As(err, &got) || got.Foreign ||
		!strings.Contains(got.Problem, "every user may put files") {
		t.Errorf("a file of another user where everybody may put some: %v", err)
	}
}

func TestOpenNeverWaits(t *testing.T) {
	dir := tree(t)

	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, path := range []string{pipe, dir} {
		if f, err := Open(path); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: %v, %v", path, f, err)
		}
	}

	f, err := Open(write(t, filepath.Join(dir, "file")))
	if err != nil {
		t.Fatal(err)
	}

	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
