package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

const tokensSchema = `
	CREATE TABLE chains (
		login_host TEXT NOT NULL, tenant_id TEXT NOT NULL, client_id TEXT NOT NULL,
		version INTEGER NOT NULL, removed INTEGER NOT NULL,
		refresh BLOB, previous BLOB, account TEXT NOT NULL, tenant_name TEXT NOT NULL,
		obtained INTEGER NOT NULL, refreshed INTEGER NOT NULL, dead TEXT NOT NULL, rejected INTEGER NOT NULL,
		crc INTEGER NOT NULL,
		PRIMARY KEY (login_host, tenant_id, client_id));
	CREATE TABLE seeds (
		login_host TEXT NOT NULL, tenant_id TEXT NOT NULL, client_id TEXT NOT NULL, fingerprint BLOB NOT NULL,
		PRIMARY KEY (login_host, tenant_id, client_id, fingerprint)) WITHOUT ROWID;`

// Chains is the part of a store that keeps refresh tokens; it is a tokens.ChainStore.
type Chains struct{ s *Store }

var _ tokens.ChainStore = (*Chains)(nil)

// Tokens gives the chains of refresh tokens.
func (s *Store) Tokens() *Chains { return &Chains{s} }

// ChainInfo is one chain as List gives it.
type ChainInfo struct {
	Key tokens.ChainKey
	// Chain has no tokens in it when they could not be decrypted; Err says why then
	// (ErrKey).
	Chain tokens.Chain
	Err   error
}

// chainRow is a row of the table chains. A removed chain keeps its row, without tokens,
// so that its version goes on counting.
type chainRow struct {
	key                           tokens.ChainKey
	version                       int64
	removed                       bool
	refresh, previous             []byte
	account, tenantName, dead     string
	obtained, refreshed, rejected int64
}

const chainColumns = `login_host, tenant_id, client_id, version, removed, refresh, previous,
	account, tenant_name, obtained, refreshed, dead, rejected, crc`

// bytes returns the whole row in one unambiguous text.
func (r *chainRow) bytes() []byte {
	var b []byte

	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	number := func(n int64) { b = binary.AppendVarint(b, n) }

	for _, s := range []string{
		r.key.LoginHost,
		r.key.TenantID,
		r.key.ClientID,
		string(r.refresh),
		string(r.previous),
		r.account,
		r.tenantName,
		r.dead,
	} {
		text(s)
	}

	for _, n := range []int64{r.version, r.obtained, r.refreshed, r.rejected} {
		number(n)
	}

	if r.removed {
		b = append(b, 1)
	}

	return b
}

// sum is a checksum over the whole row: SQLite notices damage to its own structures, not
// to a value.
func (r *chainRow) sum() int64 { return int64(crc32.Checksum(r.bytes(), castagnoli)) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *chainRow) scan(scan func(...any) error) error {
	var crc int64
	if err := scan(
		&r.key.LoginHost,
		&r.key.TenantID,
		&r.key.ClientID,
		&r.version,
		&r.removed,
		&r.refresh,
		&r.previous,
		&r.account,
		&r.tenantName,
		&r.obtained,
		&r.refreshed,
		&r.dead,
		&r.rejected,
		&crc,
	); err != nil {
		return err
	}

	if crc != r.sum() {
		return fmt.Errorf("%w: the row of tenant %q has a wrong checksum", ErrDamaged, r.key.TenantID)
	}

	return nil
}

func (r *chainRow) write(t tx) error {
	_, err := t.exec(`INSERT OR REPLACE INTO chains (`+chainColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		r.key.LoginHost, r.key.TenantID, r.key.ClientID, r.version, r.removed, r.refresh, r.previous, r.account,
		r.tenantName, r.obtained, r.refreshed, r.dead, r.rejected, r.sum())

	return err
}

// find reads the row of a chain; ok is false if there never was one.
func find(t tx, key tokens.ChainKey) (r chainRow, ok bool, err error) {
	err = r.scan(t.row(`SELECT `+chainColumns+` FROM chains WHERE login_host = ? AND tenant_id = ? AND client_id = ?`,
		key.LoginHost, key.TenantID, key.ClientID).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return chainRow{}, false, nil
	}

	return r, err == nil, err
}

