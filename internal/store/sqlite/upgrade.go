package sqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"fluent-bit-defender/internal/store"
	"fmt"

	"golang.org/x/sys/unix"
)

// upgrade converts a file from one version to the next.
type upgrade struct {
	// change is SQL that changes the tables. It runs in one transaction with the new
	// version number.
	change string
	// show is SQL that makes temporary views, through which a ReadOnly store reads the
	// old tables as if they were the new ones.
	show string
}

// showUpgraded lets a ReadOnly store read a file of an older version without converting
// it.
func (f *file) showUpgraded(db *sql.DB, from int64) error {
	for _, step := range f.upgrades[from-1:] {
		if _, err := db.Exec(step.show); err != nil {
			return err
		}
	}

	return nil
}

// upgrade converts a file of an older version to the present one. The caller holds
// rangeOpen.
func (f *file) upgrade(db *sql.DB, from int64) error {
	// A process of the older version that has the file open could not use it afterwards.
	ctx, cancel := context.WithTimeout(context.Background(), exclusiveTimeout)
	defer cancel()

	if err := f.locks.lock(ctx, unix.F_WRLCK, rangeUsers); err != nil {
		return fmt.Errorf(
			"%s: %w: it has the format of an older version of this program (%d) and must be converted to %d: "+
				"stop Fluent Bit and every defenderctl, then start the new version",
			f.path(),
			store.ErrInUse,
			from,
			f.version,
		)
	}

	defer func() { _ = f.locks.try(unix.F_RDLCK, rangeUsers) }() // from exclusive back to shared: never waits

	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()

	for _, step := range f.upgrades[from-1:] {
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

	f.log.Info(fmt.Sprintf("%s was converted from format %d to %d", f.path(), from, f.version))

	return nil
}

//go:embed upgrade2.sql
var changeTo2 string

//go:embed upgrade2_show.sql
var showAs2 string

// unitsTo2 adds the kind of deferred work. In version 1 the kind followed from what was
// missing and from the text of the reason, and the status had the count under another
// name.
var unitsTo2 = upgrade{change: deferredSchema + changeTo2, show: showAs2}

// unitsTo3 adds the documents.
var unitsTo3 = upgrade{
	change: documentsSchema,
	show: `CREATE TEMP VIEW documents (name, body, crc) AS
		SELECT '', x'', 0 WHERE 0`,
}

// oldChains selects the chains of version 2 as if they were of version 3. The checksum of
// a row stays the same, since what is new is empty.
const oldChains = `SELECT login_host, tenant_id, client_id, version, removed, refresh, previous,
	account, tenant_name, obtained, refreshed, dead, rejected, 0, 0, crc FROM main.`

// tokensTo3 adds what a chain knows of the provider's own tenant, and the access tokens.
var tokensTo3 = upgrade{
	change: `ALTER TABLE chains RENAME TO chains2;` + chainsSchema + `
		INSERT INTO chains (` + chainColumns + `) ` + oldChains + `chains2;
		DROP TABLE chains2;` + accessSchema,
	show: `CREATE TEMP VIEW chains (` + chainColumns + `) AS ` + oldChains + `chains;
		CREATE TEMP VIEW access (login_host, tenant_id, client_id, customer, resource, expiry, sealed) AS
			SELECT '', '', '', '', '', 0, x'' WHERE 0;`,
}
