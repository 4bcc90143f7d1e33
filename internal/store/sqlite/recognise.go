package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"fluent-bit-defender/internal/store"

	"golang.org/x/sys/unix"
	lib "modernc.org/sqlite/lib"
)

// judgeFile checks a file before SQLite opens it. A file without a header must not even
// be opened: SQLite takes a file of a few bytes for a new database, and when it closes
// a broken one it empties the write-ahead log beside it, which may be all that is left.
func (f *file) judgeFile(existed bool) error {
	info, err := os.Lstat(f.path())
	if err != nil {
		return err
	}

	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a file but %s", store.ErrDamaged, info.Mode().Type())
	}

	if info.Size() > 0 {
		return f.checkHeader()
	}
	// SQLite takes an empty file for a new database, and deletes a write-ahead log
	// beside it.
	if wal, err := os.Lstat(f.path() + "-wal"); err == nil && wal.Size() > 0 {
		return fmt.Errorf("%w: it is empty", store.ErrDamaged)
	}

	if f.restore != nil {
		ok, err := f.restore()
		if err != nil {
			return err
		}

		if ok {
			f.log.Error(fmt.Sprintf("%s was missing or empty and came back from its copy", f.path()))
			return nil
		}
	}

	if existed {
		f.log.Warn(fmt.Sprintf("%s was empty: %s", f.path(), f.lost))
	}

	return nil
}

// checkHeader looks at the first 100 bytes
// (https://www.sqlite.org/fileformat2.html#the_database_header). No handle of this
// process is on the file now, so opening and closing it drops no locks.
func (f *file) checkHeader() error {
	file, err := os.OpenFile(f.path(), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer file.Close()

	var b [100]byte
	if _, err := io.ReadFull(file, b[:]); errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut off in its header", store.ErrDamaged)
	} else if err != nil {
		return err
	}

	if string(b[:16]) != "SQLite format 3\x00" || b[18] < 1 || b[18] > 2 || b[19] < 1 || b[19] > 2 {
		return fmt.Errorf("%w: it has no SQLite header", store.ErrDamaged)
	}

	return nil
}

// judge decides whether an error of check means damage, and then makes it an
// ErrDamaged. Missing tables, or a format number that SQLite does not know, result in
// plain SQL errors or in "read only", and mean damage if the file could in fact be
// written. A value of the wrong type is an error of database/sql, which has no code.
func (f *file) judge(err error) error {
	switch code(err) & 0xff {
	case 0:
		_, system := errors.AsType[syscall.Errno](err)
		if !system && !errors.Is(err, store.ErrNewer) && !errors.Is(err, store.ErrForeign) && !isDamage(err) {
			return fmt.Errorf("%w: %w", store.ErrDamaged, err)
		}
	case lib.SQLITE_ERROR, lib.SQLITE_MISMATCH, lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG:
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	case lib.SQLITE_READONLY:
		if !f.dir.readOnly && unix.Access(f.path(), unix.R_OK|unix.W_OK) == nil &&
			unix.Access(f.dir.path, unix.W_OK|unix.X_OK) == nil {
			return fmt.Errorf("%w: %w", store.ErrDamaged, err)
		}
	}

	return err
}

// check checks an open database: whether it is ours, of a version that this program
// knows, and not damaged. It makes the tables in an empty one, and converts one of an
// older version.
func (f *file) check(db *sql.DB) error {
	h, err := readHeader(db)
	if err != nil {
		return err
	}

	if h.empty() && !f.dir.readOnly {
		return f.initialise(db)
	}

	if err := f.recognise(h); err != nil {
		return err
	}

	if f.dir.readOnly {
		// For reading only nothing is changed. A full check of a large file would take
		// too long for that; damage shows in what is read.
		if h.version < f.version {
			return f.showUpgraded(db, h.version)
		}

		return f.sameTables(db)
	}

	// integrity_check and not quick_check, which does not compare indexes with tables:
	// a flipped bit in an index hides a row.
	var result string
	if err := db.QueryRow("PRAGMA integrity_check(1)").Scan(&result); err != nil {
		return err
	}

	if result != "ok" {
		return fmt.Errorf("%w: %s", store.ErrDamaged, result)
	}

	switch {
	case h.version < f.version && f.asItIs:
		return f.verifyShown(db, h.version)
	case h.version < f.version:
		if err := f.upgrade(db, h.version); err != nil {
			return err
		}
	}

	if err := f.sameTables(db); err != nil {
		return err
	}

	if err := tryWrite(db); err != nil {
		return err
	}

	return f.verify(db)
}