// at is where a token of the row stands.
func (r *chainRow) at(field string) place {
	return place{key: r.key, field: field, version: r.version}
}

// chain decrypts the row. Tokens that are not encrypted are refused where there is a key,
// unless plainToo.
func (r *chainRow) chain(s *sealer, plainToo bool) (tokens.Chain, error) {
	c := tokens.Chain{
		Account:    r.account,
		TenantName: r.tenantName,
		Obtained:   fromNanos(r.obtained),
		Refreshed:  fromNanos(r.refreshed),
		Version:    r.version,
	}
	if err := c.Dead.UnmarshalText([]byte(r.dead)); err != nil {
		return c, err
	}

	if !c.Dead.IsZero() {
		c.Rejected = fromNanos(r.rejected)
	}

	var err error

	c.Refresh, err = s.open(r.at("refresh"), r.refresh, plainToo)
	if err != nil {
		return c, err
	}

	c.Previous, err = s.open(r.at("previous"), r.previous, plainToo)

	return c, err
}

func makeRow(s *sealer, key tokens.ChainKey, c tokens.Chain, version int64) (r chainRow, err error) {
	refusal, err := c.Dead.MarshalText()
	if err != nil {
		return r, err
	}

	r = chainRow{
		key:        key,
		version:    version,
		account:    c.Account,
		tenantName: c.TenantName,
		dead:       string(refusal),
		obtained:   nanos(c.Obtained),
		refreshed:  nanos(c.Refreshed),
		rejected:   nanos(c.Rejected),
	}

	r.refresh, err = s.seal(r.at("refresh"), c.Refresh)
	if err != nil {
		return r, err
	}

	r.previous, err = s.seal(r.at("previous"), c.Previous)

	return r, err
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}

	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}

	return time.Unix(0, n).UTC()
}

