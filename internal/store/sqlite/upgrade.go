package sqlite

import (
	"context"
	"database/sql"
	"fluent-bit-defender/internal/store"
	"fmt"

	"golang.org/x/sys/unix"
)

// An upgrade makes a file of one version out of a file of the version before.
type upgrade struct {
	// change is SQL that changes the tables. It runs in one transaction with the new
	// version number.
	change string
	// show is SQL that makes temporary views, through which a ReadOnly store reads the
	// old tables as if they were the new ones.
	show string
}

// upgrade brings a file of an older version to the present one. A ReadOnly store leaves
// the file as it is. The caller holds rangeOpen.
func (f *file) upgrade(db *sql.DB, from int64) error {
	steps := f.upgrades[from-1:]

	if f.dir.readOnly {
		for _, step := range steps {
			if _, err := db.Exec(step.show); err != nil {
				return err
			}
		}

		return nil
	}

	// A process of the older version that has the file open could not use it afterwards.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	if err := f.locks.lock(ctx, unix.F_WRLCK, rangeUsers); err != nil {
		return fmt.Errorf("%s: %w: it has the format of an older version of this program (%d) and must be converted to %d: "+
			"stop Fluent Bit and every defenderctl, then start the new version", f.path(), store.ErrInUse, from, f.version)
	}

	defer func() { _ = f.locks.try(unix.F_RDLCK, rangeUsers) }() // from exclusive back to shared: never waits

	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()

	for _, step := range steps {
		if _, err := tx.Exec(step.change); err != nil {
			return err
		}
	}

	if _, err := tx.Exec(fmt.Sprintf(`UPDATE meta SET v = %d WHERE k = 'version'; PRAGMA user_version = %[1]d`,
		f.version)); err != nil {
		return err
	}

	if err := tx.Commit(); err != nil {
		return err
	}

	f.log("info", fmt.Sprintf("%s was converted from format %d to %d", f.path(), from, f.version))

	return nil
}

// feedsTo2 gives deferred work a kind. Version 1 told the kinds apart by what was
// missing and by the text of the reason. The status counted "SetAside".
var feedsTo2 = upgrade{
	change: deferredSchema + `
	INSERT INTO deferred (id, feed, kind, since, until, reason, tries, next_try, gone_boot, gone_at, events)
		SELECT ` + deferredOf1 + ` FROM asides;
	DELETE FROM sqlite_sequence WHERE name = 'deferred';
	INSERT INTO sqlite_sequence (name, seq) SELECT 'deferred', seq FROM sqlite_sequence WHERE name = 'asides';
	DROP TABLE asides;
	UPDATE status SET data = ` + statusOf1 + `;`,
	show: `
	CREATE TEMP VIEW deferred (id, feed, kind, since, until, reason, tries, next_try, gone_boot, gone_at, events)
		AS SELECT ` + deferredOf1 + ` FROM main.asides;
	CREATE TEMP VIEW status (feed, data) AS SELECT feed, ` + statusOf1 + ` FROM main.status;`,
}

const (
	deferredOf1 = `id, feed, CASE WHEN row IS NULL THEN 'unreadable-window'
		WHEN reason = 'waiting for Fluent Bit when the input ended' THEN 'parked-batch' ELSE 'rejected-event' END,
		since, until, reason, tries, next_try, gone_boot, gone_at, row`
	// In a text inside the JSON the quotes would have backslashes before them.
	statusOf1 = `CAST(replace(CAST(data AS TEXT), '"SetAside":', '"Deferred":') AS BLOB)`
)
