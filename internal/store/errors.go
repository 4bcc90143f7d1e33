package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"fluent-bit-defender/tokens"
)

// Errors that a caller may want to tell apart. Each comes wrapped, with the file and
// what to do about it.
var (
	// ErrInUse is returned by Open when another process runs inputs on the same
	// directory, and by operations that need the directory for themselves.
	ErrInUse = errors.New("data_dir is in use by another process")
	// ErrNewer is returned by Open when a file was written by a newer version of this
	// program. Nothing is changed.
	ErrNewer = errors.New("written by a newer version")
	// ErrForeign is returned by Open when a file is a database of another program.
	// Nothing is changed.
	ErrForeign = errors.New("a database of another program")
	// ErrDamaged is returned when a file, or a row of it, is not what was written and
	// could not be set aside.
	ErrDamaged = errors.New("damaged")
	// ErrFull is returned by a write when the disk is full (or a quota or file size
	// limit is reached). Nothing was changed; the same call succeeds when there is room
	// again.
	ErrFull = errors.New("no space left on the disk")
	// ErrReadOnly is returned by a write when file, directory or file system cannot be
	// written, or the store was opened ReadOnly.
	ErrReadOnly = errors.New("not writable")
	// ErrBusy is returned when another process held the write lock of a file for too
	// long. The same call can be made again.
	ErrBusy = errors.New("locked by another process")
	// ErrKey is returned when tokens are encrypted with another key than the configured
	// one, or no key is configured.
	ErrKey error = barred("tokens are encrypted with another key")
	// ErrPlain is returned when a key is configured and tokens are not encrypted.
	ErrPlain error = barred("tokens are not encrypted although key_file is set")
	// ErrTampered is returned when a key is configured and the tokens are not those
	// that were written last.
	ErrTampered error = barred("changed or put back by something else than this program")
	// ErrUnsafe is returned by Open when a file is a symbolic link, belongs to a
	// stranger or has a second name elsewhere.
	ErrUnsafe = errors.New("not a file of ours")
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("store is closed")
)

// barred is an error that says that tokens may not be used, and not that they cannot be
// read.
type barred string

func (b barred) Error() string { return string(b) }

// Is makes it a tokens.ErrBarred.
func (b barred) Is(target error) bool { return target == tokens.ErrBarred }

// code gives the SQLite result code behind err, 0 if there is none.
// https://www.sqlite.org/rescode.html
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}

	return 0
}

// isDamage tells whether err says that the bytes of a database are not what SQLite wrote.
func isDamage(err error) bool {
	if errors.Is(err, ErrDamaged) {
		return true
	}
	// A value of another type than was written: database/sql has no type for this error.
	if strings.Contains(err.Error(), "sql: Scan error") {
		return true
	}

	switch c := code(err); c & 0xff {
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_FORMAT:
		return true
	case lib.SQLITE_IOERR:
		return c == lib.SQLITE_IOERR_SHORT_READ
	}

	return false
}

// noRoom tells whether the file system of path is full: for the files beside a database
// SQLite only says "disk I/O error" then.
func noRoom(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(filepath.Dir(path), &st) == nil && st.Bavail*uint64(st.Bsize) < 64<<10
}

// explain gives an error of SQLite or of the system its class and a sentence that names
// the file.
func explain(path string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}

	for _, known := range []error{ErrInUse, ErrNewer, ErrForeign, ErrDamaged, ErrFull, ErrReadOnly, ErrBusy, ErrKey, ErrPlain, ErrTampered, ErrUnsafe, ErrClosed} {
		if errors.Is(err, known) {
			return err
		}
	}

	class := func(kind error, mend string) error {
		return fmt.Errorf("%s: %w: %s (%w)", path, kind, mend, err)
	}

	switch {
	case isDamage(err):
		return class(ErrDamaged, "restart to have it set aside")
	case code(err)&0xff == lib.SQLITE_FULL,
		code(err)&0xff == lib.SQLITE_IOERR && noRoom(path),
		errors.Is(err, syscall.ENOSPC),
		errors.Is(err, syscall.EDQUOT),
		errors.Is(err, syscall.EFBIG):
		return class(ErrFull, "make room there")
	case code(err)&0xff == lib.SQLITE_READONLY,
		code(err)&0xff == lib.SQLITE_PERM,
		code(err)&0xff == lib.SQLITE_CANTOPEN,
		errors.Is(err, syscall.EROFS),
		errors.Is(err, fs.ErrPermission):
		return class(
			ErrReadOnly,
			"the user of this process must be able to read and write the file and its directory",
		)
	case code(err)&0xff == lib.SQLITE_BUSY:
		return class(ErrBusy, "try again")
	}

	return fmt.Errorf("%s: %w", path, err)
}
