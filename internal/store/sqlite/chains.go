package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/tokens"
)

// tokensSchema makes the tables of tokens.db. SQLite stores these texts as they are,
// and files are compared with them: any change, even of a space, needs a new version
// (upgrade.go).
const tokensSchema = chainsSchema + `
	CREATE TABLE seeds (
		login_host TEXT NOT NULL, tenant_id TEXT NOT NULL, client_id TEXT NOT NULL, fingerprint BLOB NOT NULL,
		PRIMARY KEY (login_host, tenant_id, client_id, fingerprint)) WITHOUT ROWID;` + accessSchema

const chainsSchema = `
	CREATE TABLE chains (
		login_host TEXT NOT NULL, tenant_id TEXT NOT NULL, client_id TEXT NOT NULL,
		version INTEGER NOT NULL, removed INTEGER NOT NULL,
		refresh BLOB, previous BLOB, account TEXT NOT NULL, tenant_name TEXT NOT NULL,
		obtained INTEGER NOT NULL, refreshed INTEGER NOT NULL, dead TEXT NOT NULL, rejected INTEGER NOT NULL,
		confirmed INTEGER NOT NULL, home INTEGER NOT NULL,
		crc INTEGER NOT NULL,
		PRIMARY KEY (login_host, tenant_id, client_id));`

const accessSchema = `
	CREATE TABLE access (
		login_host TEXT NOT NULL, tenant_id TEXT NOT NULL, client_id TEXT NOT NULL,
		customer TEXT NOT NULL, resource TEXT NOT NULL,
		expiry INTEGER NOT NULL, sealed BLOB NOT NULL,
		PRIMARY KEY (login_host, tenant_id, client_id, customer, resource)) WITHOUT ROWID;`

const chainColumns = seal.Columns + `, crc`

const sealName = "seal"

// chainTable is the table of chains in one transaction. It implements seal.Table.
type chainTable struct{ tx }

var _ seal.Table = chainTable{}

// Seal implements seal.Table.
func (t chainTable) Seal() ([]byte, error) {
	var b []byte

	err := t.row(`SELECT v FROM meta WHERE k = '` + sealName + `'`).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}

	return b, err
}

// PutSeal implements seal.Table.
func (t chainTable) PutSeal(b []byte) error {
	var err error
	if b == nil {
		err = t.exec(`DELETE FROM meta WHERE k = '` + sealName + `'`)
	} else {
		err = t.exec(`INSERT INTO meta VALUES ('`+sealName+`', ?) ON CONFLICT DO UPDATE SET v = excluded.v`, b)
	}

	return err
}

// Generation implements seal.Table.
func (t chainTable) Generation() (n uint64, err error) {
	err = t.row(`SELECT v FROM meta WHERE k = 'generation'`).Scan(&n)
	return n, err
}

// Find implements seal.Table.
func (t chainTable) Find(key tokens.ChainKey) (r seal.Row, ok bool, err error) {
	err = scanChain(&r, t.row(
		`SELECT `+chainColumns+` FROM chains WHERE login_host = ? AND tenant_id = ? AND client_id = ?`,
		key.LoginHost,
		key.TenantID,
		key.ClientID,
	).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return seal.Row{}, false, nil
	}

	return r, err == nil, err
}

// Each implements seal.Table.
func (t chainTable) Each(do func(r *seal.Row) error) error {
	rows, err := t.rows(`SELECT ` + chainColumns + ` FROM chains`)
	if err != nil {
		return err
	}

	return eachChain(rows, do)
}

// EachVersion implements seal.Table.
func (t chainTable) EachVersion(do func(key tokens.ChainKey, version int64)) error {
	rows, err := t.rows(`SELECT ` + seal.KeyColumns + `, version FROM chains`)
	if err != nil {
		return err
	}
	defer rows.Close()

	return seal.EachVersion(rows, do)
}

// write writes a row, in place of the one that its chain has.
func (t chainTable) write(r *seal.Row) error {
	return t.exec(`INSERT OR REPLACE INTO chains (`+chainColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		append(r.Values(), checksum(r))...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the checksum of a whole row: SQLite notices damage to its own
// structures, but not to a value.
func checksum(r *seal.Row) int64 { return int64(crc32.Checksum(r.Bytes(), castagnoli)) }

// scanChain reads a row of chainColumns.
func scanChain(r *seal.Row, scan func(...any) error) error {
	var crc int64
	if err := scan(append(r.Fields(), &crc)...); err != nil {
		return err
	}

	if crc != checksum(r) {
		return fmt.Errorf("%w: the row of tenant %q has a wrong checksum", store.ErrDamaged, r.Key.TenantID)
	}

	return nil
}

// eachChain calls do for each row of a query for chainColumns, and closes rows.
func eachChain(rows *sql.Rows, do func(r *seal.Row) error) error {
	defer rows.Close()

	for rows.Next() {
		var r seal.Row
		if err := scanChain(&r, rows.Scan); err != nil {
			return err
		}

		if err := do(&r); err != nil {
			return err
		}
	}

	return rows.Err()
}

// verifyChains reads every row with its checksum.
func verifyChains(q querier) error {
	rows, err := q.Query(`SELECT ` + chainColumns + ` FROM chains`)
	if err != nil {
		return err
	}

	if err := eachChain(rows, func(*seal.Row) error { return nil }); err != nil {
		return err
	}

	var seeds, kept int64
	if err := q.QueryRow(`SELECT count(fingerprint) FROM seeds`).Scan(&seeds); err != nil {
		return err
	}

	return q.QueryRow(`SELECT count(sealed) FROM access`).Scan(&kept)
}

// seed records that a chain once started with a token. To write the zero fingerprint
// deletes the records of the chain.
type seed struct {
	key         tokens.ChainKey
	fingerprint [32]byte
}

func (s seed) write(t tx) error {
	if s.fingerprint == ([32]byte{}) {
		err := t.exec(`DELETE FROM seeds WHERE login_host = ? AND tenant_id = ? AND client_id = ?`,
			s.key.LoginHost, s.key.TenantID, s.key.ClientID)

		return err
	}

	err := t.exec(
		`INSERT OR IGNORE INTO seeds VALUES (?,?,?,?)`,
		s.key.LoginHost,
		s.key.TenantID,
		s.key.ClientID,
		s.fingerprint[:],
	)

	return err
}

// guard returns an error unless what tokens.db holds may be used with the configured key.
func (sh *shared) guard(t tx) error { return sh.anchor.Check(chainTable{t}, sh.key.Load()) }

// find reads the row of a chain, and returns an error unless it is the one that the
// seal covers. The caller has called guard in the same transaction.
func (sh *shared) find(t tx, key tokens.ChainKey) (seal.Row, bool, error) {
	return sh.anchor.Find(chainTable{t}, sh.key.Load(), key)
}
