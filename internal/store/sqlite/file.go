package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/store"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
)

// spec is what one kind of database file looks like.
type spec struct {
	name    string
	appID   int64 // PRAGMA application_id
	version int64 // PRAGMA user_version, and "version" in the table meta
	schema  string
	// upgrades[i] converts a file from version i+1 to i+2.
	upgrades []upgrade
	params   string // of the data source name, beside the common ones
	// verify checks what integrity_check cannot: rows with their checksums. If it
	// returns ErrDamaged, the file is replaced.
	verify func(q querier) error
	// lost is the text for the log when a damaged file could not be restored.
	lost string
	// asItIs says that a file of an older version is not converted. It is set for
	// reading a copy.
	asItIs bool
}

// querier is the part of sql.DB and sql.Tx that reading needs.
type querier interface {
	Query(query string, args ...any) (*sql.Rows, error)
	QueryRow(query string, args ...any) *sql.Row
}

// file is one SQLite database with one connection. All use goes through read and
// update, one at a time.
type file struct {
	spec
	dir   directory
	locks *ranges
	log   *slog.Logger
	now   func() time.Time
	// restore replaces a missing, empty or quarantined file with a good one. It returns
	// false if there is none.
	restore func() (bool, error)
	// reset is called when another file is open, so that caches are dropped.
	reset func()
	// replaced is called when a damaged file was renamed and another one has its place.
	replaced func()
	// renewed is called when a damaged file was replaced while it was in use. It writes
	// what Open would have written.
	renewed func() error

	mu       mutex
	db       *sql.DB // nil: closed, or (ReadOnly) there is no file yet
	closed   bool
	warnings []string

	opened atomic.Pointer[fileIDs] // since connect; nil: not known
}

// suffixes of the files that belong to a database: https://www.sqlite.org/tempfiles.html
var suffixes = []string{"", "-wal", "-shm", "-journal"}

var processWide = sync.OnceFunc(func() {
	// Both switches are best effort. Locks by open file description survive if some
	// library in this process opens and closes our file. fdatasync saves a write of the
	// file system's journal, for a changed timestamp, with each commit.
	_, _ = sqlite.OFDLocking(true)
	_, _ = sqlite.Fdatasync(true)
})

// How long to wait for another process that writes: busyTimeout in all, and no longer
// than the context, which begin checks every busyPiece.
const (
	busyTimeout = 10 * time.Second
	busyPiece   = 50 * time.Millisecond
)

// dsn returns the data source name of a path. With mode "rw" SQLite never makes the
// file: we do, with the right mode and owner.
func dsn(path, mode, params string) string {
	// cell_size_check and trusted_schema=0 are what SQLite advises for files that may
	// be damaged or tampered with.
	return (&url.URL{Scheme: "file", Path: path}).String() + "?mode=" + mode +
		"&_txlock=immediate&_busy_timeout=" + strconv.FormatInt(busyTimeout.Milliseconds(), 10) +
		"&_defensive=1&_dqs=0&_error_rc=1" +
		"&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=temp_store(2)" + params
}

// open makes a missing file, checks it, and replaces it if it is damaged. The caller
// holds rangeOpen.
func (f *file) open() error {
	processWide()

	if f.dir.readOnly {
		return f.openReadOnly()
	}

	existed, err := f.dir.create(f.name)
	if err != nil {
		return explain(f.path(), err)
	}

	if err := f.dir.inspectAll(f.name); err != nil {
		return err
	}

	for _, suffix := range suffixes {
		warning, err := f.dir.narrow(f.name + suffix)
		if err != nil {
			return explain(f.path()+suffix, err)
		}

		if warning != "" {
			f.warnings = append(f.warnings, warning)
		}
	}

	damage := f.judgeFile(existed)
	if damage == nil {
		if damage = f.connect(); damage == nil {
			return nil
		}
	}

	if !isDamage(damage) {
		return explain(f.path(), damage)
	}

	return f.replace(damage)
}

// openReadOnly opens an existing file. A missing file is an empty store: no input may
// have started yet.
func (f *file) openReadOnly() error {
	info, err := os.Lstat(f.path())
	if errors.Is(err, fs.ErrNotExist) || (err == nil && info.Mode().IsRegular() && info.Size() == 0) {
		f.opened.Store(f.names())
		return nil
	}

	if err := f.dir.inspectAll(f.name); err != nil {
		return err
	}

	return explain(f.path(), f.connect())
}

