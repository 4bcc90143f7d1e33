package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/tokens"
)

// Chains is the part of a Store that keeps refresh tokens. It implements store.Chains.
type Chains struct{ s *Store }

var _ store.Chains = (*Chains)(nil)

// Tokens implements store.Store.
func (s *Store) Tokens() store.Chains { return s.chains() }

func (s *Store) chains() *Chains { return &Chains{s} }

// Lock implements tokens.ChainStore. It locks a chain among the goroutines of this
// process first, and then among processes, with a lock on one byte of tokens.lock. A
// process that dies loses its locks at once.
func (c *Chains) Lock(ctx context.Context, key tokens.ChainKey) (func(), error) {
	if err := c.s.writable(); err != nil {
		return nil, err
	}

	sh, at := c.s.sh, chainOffset(key)

	inProcess := sh.chains.of(at)
	if err := inProcess.lock(ctx); err != nil {
		return nil, fmt.Errorf("lock the tokens of tenant %s: %w", key.TenantID, err)
	}

	if err := sh.locks.lock(ctx, unix.F_WRLCK, at); err != nil {
		inProcess.unlock()
		return nil, fmt.Errorf("lock the tokens of tenant %s: %w", key.TenantID, err)
	}

	return sync.OnceFunc(func() {
		sh.locks.unlock(at)
		inProcess.unlock()
	}), nil
}

// Load implements tokens.ChainStore. It returns store.ErrKey when the tokens are
// encrypted with a key that is not configured, store.ErrPlain when a key is configured
// and they are not encrypted, and store.ErrTampered when they are not those that were
// written last.
func (c *Chains) Load(ctx context.Context, key tokens.ChainKey) (chain tokens.Chain, ok bool, err error) {
	err = c.s.view(ctx, c.s.sh.tokens, func(t tx) error {
		chain, ok, err = c.s.sh.anchor.Load(chainTable{t}, c.s.sh.key.Load(), key)
		return err
	})

	return chain, ok, err
}

// Save implements tokens.ChainStore. A Save that has begun is not stopped by the end of
// its context. It also writes the copy of tokens.db. A failure there is logged and not
// returned, since the chain itself is safe.
func (c *Chains) Save(ctx context.Context, key tokens.ChainKey, chain tokens.Chain, seeds ...[32]byte) error {
	return c.put(ctx, key, chain, seeds, func(seal.Row) error { return nil })
}

// Swap implements tokens.ChainStore.
func (c *Chains) Swap(ctx context.Context, key tokens.ChainKey, chain tokens.Chain, seeds ...[32]byte) error {
	return c.put(ctx, key, chain, seeds, func(old seal.Row) error {
		return old.CheckVersion(key, chain)
	})
}

// put makes a chain the newest state, unless allow returns an error for the stored row.
func (c *Chains) put(
	ctx context.Context,
	key tokens.ChainKey,
	chain tokens.Chain,
	seeds [][32]byte,
	allow func(old seal.Row) error,
) error {
	return c.change(context.WithoutCancel(ctx), func(t tx) ([]seal.Row, []seed, error) {
		old, _, err := c.s.sh.find(t, key)
		if err != nil {
			return nil, nil, err
		}

		if err := allow(old); err != nil {
			return nil, nil, err
		}

		row, err := seal.NewRow(c.s.sh.key.Load(), key, chain, old.Version+1)
		if err != nil {
			return nil, nil, err
		}

		marks := make([]seed, len(seeds))
		for i, fingerprint := range seeds {
			marks[i] = seed{key, fingerprint}
		}

		return []seal.Row{row}, marks, nil
	})
}

// SeedSeen implements tokens.ChainStore.
func (c *Chains) SeedSeen(ctx context.Context, key tokens.ChainKey, fingerprint [32]byte) (seen bool, err error) {
	err = c.s.view(ctx, c.s.sh.tokens, func(t tx) error {
		return t.row(
			`SELECT EXISTS (SELECT 1 FROM seeds
			WHERE login_host = ? AND tenant_id = ? AND client_id = ? AND fingerprint = ?)`,
			key.LoginHost,
			key.TenantID,
			key.ClientID,
			fingerprint[:],
		).Scan(&seen)
	})

	return seen, err
}