// eachChain goes through the rows of a query for chainColumns.
func eachChain(rows *sql.Rows, do func(r *chainRow) error) error {
	defer rows.Close()

	for rows.Next() {
		var r chainRow
		if err := r.scan(rows.Scan); err != nil {
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

	if err := eachChain(rows, func(*chainRow) error { return nil }); err != nil {
		return err
	}

	var seeds int64

	return q.QueryRow(`SELECT count(fingerprint) FROM seeds`).Scan(&seeds)
}

// Lock implements tokens.ChainStore: first against the goroutines of this process, then
// against other processes, by a lock on one byte of tokens.lock. A process that dies
// loses its locks at once.
func (c *Chains) Lock(ctx context.Context, key tokens.ChainKey) (func(), error) {
	if err := c.s.writable(); err != nil {
		return nil, err
	}

	sh, at := c.s.sh, chainOffset(key)
	if err := sh.chains.lock(ctx, at); err != nil {
		return nil, fmt.Errorf("lock the tokens of tenant %s: %w", key.TenantID, err)
	}

	if err := sh.locks.lock(ctx, unix.F_WRLCK, at); err != nil {
		sh.chains.unlock(at)
		return nil, fmt.Errorf("lock the tokens of tenant %s: %w", key.TenantID, err)
	}

	return sync.OnceFunc(func() {
		sh.locks.unlock(at)
		sh.chains.unlock(at)
	}), nil
}

// Load implements tokens.ChainStore. It returns ErrKey when the tokens are encrypted with
// a key that is not configured, ErrPlain when a key is configured and they are not
// encrypted, and ErrTampered when they are not those that were written last.
func (c *Chains) Load(ctx context.Context, key tokens.ChainKey) (chain tokens.Chain, ok bool, err error) {
	err = c.s.view(ctx, c.s.sh.tokens, func(t tx) error {
		chain, ok = tokens.Chain{}, false

		if err := c.s.sh.guard(t); err != nil {
			return err
		}

		r, found, err := c.s.sh.find(t, key)
		if err != nil || !found || r.removed {
			return err
		}

		chain, err = r.chain(c.s.sh.sealer.Load(), false)
		ok = err == nil

		return err
	})
	if err != nil {
		return tokens.Chain{}, false, err
	}

	return chain, ok, nil
}

// Save implements tokens.ChainStore. A context that ends does not stop a Save that has
// begun. The copy of tokens.db is written too; a failure there is logged, not returned,
// since the chain itself is safe then.
func (c *Chains) Save(ctx context.Context, key tokens.ChainKey, chain tokens.Chain, seeds ...[32]byte) error {
	return c.change(context.WithoutCancel(ctx), func(t tx) ([]chainRow, []seed, error) {
		old, _, err := c.s.sh.find(t, key)
		if err != nil {
			return nil, nil, err
		}

		row, err := makeRow(c.s.sh.sealer.Load(), key, chain, old.version+1)
		if err != nil {
			return nil, nil, err
		}

		marks := make([]seed, len(seeds))
		for i, fingerprint := range seeds {
			marks[i] = seed{key, fingerprint}
		}

		return []chainRow{row}, marks, nil
	})
}

// seed is the mark that a chain once began with a token; the zero fingerprint stands for
// "forget the marks of this chain".
type seed struct {
	key         tokens.ChainKey
	fingerprint [32]byte
}

func (s seed) write(t tx) error {
	if s.fingerprint == ([32]byte{}) {
		_, err := t.exec(`DELETE FROM seeds WHERE login_host = ? AND tenant_id = ? AND client_id = ?`,
			s.key.LoginHost, s.key.TenantID, s.key.ClientID)

		return err
	}

	_, err := t.exec(
		`INSERT OR IGNORE INTO seeds VALUES (?,?,?,?)`,
		s.key.LoginHost,
		s.key.TenantID,
		s.key.ClientID,
		s.fingerprint[:],
	)

	return err
}

// SeedSeen implements tokens.ChainStore.
func (c *Chains) SeedSeen(ctx context.Context, key tokens.ChainKey, fingerprint [32]byte) (seen bool, err error) {
	err = c.s.view(ctx, c.s.sh.tokens, func(t tx) error {
		return t.row(`SELECT EXISTS (SELECT 1 FROM seeds WHERE login_host = ? AND tenant_id = ? AND client_id = ? AND fingerprint = ?)`,
			key.LoginHost, key.TenantID, key.ClientID, fingerprint[:]).
			Scan(&seen)
	})

	return seen, err
}

// List returns every chain, ordered by tenant, client and host. Where none may be used
// (ErrKey, ErrPlain, ErrTampered), each says so.
func (c *Chains) List(ctx context.Context) (list []ChainInfo, err error) {
	err = c.s.view(ctx, c.s.sh.tokens, func(t tx) error {
		list = nil

		barred := c.s.sh.guard(t)
		if barred != nil && !errors.Is(barred, tokens.ErrBarred) {
			return barred
		}

		rows, err := t.rows(
			`SELECT ` + chainColumns + ` FROM chains WHERE NOT removed ORDER BY tenant_id, client_id, login_host`,
		)
		if err != nil {
			return err
		}

		return eachChain(rows, func(r *chainRow) error {
			info := ChainInfo{Key: r.key}

			info.Chain, info.Err = r.chain(c.s.sh.sealer.Load(), false)
			if info.Err != nil && !errors.Is(info.Err, tokens.ErrBarred) {
				return info.Err
			}

			if barred == nil && info.Err == nil {
				info.Err = c.s.sh.compare(r.key, r, true)
			}

			if barred != nil {
				info.Err = barred
			}

			if info.Err != nil {
				info.Chain.Refresh = secret.Text{}
				info.Chain.Previous = secret.Text{}
			}

			list = append(list, info)

			return nil
		})
	})

	return list, err
}

// Remove forgets a chain and its seeds: a seed token that is still configured starts a
// new chain. It says whether there was one.
func (c *Chains) Remove(ctx context.Context, key tokens.ChainKey) (removed bool, err error) {
	unlock, err := c.Lock(ctx, key)
	if err != nil {
		return false, err
	}
	defer unlock()

	err = c.change(ctx, func(t tx) ([]chainRow, []seed, error) {
		old, ok, err := c.s.sh.find(t, key)

		removed = ok && !old.removed
		if err != nil || !removed {
			return nil, nil, err
		}

		return []chainRow{{key: key, version: old.version + 1, removed: true}}, []seed{{key: key}}, nil
	})
	if removed && err == nil {
		c.wipe()
	}

	return removed, err
}

// Rekey encrypts every token with newKey (32 bytes), or stores them plain if it is nil,
// and goes on with that key. Rows that are in the new form already are left as they are.
// Tokens that are not encrypted, and a file that does not fit its seal, are taken as
// good; the latter is logged. No inputs may run on the directory meanwhile (ErrInUse):
// they would go on with the old key. It gives the number of chains that were changed.
func (c *Chains) Rekey(ctx context.Context, newKey []byte) (changed int, err error) {
	if err := c.s.writable(); err != nil {
		return 0, err
	}

	to, err := newSealer(newKey)
	if err != nil {
		return 0, err
	}

	release, err := c.s.sh.excludeInputs()
	if err != nil {
		return 0, fmt.Errorf("rekey: %w; stop Fluent Bit, rekey, set key_file, start it again", err)
	}
	defer release()

	err = c.rewrite(ctx, to, func(t tx) ([]chainRow, []seed, error) {
		changed = 0

		rows, err := t.rows(`SELECT ` + chainColumns + ` FROM chains WHERE NOT removed`)
		if err != nil {
			return nil, nil, err
		}

		var out []chainRow

		err = eachChain(rows, func(r *chainRow) error {
			if to.sealedBy(r.refresh) && to.sealedBy(r.previous) {
				return nil
			}

			chain, err := r.chain(c.s.sh.sealer.Load(), true)
			if err != nil {
				return err
			}

			sealed, err := makeRow(to, r.key, chain, r.version+1)
			out = append(out, sealed)

			return err
		})
		changed = len(out)

		return out, nil, err
	})
	if err != nil {
		return 0, err
	}

	c.s.sh.sealer.Store(to)
	c.wipe()

	return changed, nil
}

// upgrade encrypts tokens anew that an older version encrypted with this key, and seals
// the file: from then on older rows are known as such.
func (c *Chains) upgrade(ctx context.Context) error {
	s := c.s.sh.sealer.Load()
	if s == nil || c.s.readOnly {
		return nil
	}

	return c.change(ctx, func(t tx) ([]chainRow, []seed, error) {
		if c.s.sh.anchor.seal != nil {
			return nil, nil, nil
		}

		var out []chainRow

		err := allRows(t, func(r *chainRow) error {
			if r.removed || !s.hasKeyOf(r.refresh) && !s.hasKeyOf(r.previous) {
				return nil
			}

			chain, err := r.chain(s, true)
			if err != nil {
				return err
			}

			row, err := makeRow(s, r.key, chain, r.version+1)
			out = append(out, row)

			return err
		})

		return out, nil, err
	})
}

// wipe empties the write-ahead log, in which the former state of a row, perhaps a plain
// token, would stand until the log comes round again. The pages themselves are
// overwritten by secure_delete. It is best effort: another process that reads at this
// moment prevents it.
func (c *Chains) wipe() {
	_ = c.s.sh.tokens.use(context.Background(), func() error {
		_, err := c.s.sh.tokens.db.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
		return err
	})
}

// unsealed counts the chains whose tokens are not in the form in which the configured key
// would write them, and gives one of them.
func (c *Chains) unsealed(ctx context.Context) (n int, example string, err error) {
	err = c.s.view(ctx, c.s.sh.tokens, func(t tx) error {
		n = 0

		rows, err := t.rows(`SELECT tenant_id, refresh, previous FROM chains WHERE NOT removed`)
		if err != nil {
			return err
		}
		defer rows.Close()

		var (
			tenant            string
			refresh, previous sql.RawBytes
		)
		for rows.Next() {
			if err := rows.Scan(&tenant, &refresh, &previous); err != nil {
				return err
			}

			if s := c.s.sh.sealer.Load(); !s.sealedBy(refresh) || !s.sealedBy(previous) {
				n, example = n+1, tenant
			}
		}

		return rows.Err()
	})

	return n, example, err
}
