package sqlite

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

	"fluent-bit-defender/internal/store"
)

// code returns the SQLite result code of err, or 0 if there is none.
// https://www.sqlite.org/rescode.html
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}

	return 0
}

// isDamage reports whether err says that the bytes of a database are not what SQLite
// wrote.
func isDamage(err error) bool {
	if errors.Is(err, store.ErrDamaged) {
		return true
	}
	// A value of another type than was written. database/sql has no type for this
	// error.
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

// noRoom reports whether the file system of path is full: for the files beside a
// database SQLite then says only "disk I/O error".
func noRoom(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(filepath.Dir(path), &st) == nil && st.Bavail*uint64(st.Bsize) < 64<<10
}

// explain adds to an error of SQLite or of the system its class and a sentence that
// names the file.
func explain(path string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		store.Explained(err) {
		return err
	}

	class := func(kind error, remedy string) error {
		return fmt.Errorf("%s: %w: %s (%w)", path, kind, remedy, err)
	}

	switch {
	case isDamage(err):
		return class(store.ErrDamaged, "restart to have it replaced")
	case code(err)&0xff == lib.SQLITE_FULL,
		code(err)&0xff == lib.SQLITE_IOERR && noRoom(path),
		errors.Is(err, syscall.ENOSPC),
		errors.Is(err, syscall.EDQUOT),
		errors.Is(err, syscall.EFBIG):
		return class(store.ErrFull, "make room there")
	case code(err)&0xff == lib.SQLITE_READONLY,
		code(err)&0xff == lib.SQLITE_PERM,
		code(err)&0xff == lib.SQLITE_CANTOPEN,
		errors.Is(err, syscall.EROFS),
		errors.Is(err, fs.ErrPermission):
		return class(
			store.ErrReadOnly,
			"the user of this process must be able to read and write the file and its directory",
		)
	case code(err)&0xff == lib.SQLITE_BUSY:
		return class(store.ErrBusy, "try again")
	}

	return fmt.Errorf("%s: %w", path, err)
}
