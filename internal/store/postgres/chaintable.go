package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/tokens"
)

// chainTable is the table of chains in one transaction. It implements seal.Table.
type chainTable struct {
	ctx context.Context
	q   querier
}

var _ seal.Table = chainTable{}

const (
	sealName       = "seal"
	generationName = "generation"
)

// ofChain is the condition for a chain, with chainArgs.
const ofChain = `login_host = $1::text AND tenant_id = $2::text AND client_id = $3::text`

func chainArgs(key tokens.ChainKey) []any { return []any{key.LoginHost, key.TenantID, key.ClientID} }

func (t chainTable) exec(sql string, args ...any) error {
	_, err := t.q.Exec(t.ctx, sql, args...)
	return err
}

// Seal implements seal.Table.
func (t chainTable) Seal() (b []byte, err error) {
	err = t.q.QueryRow(t.ctx, `SELECT data FROM defender.meta WHERE name = '`+sealName+`'`).Scan(&b)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}

	return b, err
}

// PutSeal implements seal.Table.
func (t chainTable) PutSeal(b []byte) error {
	if b == nil {
		return t.exec(`DELETE FROM defender.meta WHERE name = '` + sealName + `'`)
	}

	return t.exec(`INSERT INTO defender.meta (name, data) VALUES ('`+sealName+`', $1::bytea)
		ON CONFLICT (name) DO UPDATE SET data = excluded.data`, b)
}

// Generation implements seal.Table.
func (t chainTable) Generation() (uint64, error) {
	var n int64

	err := t.q.QueryRow(t.ctx, `SELECT number FROM defender.meta WHERE name = '`+generationName+`'`).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}

	return uint64(n), err
}

// lockGeneration makes all other changes of chains wait until the transaction ends. It
// returns how many changes there were so far.
func (t chainTable) lockGeneration() (uint64, error) {
	const ask = `SELECT number FROM defender.meta WHERE name = '` + generationName + `' FOR UPDATE`

	var n int64

	err := t.q.QueryRow(t.ctx, ask).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		if err := t.exec(`INSERT INTO defender.meta (name) VALUES ('` + generationName + `')
			ON CONFLICT DO NOTHING`); err != nil {
			return 0, err
		}

		err = t.q.QueryRow(t.ctx, ask).Scan(&n)
	}

	return uint64(n), err
}

// putGeneration stores how many changes there were. The caller has called
// lockGeneration.
func (t chainTable) putGeneration(n uint64) error {
	return t.exec(`UPDATE defender.meta SET number = $1::bigint WHERE name = '`+generationName+`'`, int64(n))
}

// Find implements seal.Table.
func (t chainTable) Find(key tokens.ChainKey) (r seal.Row, ok bool, err error) {
	err = t.q.QueryRow(t.ctx, `SELECT `+seal.Columns+` FROM defender.chains WHERE `+ofChain, chainArgs(key)...).
		Scan(r.Fields()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return seal.Row{}, false, nil
	}

	return r, err == nil, err
}

// Each implements seal.Table.
func (t chainTable) Each(do func(r *seal.Row) error) error { return t.each("", do) }

// each calls do for the rows that a clause selects, in its order.
func (t chainTable) each(clause string, do func(r *seal.Row) error) error {
	rows, err := t.q.Query(t.ctx, `SELECT `+seal.Columns+` FROM defender.chains `+clause)
	if err != nil {
		return err
	}
	defer rows.Close()

	for rows.Next() {
		var r seal.Row
		if err := rows.Scan(r.Fields()...); err != nil {
			return err
		}

		if err := do(&r); err != nil {
			return err
		}
	}

	return rows.Err()
}

// EachVersion implements seal.Table.
func (t chainTable) EachVersion(do func(key tokens.ChainKey, version int64)) error {
	rows, err := t.q.Query(t.ctx, `SELECT `+seal.KeyColumns+`, version FROM defender.chains`)
	if err != nil {
		return err
	}
	defer rows.Close()

	return seal.EachVersion(rows, do)
}

// write writes a row, in place of the one that its chain has.
func (t chainTable) write(r *seal.Row) error {
	const put = `INSERT INTO defender.chains (` + seal.Columns + `)
		VALUES ($1::text, $2::text, $3::text, $4::bigint, $5::boolean, $6::bytea, $7::bytea,
			$8::text, $9::text, $10::bigint, $11::bigint, $12::text, $13::bigint, $14::bigint, $15::boolean)
		ON CONFLICT (login_host, tenant_id, client_id) DO UPDATE SET
			version = excluded.version, removed = excluded.removed,
			refresh = excluded.refresh, previous = excluded.previous,
			account = excluded.account, tenant_name = excluded.tenant_name,
			obtained = excluded.obtained, refreshed = excluded.refreshed,
			dead = excluded.dead, rejected = excluded.rejected,
			confirmed = excluded.confirmed, home = excluded.home`

	return t.exec(put, r.Values()...)
}

// excludeNodes returns store.ErrInUse while a node polls, and keeps others from joining
// until the transaction ends.
func (t chainTable) excludeNodes() error {
	if err := t.exec(`LOCK TABLE defender.nodes IN SHARE MODE`); err != nil {
		return err
	}

	rows, err := t.q.Query(t.ctx, `SELECT id FROM defender.nodes WHERE expires_at > defender.clock() ORDER BY id`)
	if err != nil {
		return err
	}

	live, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(live) == 0 {
		return err
	}

	return fmt.Errorf("%w: live nodes are %s", store.ErrInUse, strings.Join(live, ", "))
}
