// Package filemode reports whether another user of the machine may change a file that a
// configuration names, and opens such files without ever waiting.
//
// The rule is that of OpenSSH's StrictModes: the file, and every directory on the way
// to it from the root, must not be writable for a group or for everybody. Symbolic
// links are followed, and each component of the real path is judged.
//
// What is accepted on purpose:
//   - Directories with the sticky bit, such as /tmp: there, only the owner of an entry
//     can replace it. The entry must then belong to a trusted user.
//   - File systems that are mounted read-only: nobody can write through them, whatever
//     the modes say. Kubernetes mounts secrets and configuration maps like that, with a
//     directory of mode 0777 on top.
//
// A group that only its owner belongs to cannot be told from others without asking the
// directory service, so every group-writable file is refused. Access control lists and
// capabilities are not looked at.
package filemode

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/identity"
)

// Error says who may change a file besides its owner. It is one line when printed.
type Error struct {
	// Path is the first file or directory at fault: the one that was named, or one on
	// the way to it.
	Path string
	// Problem says what is wrong with Path; it follows the path in a sentence.
	Problem string
	// Remedy is what to do, with the command where there is one.
	Remedy string
	// Foreign says that no mode is at fault, but that the file or a directory belongs
	// to a user who is neither root, nor the user of this process, nor trusted. That
	// may be intended, so it is a reason for a warning only.
	Foreign bool
}

// Error implements error.
func (e *Error) Error() string { return plain.Shell(e.Path) + " " + e.Problem + "; " + e.Remedy }

// Check returns an *Error when another user may change the file or directory at path,
// or put another one in its place. Trusted are root, the user of this process, and the
// given users.
//
// A path that does not exist, or that this process must not look at, is checked as far
// as possible: an attempt to read it reports the rest. Modes protect the content of
// regular files and directories only; devices and pipes pass.
func Check(path string, trusted ...int) error {
	path, err := fromWorkingDirectory(path)
	if err != nil {
		return err
	}

	w := walk{
		trusted: append([]int{0, os.Geteuid()}, trusted...),
		shared:  map[string]bool{},
	}
	w.visit(path)

	return w.result()
}

// Owners returns the users other than root who own path or a directory on the way to
// it, and can therefore put something else in its place. If path does not exist yet,
// the directories on the way to it that exist count.
func Owners(path string) ([]int, error) {
	path, err := fromWorkingDirectory(path)
	if err != nil {
		return nil, err
	}

	w := walk{shared: map[string]bool{}}
	w.visit(path)

	return w.owners, nil
}

// fromWorkingDirectory puts the working directory before a path, which is not cleaned:
// ".." behind a symbolic link leads elsewhere than the text says. In front, it does not.
func fromWorkingDirectory(path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}

	dir, err := unix.Getwd() // without links, unlike os.Getwd
	if err != nil {
		return "", fmt.Errorf("the working directory: %w", err)
	}

	for strings.HasPrefix(path, "../") {
		dir, path = filepath.Dir(dir), path[len("../"):]
	}

	return dir + "/" + path, nil
}

// maxLinks is how many symbolic links a path may have, as in the kernel
// (path_resolution(7)).
const maxLinks = 40

// walk judges a path one component after the other.
type walk struct {
	trusted []int

	// shared holds the directories seen so far in which everybody may make entries, but
	// only remove their own.
	shared map[string]bool

	writable []*Error // for a group or for everybody
	planted  *Error   // an entry of a shared directory that is not ours
	owners   []int    // of everything seen so far, without root
	foreign  *Error   // a file or directory that belongs to a user who is not trusted
}

// visit judges every component of an absolute path, and of the paths that symbolic
// links in it lead to.
func (w *walk) visit(path string) {
	at := "/"
	if info, err := os.Lstat(at); err == nil {
		w.judge(at, info)
	}

	rest := strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]

		if name == "" || name == "." {
			continue
		}

		if name == ".." {
			at = filepath.Dir(at) // there are no links in it any more
			continue
		}

		next := filepath.Join(at, name)

		info, err := os.Lstat(next)
		if err != nil {
			return
		}

		w.entry(at, next, info)

		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			w.judge(at, info)

			continue
		}

		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return
		}

		if filepath.IsAbs(target) {
			at = "/"
		}

		rest = append(strings.Split(target, "/"), rest...)
	}
}