// path returns the path of the file. It is called without any lock, so that it uses
// only fields of dir that never change.
func (f *file) path() string { return filepath.Join(f.dir.path, f.name) }

// connect opens the file with SQLite, makes the tables in an empty one, and checks
// everything. On an error nothing stays open.
func (f *file) connect() error {
	mode := "rw"

	params := f.params
	if f.dir.readOnly {
		mode, params = "ro", ""
	}

	db, err := sql.Open("sqlite", dsn(f.path(), mode, params))
	if err != nil {
		return err
	}

	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)

	if err := f.check(db); err != nil {
		_ = db.Close()
		return f.judge(err)
	}
	// From here on begin waits, in short pieces, so that a context can end it.
	if _, err := db.Exec("PRAGMA busy_timeout = " + strconv.FormatInt(busyPiece.Milliseconds(), 10)); err != nil {
		_ = db.Close()
		return err
	}

	f.db = db
	if !f.dir.readOnly {
		// SQLite makes -wal and -shm with the mode and, as root, the owner of the
		// database. This makes sure.
		for _, suffix := range suffixes {
			_, _ = f.dir.narrow(f.name + suffix)
		}
	}

	f.opened.Store(f.names())

	return nil
}

// tryWrite returns an error if SQLite would not write the file. It changes nothing. A
// file whose header asks for a newer version of SQLite is read-only for SQLite.
func tryWrite(db *sql.DB) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()

	_, err = tx.Exec(`UPDATE meta SET v = v WHERE k = 'format'`)

	return err
}

func (f *file) initialise(db *sql.DB) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()

	marks := fmt.Sprintf(`
		INSERT INTO meta VALUES ('format', %d), ('version', %d);
		PRAGMA application_id = %[1]d; PRAGMA user_version = %[2]d`, f.appID, f.version)
	if _, err := tx.Exec(f.schema + metaSchema + marks); err != nil {
		return err
	}

	if err := tx.Commit(); err != nil {
		return err
	}

	return f.dir.sync()
}

// exclusiveTimeout is how long replacing a damaged file waits for other processes: long
// enough for a defenderctl to finish, but not for a Fluent Bit, which stays.
const exclusiveTimeout = 2 * time.Second

// replace renames a damaged file and replaces it with its copy, or with a new file. The
// caller holds rangeOpen.
func (f *file) replace(damage error) error {
	// Otherwise a process that has the file open would go on writing into the renamed
	// one.
	ctx, cancel := context.WithTimeout(context.Background(), exclusiveTimeout)
	defer cancel()

	if err := f.locks.lock(ctx, unix.F_WRLCK, rangeUsers); err != nil {
		return fmt.Errorf(
			"%s: %w (%s) and %w: stop Fluent Bit and every defenderctl, then start again",
			f.path(),
			store.ErrDamaged,
			damage.Error(), // as text: errors.Is must not find its class
			store.ErrInUse,
		)
	}

	defer func() { _ = f.locks.try(unix.F_RDLCK, rangeUsers) }() // from exclusive back to shared: never waits

	renamed, err := f.dir.quarantine(f.name, "damaged", f.now())
	if err != nil {
		return explain(f.path(), fmt.Errorf("damaged (%s), and could not be renamed: %w", damage.Error(), err))
	}

	if f.replaced != nil {
		f.replaced()
	}

	restored := false
	if f.restore != nil {
		if restored, err = f.restore(); err != nil {
			return err
		}
	}

	if restored {
		f.log.Error(
			fmt.Sprintf(
				"%s is damaged (%v); it was renamed to %s and came back from its copy",
				f.path(),
				damage,
				renamed,
			),
		)
	} else {
		if _, err := f.dir.create(f.name); err != nil {
			return explain(f.path(), err)
		}

		f.log.Error(fmt.Sprintf("%s is damaged (%v) and was renamed to %s: %s", f.path(), damage, renamed, f.lost))
	}

	return explain(f.path(), f.connect())
}