// List implements store.Chains.
func (c *Chains) List(ctx context.Context) (list []store.ChainInfo, err error) {
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

		return eachChain(rows, func(r *seal.Row) error {
			info, err := c.s.sh.anchor.Info(c.s.sh.key.Load(), r, barred)
			if err == nil {
				list = append(list, info)
			}

			return err
		})
	})

	return list, err
}

// Remove implements store.Chains.
func (c *Chains) Remove(ctx context.Context, key tokens.ChainKey) (removed bool, err error) {
	unlock, err := c.Lock(ctx, key)
	if err != nil {
		return false, err
	}
	defer unlock()

	err = c.change(ctx, func(t tx) ([]seal.Row, []seed, error) {
		old, ok, err := c.s.sh.find(t, key)

		removed = ok && !old.Removed
		if err != nil || !removed {
			return nil, nil, err
		}

		if err := dropAccess(t, key); err != nil {
			return nil, nil, err
		}

		return []seal.Row{seal.Removal(old)}, []seed{{key: key}}, nil
	})
	if removed && err == nil {
		c.wipe()
	}

	return removed, err
}

// Rekey implements store.Chains. Rows that are encrypted with the new key already are
// left as they are. It is logged if the rows did not fit the seal and were accepted all
// the same.
func (c *Chains) Rekey(ctx context.Context, newKey []byte) (changed int, err error) {
	if err := c.s.writable(); err != nil {
		return 0, err
	}

	to, err := seal.NewKey(newKey)
	if err != nil {
		return 0, err
	}

	release, err := c.s.sh.excludeInputs()
	if err != nil {
		return 0, fmt.Errorf("rekey: %w, and give it the new key_file before it starts again", err)
	}
	defer release()

	err = c.rewrite(ctx, to, func(t tx) ([]seal.Row, []seed, error) {
		rows, err := c.renewed(t, to, func(r *seal.Row) bool { return !r.Current(to) })
		changed = len(rows)

		if err == nil {
			err = t.exec(`DELETE FROM access`)
		}

		return rows, nil, err
	})
	if err != nil {
		return 0, err
	}

	c.s.sh.key.Store(to)
	c.wipe()

	return changed, nil
}

// renewed returns the rows for which need returns true, encrypted with another key.
func (c *Chains) renewed(t tx, to *seal.Key, need func(*seal.Row) bool) (out []seal.Row, err error) {
	err = chainTable{t}.Each(func(r *seal.Row) error {
		if r.Removed || !need(r) {
			return nil
		}

		row, err := r.Renew(c.s.sh.key.Load(), to)
		out = append(out, row)

		return err
	})

	return out, err
}

// upgrade encrypts tokens again that an older version encrypted with this key, and
// seals the file, so that older rows are recognised from then on.
func (c *Chains) upgrade(ctx context.Context) error {
	key := c.s.sh.key.Load()
	if key == nil || c.s.readOnly {
		return nil
	}

	return c.change(ctx, func(t tx) ([]seal.Row, []seed, error) {
		if c.s.sh.anchor.Sealed() {
			return nil, nil, nil
		}

		rows, err := c.renewed(t, key, func(r *seal.Row) bool { return r.Encrypted(key) })

		return rows, nil, err
	})
}

// wipe empties the write-ahead log. Otherwise the former state of a row, perhaps a
// plain token, would stay there until the log is overwritten. The pages of the file are
// overwritten by secure_delete. It is best effort: another process that reads at this
// moment prevents it.
func (c *Chains) wipe() {
	_ = c.s.sh.tokens.use(context.Background(), func() error {
		_, err := c.s.sh.tokens.db.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
		return err
	})
}

// unsealed counts the chains whose tokens are not encrypted with the configured key (or
// not plain without one), and returns the tenant of one of them.
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

			if key := c.s.sh.key.Load(); !key.Current(refresh) || !key.Current(previous) {
				n, example = n+1, tenant
			}
		}

		return rows.Err()
	})

	return n, example, err
}
