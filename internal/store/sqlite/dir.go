package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
	"fluent-bit-defender/internal/store"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// directory is data_dir after its checks.
type directory struct {
	path     string
	id       [2]uint64 // device and inode, by which it is recognised under another name
	uid, gid int       // the owner of the directory, and so of its files
	readOnly bool
}

// prepareDir makes the directory if it is missing, and checks its rights. warnings are
// sentences for the operator.
func prepareDir(path string, readOnly bool) (d directory, warnings []string, err error) {
	if path == "" {
		return d, nil, errors.New("no directory is named")
	}

	if path, err = filepath.Abs(path); err != nil {
		return d, nil, err
	}

	if !readOnly {
		if err := makeDir(path); err != nil {
			return d, nil, fmt.Errorf(
				"the directory cannot be made: %w; make it (mode 0700), or name another",
				explain(path, err),
			)
		}
	}

	info, err := os.Stat(path)
	if err != nil {
		return d, nil, err
	}

	if !info.IsDir() {
		return d, nil, fmt.Errorf("%s is not a directory; name one, or a path where one can be made", path)
	}

	st := info.Sys().(*syscall.Stat_t)

	d = directory{
		path:     path,
		id:       [2]uint64{st.Dev, st.Ino},
		uid:      int(st.Uid),
		gid:      int(st.Gid),
		readOnly: readOnly,
	}
	if wide := info.Mode().Perm() &^ dirMode; wide != 0 {
		warnings = append(
			warnings,
			fmt.Sprintf("%s has mode %#o: other users may reach the tokens in it; chmod 700 %s",
				path, info.Mode().Perm(), plain.Shell(path)),
		)
	} else if above := writableAbove(path); above != "" {
		warnings = append(warnings, above)
	}

	if !readOnly {
		if err := unix.Access(path, unix.W_OK|unix.X_OK); err != nil {
			return d, warnings, explain(path, &fs.PathError{Op: "write in", Path: path, Err: err})
		}
	}

	return d, warnings, nil
}

// writableAbove returns a warning if another user may replace data_dir with a directory
// of their own. This is no error: volumes of containers are often made like that, and
// have no other users.
func writableAbove(path string) string {
	var unsafe *filemode.Error
	if !errors.As(filemode.Check(path), &unsafe) || unsafe.Foreign {
		return ""
	}

	return fmt.Sprintf(
		"%s can be replaced by other users: %s %s; %s",
		path,
		plain.Shell(unsafe.Path),
		unsafe.Problem,
		unsafe.Remedy,
	)
}

// makeDir creates the directory with exactly dirMode, whatever the umask. Missing
// parents get the usual mode.
func makeDir(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	parent, name := filepath.Split(path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}

	above, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer above.Close()

	if err := unix.Mkdirat(int(above.Fd()), name, dirMode); err != nil {
		if errors.Is(err, fs.ErrExist) { // another process was faster
			return nil
		}

		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}

	made, err := openDir(int(above.Fd()), name)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer made.Close()

	return chmodAt(made, dirMode)
}

// openDir opens a directory by its name in another one, or by a path (unix.AT_FDCWD).
// It follows no symbolic link, and needs no right on the directory (O_PATH).
func openDir(above int, name string) (*os.File, error) {
	fd, err := unix.Openat(above, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}

	return os.NewFile(uintptr(fd), name), nil
}

// chmodAt changes the mode of the file of an O_PATH descriptor, even if its name
// belongs to another file by now. fchmod does not accept such a descriptor, and
// fchmodat2 is newer than the oldest kernels that we run on.
func chmodAt(f *os.File, mode fs.FileMode) error {
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), mode)
}

func (d directory) join(name string) string { return filepath.Join(d.path, name) }

