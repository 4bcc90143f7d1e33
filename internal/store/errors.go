package store

import (
	"errors"
	"slices"

	"fluent-bit-defender/tokens"
)

// Errors that a caller may want to tell apart. Each comes wrapped, with the file and
// what to do about it.
var (
	// ErrInUse is returned by Open when another process runs inputs on the same
	// directory, and by operations that need the directory for themselves.
	ErrInUse = errors.New("in use")
	// ErrNewer is returned by Open when a file was written by a newer version of this
	// program. Nothing is changed.
	ErrNewer = errors.New("written by a newer version")
	// ErrOlder is returned when a database is in the form of an earlier version of this
	// program, and is not to be converted now: nodes of that version use it.
	ErrOlder = errors.New("written by an earlier version")
	// ErrForeign is returned by Open when a file is a database of another program.
	// Nothing is changed.
	ErrForeign = errors.New("a database of another program")
	// ErrDamaged is returned when a file, or a row of it, is not what was written and
	// could not be replaced.
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
	// ErrUnreachable is returned when a database does not answer: its server or the
	// network is down. The same call can be made again.
	ErrUnreachable = errors.New("does not answer")
	// ErrDenied is returned when a database refuses this program: the password is wrong,
	// the database does not exist, or the role has no rights.
	ErrDenied = errors.New("refuses this program")
	// ErrKey is returned when tokens are encrypted with another key than the configured
	// one, or no key is configured.
	ErrKey error = barred("tokens are encrypted with another key")
	// ErrPlain is returned when a key is configured and tokens are not encrypted.
	ErrPlain error = barred("tokens are not encrypted although key_file is set")
	// ErrTampered is returned when a key is configured and the tokens are not those
	// that were written last.
	ErrTampered error = barred("changed or put back by something else than this program")
	// ErrUnsafe is returned by Open when a file is a symbolic link, belongs to another
	// user or has a second name elsewhere.
	ErrUnsafe = errors.New("not a file of ours")
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("store is closed")
)

// explained are the errors above and those of leases.
var explained = []error{
	ErrInUse,
	ErrNewer,
	ErrOlder,
	ErrForeign,
	ErrDamaged,
	ErrFull,
	ErrReadOnly,
	ErrBusy,
	ErrUnreachable,
	ErrDenied,
	ErrKey,
	ErrPlain,
	ErrTampered,
	ErrUnsafe,
	ErrClosed,
	ErrFenced,
	ErrNodeInUse,
}

// Explained reports whether an error is one of this package, whose text already says
// what is wrong and what to do.
func Explained(err error) bool {
	return slices.ContainsFunc(explained, func(known error) bool { return errors.Is(err, known) })
}

// barred is an error for tokens that may not be used, although they can be read.
type barred string

// Error implements error.
func (b barred) Error() string { return string(b) }

// Is makes it a tokens.ErrBarred.
func (b barred) Is(target error) bool { return target == tokens.ErrBarred }