// verifyShown is verify for a file of an older version that is not converted.
func (f *file) verifyShown(db *sql.DB, from int64) error {
	if err := f.showUpgraded(db, from); err != nil {
		return err
	}

	return f.verify(db)
}

// header is what a database says about itself. Format and version are stored twice, so
// that one flipped bit does not look like another program or a newer version.
type header struct {
	appID, version int64 // in the header of SQLite
	tables         int64
	format, inside int64 // the same two in the table meta
	metaErr        error // why meta cannot be read
}

func readHeader(db *sql.DB) (h header, err error) {
	for _, read := range []struct {
		query string
		into  *int64
	}{
		{"PRAGMA application_id", &h.appID},
		{"PRAGMA user_version", &h.version},
		{"SELECT count(*) FROM sqlite_schema", &h.tables},
	} {
		if err := db.QueryRow(read.query).Scan(read.into); err != nil {
			return h, err
		}
	}

	if !h.empty() {
		h.metaErr = db.QueryRow(
			"SELECT (SELECT v FROM meta WHERE k = 'format'), (SELECT v FROM meta WHERE k = 'version')",
		).Scan(&h.format, &h.inside)
	}

	return h, nil
}

func (h header) empty() bool { return h.appID == 0 && h.version == 0 && h.tables == 0 }

// recognise returns an error unless a database is ours, and of a version that this
// program knows.
func (f *file) recognise(h header) error {
	ours := h.appID == f.appID && h.format == f.appID

	switch {
	case h.empty(): // an empty file that is opened for reading only
		return fmt.Errorf("%w: it has no tables", store.ErrDamaged)
	case h.appID != f.appID && h.format != f.appID && h.tables > 0 && h.appID != 0:
		return fmt.Errorf("%s: %w (application id %d); choose another data_dir",
			f.path(), store.ErrForeign, h.appID)
	case h.version > f.version && (h.metaErr != nil || h.inside == h.version) && h.appID == f.appID:
		return fmt.Errorf("%s: %w (format %d, this program knows %d); use that version again, or another data_dir",
			f.path(), store.ErrNewer, h.version, f.version)
	case h.metaErr != nil:
		return h.metaErr
	case !ours, h.version != h.inside, h.version < 1, h.version > f.version:
		return fmt.Errorf("%w: its header is wrong", store.ErrDamaged)
	}

	return nil
}

// sameTables compares the definitions of the tables with those that initialise makes: a
// flipped bit there may rename a column.
func (f *file) sameTables(db *sql.DB) error {
	fresh, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer fresh.Close()

	fresh.SetMaxOpenConns(1)

	if _, err := fresh.Exec(f.schema + metaSchema); err != nil {
		return err
	}

	const tables = `SELECT group_concat(type || ' ' || name || ' ' || coalesce(sql, ''), char(10) ORDER BY name)
		FROM sqlite_schema`

	var want, got string
	if err := fresh.QueryRow(tables).Scan(&want); err != nil {
		return err
	}

	if err := db.QueryRow(tables).Scan(&got); err != nil {
		return err
	}

	if got != want {
		return fmt.Errorf("%w: its tables are not ours", store.ErrDamaged)
	}

	return nil
}

// metaSchema is the table that both files have.
const metaSchema = `
	CREATE TABLE meta (k TEXT PRIMARY KEY, v) WITHOUT ROWID;`