// create makes a new empty file: never through a symbolic link (O_EXCL), with exactly
// fileMode whatever the umask, and with the directory's owner. existed reports whether
// the file was there already.
func (d directory) create(name string) (existed bool, err error) {
	f, err := os.OpenFile(d.join(name), os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if errors.Is(err, fs.ErrExist) {
		return true, nil
	}

	if err != nil {
		return false, err
	}

	defer f.Close()

	return false, d.claim(f)
}

// claim sets the mode and the owner of an open file that we have made.
func (d directory) claim(f *os.File) error {
	if err := f.Chmod(fileMode); err != nil {
		return err
	}

	if os.Geteuid() == 0 && (d.uid != 0 || d.gid != 0) {
		return f.Chown(d.uid, d.gid)
	}

	return nil
}

// openLockFile opens a file that only carries locks, and makes it if it is missing.
func (d directory) openLockFile(name string) (*os.File, error) {
	flags := os.O_RDWR
	if d.readOnly {
		flags = os.O_RDONLY
	} else if _, err := d.create(name); err != nil {
		return nil, explain(d.join(name), err)
	}

	if err := d.inspect(name); err != nil {
		return nil, err
	}

	f, err := os.OpenFile(d.join(name), flags|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, explain(d.join(name), err)
	}

	info, err := f.Stat() // of the open file: its name may have belonged to another one before
	if err == nil {
		err = d.ours(name, info)
	}

	if err != nil {
		return nil, errors.Join(err, f.Close())
	}

	return f, nil
}

// inspect returns an error for a file that somebody else may have put there. It does
// not open the file: closing a database's file would drop SQLite's locks.
func (d directory) inspect(name string) error {
	info, err := os.Lstat(d.join(name))
	if err != nil {
		return explain(d.join(name), err)
	}

	return d.ours(name, info)
}

// inspectAll is inspect for a database and those of the files beside it that exist:
// SQLite writes into a log or journal that it finds.
func (d directory) inspectAll(name string) error {
	for _, suffix := range suffixes {
		if err := d.inspect(name + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}

	return nil
}

// ours returns an error for a symbolic link, for a file of a user who is neither us,
// nor root, nor the directory's owner, and for a second name of somebody else's file:
// the directory's owner may have linked one of root's files, for instance
// (protected_hardlinks, proc(5)).
func (d directory) ours(name string, info fs.FileInfo) error {
	st := info.Sys().(*syscall.Stat_t)

	owner := int(st.Uid)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf(
			"%s: %w: it is a symbolic link; remove it (data_dir itself may be a link)",
			d.join(name),
			store.ErrUnsafe,
		)
	case info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice) != 0: // opening one may wait for ever
		return fmt.Errorf("%s: %w: it is a pipe, socket or device; remove it", d.join(name), store.ErrUnsafe)
	case owner != d.uid && owner != os.Geteuid() && owner != 0:
		return fmt.Errorf(
			"%s: %w: it belongs to user %d, the directory to user %d; chown it",
			d.join(name),
			store.ErrUnsafe,
			owner,
			d.uid,
		)
	case owner != d.uid && info.Mode().IsRegular() && st.Nlink > 1:
		return fmt.Errorf(
			"%s: %w: it belongs to user %d, the directory to user %d, and it has another name elsewhere "+
				"(a hard link); remove it",
			d.join(name),
			store.ErrUnsafe,
			owner,
			d.uid,
		)
	}

	return nil
}

// narrow removes the rights of others on a file and, if we are root, makes the
// directory's owner its owner. A missing file is no error. It changes the very file
// that it has checked, whatever happens to its name meanwhile. It uses a descriptor
// whose closing drops no locks (O_PATH).
func (d directory) narrow(name string) (warning string, err error) {
	path := d.join(name)

	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}

	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}

	f := os.NewFile(uintptr(fd), path)
	defer f.Close()

	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", err
	}

	if err := d.ours(name, info); err != nil {
		return "", err
	}

	st := info.Sys().(*syscall.Stat_t)
	if os.Geteuid() == 0 && (int(st.Uid) != d.uid || int(st.Gid) != d.gid) {
		if err := unix.Fchownat(fd, "", d.uid, d.gid, unix.AT_EMPTY_PATH); err != nil {
			return "", &fs.PathError{Op: "chown", Path: path, Err: err}
		}
	}

	if mode := info.Mode().Perm(); mode&^fileMode != 0 && (os.Geteuid() == 0 || int(st.Uid) == os.Geteuid()) {
		if err := chmodAt(f, fileMode); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}

		warning = fmt.Sprintf("%s had mode %#o, now 0600", path, mode)
	}

	return warning, nil
}

// quarantine renames a file and what belongs to it to NAME.WHAT-TIME, where what is
// "damaged" or "found", and returns the new path.
func (d directory) quarantine(name, what string, now time.Time) (string, error) {
	stamped := name + "." + what + "-" + now.UTC().Format("20060102T150405.000Z")

	free := stamped
	for n := 2; ; n++ {
		if _, err := os.Lstat(d.join(free)); errors.Is(err, fs.ErrNotExist) {
			break
		}

		free = fmt.Sprintf("%s-%d", stamped, n)
	}

	// The main file is renamed last: if the process dies in between, the next one still
	// finds it damaged, and never a log of another file beside a good one.
	for _, suffix := range slices.Backward(suffixes) {
		err := os.Rename(d.join(name+suffix), d.join(free+suffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}

	return d.join(free), d.sync()
}

// rename replaces a file with another one, and makes this survive a crash of the
// machine.
func (d directory) rename(from, to string) error {
	if err := os.Rename(d.join(from), d.join(to)); err != nil {
		return err
	}

	return d.sync()
}

// sync makes creations, renames and removals in the directory survive a crash of the
// machine.
func (d directory) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	// Some file systems (FUSE, SMB) cannot sync a directory and return EINVAL. We
	// cannot promise more than they do.
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}

	return nil
}