// entry judges the owner of path, an entry of the directory dir, if everybody may write
// to dir.
func (w *walk) entry(dir, path string, info fs.FileInfo) {
	owner := ownerOf(info)
	if w.shared[dir] {
		w.note(owner)
	}

	if w.planted == nil && w.shared[dir] && !w.trusts(owner) {
		w.planted = &Error{
			Path:    path,
			Problem: fmt.Sprintf("belongs to user %d, in a directory where every user may put files", owner),
			Remedy:  "move it to a directory that only root or the user Fluent Bit runs as can write to",
		}
	}
}

// judge looks at the mode and the owner of a regular file or a directory.
func (w *walk) judge(path string, info fs.FileInfo) {
	if !info.IsDir() && !info.Mode().IsRegular() || readOnly(path) {
		return
	}

	mode := info.Mode()
	if mode.Perm()&0o022 != 0 {
		if mode.IsDir() && mode&fs.ModeSticky != 0 {
			w.shared[path] = true
		} else {
			w.writable = append(w.writable, writable(path, mode))
		}
	}

	owner := ownerOf(info)
	w.note(owner)

	if w.foreign == nil && !w.trusts(owner) {
		w.foreign = &Error{
			Path:    path,
			Problem: fmt.Sprintf("belongs to user %d, who can change it", owner),
			Remedy:  "chown root " + plain.Shell(path) + ", or give it to the user Fluent Bit runs as",
			Foreign: true,
		}
	}
}

func writable(path string, mode fs.FileMode) *Error {
	who := "its group"
	if mode.Perm()&0o002 != 0 {
		who = "every user of this machine"
	}

	what := "can be written by"
	if mode.IsDir() {
		what = "is a directory that can be written by"
	}

	return &Error{
		Path:    path,
		Problem: fmt.Sprintf("%s %s (mode %04o)", what, who, mode.Perm()),
		Remedy:  "chmod go-w " + plain.Shell(path),
	}
}

// result returns the worst problem that was found, nil if there is none. A remedy for
// modes names everything that has to change, so that one command is enough.
func (w *walk) result() error {
	switch {
	case len(w.writable) > 0:
		worst := w.writable[len(w.writable)-1] // the nearest to the file

		var names []string
		for _, e := range w.writable {
			if name := plain.Shell(e.Path); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}

		worst.Remedy = "chmod go-w " + strings.Join(names, " ")

		return worst
	case w.planted != nil:
		return w.planted
	case w.foreign != nil:
		return w.foreign
	default:
		return nil
	}
}

func (w *walk) note(owner int) {
	if owner != 0 && !slices.Contains(w.owners, owner) {
		w.owners = append(w.owners, owner)
	}
}

func (w *walk) trusts(user int) bool { return slices.Contains(w.trusted, user) }

func ownerOf(info fs.FileInfo) int {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}

	return int(st.Uid)
}

// readOnly reports whether a path is on a file system that is mounted read-only.
func readOnly(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_RDONLY != 0
}

// ErrNotRegular is returned by Open for what is not a regular file.
var ErrNotRegular = errors.New("is not a regular file")

// Open opens a regular file for reading. It never waits: the open of a named pipe
// without a writer returns at once, and what is no regular file is refused with
// ErrNotRegular.
//
// After identity.Become, a file that only root may read is opened nevertheless, if
// nobody but root can change it or a directory on the way to it.
func Open(path string) (*os.File, error) {
	f, err := open(path)
	if !errors.Is(err, fs.ErrPermission) || !identity.Changed() {
		return f, err
	}

	var asRoot *os.File

	if identity.AsRoot(func() (err error) {
		if err = Check(path); err == nil {
			asRoot, err = open(path)
		}

		return err
	}) != nil {
		return nil, err
	}

	return asRoot, nil
}

func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}

	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}

	if err != nil {
		return nil, errors.Join(err, f.Close())
	}

	return f, nil
}
