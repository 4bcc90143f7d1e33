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
	// upgrades[i] makes a file of version i+2 out of one of version i+1.
	upgrades []upgrade
	params   string // of the data source name, beside the common ones
	// verify reads what integrity_check cannot judge: rows with their checksums. An
	// ErrDamaged condemns the file.
	verify func(q querier) error
	// lost is what the log says when a damaged file could not be restored.
	lost string
	// asItIs leaves a file of an older version as it is. Only a copy is read so.
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
	// restore puts a good file in place of one that is missing, empty or quarantined;
	// false if there is none.
	restore func() (bool, error)
	// reset tells the owner of caches that the file behind them is another one.
	reset func()
	// replaced tells the owner that a damaged file was renamed and another one has
	// its place.
	replaced func()
	// renewed writes into a file that replaced a damaged one, in the middle of the
	// work, what Open would have written.
	renewed func() error

	mu       mutex
	db       *sql.DB // nil: closed, or (ReadOnly) there is no file yet
	closed   bool
	warnings []string

	stands atomic.Pointer[standing] // since connect; nil: not known
}

// suffixes of the files that belong to a database: https://www.sqlite.org/tempfiles.html
var suffixes = []string{"", "-wal", "-shm", "-journal"}

var processWide = sync.OnceFunc(func() {
	// Both switches are best effort. Locks by open file description survive when some
	// library in this process opens and closes our file; fdatasync spares the journal
	// write for a changed timestamp with each commit.
	_, _ = sqlite.OFDLocking(true)
	_, _ = sqlite.Fdatasync(true)
})

// How long another process that writes is waited for: busyTimeout in all, and no
// longer than the context, at which begin looks every busyPiece.
const (
	busyTimeout = 10 * time.Second
	busyPiece   = 50 * time.Millisecond
)

// dsn is the data source name of a path. mode=rw: SQLite never makes the file, we do,
// with its rights.
func dsn(path, mode, params string) string {
	// cell_size_check and trusted_schema=0 are what SQLite advises for files that may
	// be damaged or tampered with.
	return (&url.URL{Scheme: "file", Path: path}).String() + "?mode=" + mode +
		"&_txlock=immediate&_busy_timeout=" + strconv.FormatInt(busyTimeout.Milliseconds(), 10) +
		"&_defensive=1&_dqs=0&_error_rc=1" +
		"&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)&_pragma=temp_store(2)" + params
}

// open makes, checks and if need be replaces the file. The caller holds rangeOpen.
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

// openReadOnly opens what is there. A missing file is an empty store: the owner of the
// directory may not have started yet.
func (f *file) openReadOnly() error {
	info, err := os.Lstat(f.path())
	if errors.Is(err, fs.ErrNotExist) || (err == nil && info.Mode().IsRegular() && info.Size() == 0) {
		f.stands.Store(f.names())
		return nil
	}

	if err := f.dir.inspectAll(f.name); err != nil {
		return err
	}

	return explain(f.path(), f.connect())
}

// path is called without any lock: of dir only what never changes may be used.
func (f *file) path() string { return filepath.Join(f.dir.path, f.name) }

// connect opens the file with SQLite, makes the tables in an empty one and checks
// everything. Errors leave nothing open.
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
		// SQLite gives -wal and -shm the mode and, for root, the owner of the database;
		// this makes sure.
		for _, suffix := range suffixes {
			_, _ = f.dir.narrow(f.name + suffix)
		}
	}

	f.stands.Store(f.names())

	return nil
}

// tryWrite finds out whether SQLite would write the file at all, without writing: it
// takes one whose header asks for a newer version of SQLite as read-only.
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

// exclusiveTimeout is how long the replacing of a damaged file waits for other
// processes: a defenderctl that just finishes, not a Fluent Bit that stays.
const exclusiveTimeout = 2 * time.Second

// replace renames a damaged file and puts its copy, or a new file, in its place. The
// caller holds rangeOpen.
func (f *file) replace(damage error) error {
	// Whoever has the file open would go on writing into the renamed one.
	ctx, cancel := context.WithTimeout(context.Background(), exclusiveTimeout)
	defer cancel()

	if err := f.locks.lock(ctx, unix.F_WRLCK, rangeUsers); err != nil {
		return fmt.Errorf(
			"%s: %w (%s) and %w: stop Fluent Bit and every defenderctl, then start again",
			f.path(),
			store.ErrDamaged,
			damage.Error(), // for people: its class decides nothing here
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
