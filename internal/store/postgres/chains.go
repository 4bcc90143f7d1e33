package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/tokens"
)

// chainState is what a Store needs for its chains.
type chainState struct {
	once sync.Once // initialises the fields below

	sealing turn        // one use of the anchor at a time
	anchor  seal.Anchor // guarded by sealing
	// verifiedOn is the timeline of the server when the tokens were last verified;
	// guarded by sealing.
	verifiedOn string

	chainLocks chainLocks
	pooled     atomic.Bool   // a pooler is between this process and the database
	lockPlaces chan struct{} // the chains that are locked then, or about to be
}

// Chains is the part of a Store that keeps refresh tokens. It implements store.Chains.
type Chains struct{ s *Store }

var _ store.Chains = (*Chains)(nil)

// Tokens implements store.Store.
func (s *Store) Tokens() store.Chains { return s.chains() }

func (s *Store) chains() *Chains {
	s.once.Do(func() {
		s.sealing = newTurn()
		s.lockPlaces = make(chan struct{}, maxPooledLocks)
		s.anchor = seal.Anchor{
			Where:  s.where,
			Remedy: "Put back the newest good backup of the database",
		}
	})

	return &Chains{s}
}

// Load implements tokens.ChainStore. It returns store.ErrKey when the tokens are
// encrypted with a key that is not configured, store.ErrPlain when a key is configured
// and they are not encrypted, and store.ErrTampered when they are not those that were
// written last.
func (c *Chains) Load(ctx context.Context, key tokens.ChainKey) (chain tokens.Chain, ok bool, err error) {
	err = c.read(ctx, "load chain", func(t chainTable) (err error) {
		if err = c.s.checkSeal(t); err != nil {
			return err
		}

		chain, ok, err = c.s.anchor.Load(t, c.s.key.Load(), key)

		return err
	})

	return chain, ok, err
}

// find reads the row of a chain, and returns an error if it does not fit the seal. The
// caller has called useAnchor.
func (c *Chains) find(t chainTable, key tokens.ChainKey) (seal.Row, bool, error) {
	if err := c.s.checkSeal(t); err != nil {
		return seal.Row{}, false, err
	}

	return c.s.anchor.Find(t, c.s.key.Load(), key)
}

// read runs fn on the table as it is at one moment. fn may use the anchor.
func (c *Chains) read(ctx context.Context, name string, fn func(t chainTable) error) error {
	unlock, err := c.useAnchor(ctx)
	if err != nil {
		return err
	}
	defer unlock()

	return c.s.call(ctx, readCall, name, func(ctx context.Context) error {
		if c.s.empty {
			return nil
		}

		return c.s.attempts(ctx, func(conn *pgxpool.Conn) (again bool, err error) {
			t, err := begin(ctx, conn, beginRead, c.s.limits())
			if err != nil {
				return broken(err), err
			}

			err = fn(chainTable{ctx, t})
			ended := t.Rollback(ctx) // nothing was written

			if err == nil {
				err = ended
			}

			return broken(err), err
		})
	})
}

// useAnchor waits until nobody else of this process uses the anchor.
func (c *Chains) useAnchor(ctx context.Context) (unlock func(), err error) {
	if c.s.closed.Load() {
		return nil, store.ErrClosed
	}

	limited, cancel := context.WithTimeout(ctx, c.s.o.CallLimit)
	defer cancel()

	if err := c.s.sealing.lock(limited); err != nil {
		return nil, errors.Join(ctx.Err(), c.s.explain(err))
	}

	return c.s.sealing.unlock, nil
}

// Save implements tokens.ChainStore. A Save that has begun is not stopped by the end of
// its context.
func (c *Chains) Save(ctx context.Context, key tokens.ChainKey, chain tokens.Chain, seeds ...[32]byte) error {
	return c.put(ctx, "save chain", key, chain, seeds, func(seal.Row) error { return nil })
}

// Swap implements tokens.ChainStore.
func (c *Chains) Swap(ctx context.Context, key tokens.ChainKey, chain tokens.Chain, seeds ...[32]byte) error {
	return c.put(ctx, "swap chain", key, chain, seeds, func(old seal.Row) error {
		return old.CheckVersion(key, chain)
	})
}

// put makes a chain the newest state, unless allow returns an error for the stored row.
func (c *Chains) put(
	ctx context.Context,
	name string,
	key tokens.ChainKey,
	chain tokens.Chain,
	seeds [][32]byte,
	allow func(old seal.Row) error,
) error {
	chain.Account, chain.TenantName = storable(chain.Account), storable(chain.TenantName)

	return c.change(context.WithoutCancel(ctx), name, func(t chainTable) ([]seal.Row, error) {
		old, _, err := c.find(t, key)
		if err != nil {
			return nil, err
		}

		if err := allow(old); err != nil {
			return nil, err
		}

		row, err := seal.NewRow(c.s.key.Load(), key, chain, old.Version+1)
		if err != nil {
			return nil, err
		}

		for _, fingerprint := range seeds {
			if err := t.exec(`INSERT INTO defender.seeds (login_host, tenant_id, client_id, fingerprint)
				VALUES ($1::text, $2::text, $3::text, $4::bytea) ON CONFLICT DO NOTHING`,
				key.LoginHost, key.TenantID, key.ClientID, fingerprint[:]); err != nil {
				return nil, err
			}
		}

		return []seal.Row{row}, nil
	})
}

// storable returns a text in the form that PostgreSQL accepts: UTF-8 without the
// character 0.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
}

// alteration is one change to the table of chains.
type alteration struct {
	c  *Chains
	fn func(t chainTable) ([]seal.Row, error)
	// key encrypts the seal. anyway accepts what is stored even if it does not fit the
	// seal.
	key    *seal.Key
	anyway bool
	// rows were written, and sealed is the seal with them. barred is the error of the
	// check of the seal.
	rows   []seal.Row
	sealed seal.Change
	barred error
}

// change writes the rows that fn returns, with their seal, in a transaction. No other
// change of chains comes in between. fn may use the anchor, and is run again when the
// connection breaks.
func (c *Chains) change(ctx context.Context, name string, fn func(t chainTable) ([]seal.Row, error)) error {
	return c.alter(ctx, name, &alteration{c: c, fn: fn, key: c.s.key.Load()})
}

func (c *Chains) alter(ctx context.Context, name string, a *alteration) error {
	if err := c.s.writable(); err != nil {
		return err
	}

	unlock, err := c.useAnchor(ctx)
	if err != nil {
		return err
	}
	defer unlock()

	err = c.s.update(ctx, name, a.run)
	if errors.Is(err, errUnknown) && a.isStored(ctx) {
		err = nil
	}

	if err != nil || a.idle() {
		return err
	}

	c.s.anchor.Commit(a.sealed)

	if a.barred != nil {
		c.s.o.Log.Warn(fmt.Sprintf("the tokens in %s were accepted, although: %v", c.s.where, a.barred))
	}

	return nil
}

// idle reports whether nothing had to be written.
func (a *alteration) idle() bool { return len(a.rows) == 0 && !a.anyway }

// run carries a change out in a transaction.
func (a *alteration) run(ctx context.Context, tx pgx.Tx) (err error) {
	t := chainTable{ctx, tx}

	generation, err := t.lockGeneration()
	if err != nil {
		return err
	}

	a.barred = a.c.s.checkSeal(t)
	if a.barred != nil && (!a.anyway || !errors.Is(a.barred, tokens.ErrBarred)) {
		return a.barred
	}

	a.rows, err = a.fn(t)
	if err != nil || a.idle() {
		return err
	}

	for i := range a.rows {
		if err := t.write(&a.rows[i]); err != nil {
			return err
		}
	}

	if err := t.putGeneration(generation + 1); err != nil {
		return err
	}

	a.sealed, err = a.c.s.anchor.Reseal(t, a.key, generation+1, a.rows, a.anyway)

	return err
}

// isStored reports, after a COMMIT without an answer, whether the change was made.
// Neither an encrypted text nor a version is ever the same twice.
func (a *alteration) isStored(ctx context.Context) bool {
	if len(a.rows) == 0 {
		return false
	}

	same := false

	err := a.c.s.view(ctx, "load chain", func(ctx context.Context, q querier) error {
		same = false

		r, ok, err := chainTable{ctx, q}.Find(a.rows[0].Key)
		same = ok && string(r.Bytes()) == string(a.rows[0].Bytes())

		return err
	})

	return err == nil && same
}

// SeedSeen implements tokens.ChainStore.
func (c *Chains) SeedSeen(ctx context.Context, key tokens.ChainKey, fingerprint [32]byte) (seen bool, err error) {
	err = c.s.view(ctx, "seed", func(ctx context.Context, q querier) error {
		return q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM defender.seeds
			WHERE login_host = $1::text AND tenant_id = $2::text AND client_id = $3::text AND fingerprint = $4::bytea)`,
			key.LoginHost, key.TenantID, key.ClientID, fingerprint[:]).Scan(&seen)
	})

	return seen, err
}

// List implements store.Chains.
func (c *Chains) List(ctx context.Context) (list []store.ChainInfo, err error) {
	err = c.read(ctx, "list chains", func(t chainTable) error {
		list = nil

		barred := c.s.checkSeal(t)
		if barred != nil && !errors.Is(barred, tokens.ErrBarred) {
			return barred
		}

		return t.each(`WHERE NOT removed ORDER BY tenant_id COLLATE "C", client_id COLLATE "C", login_host COLLATE "C"`,
			func(r *seal.Row) error {
				info, err := c.s.anchor.Info(c.s.key.Load(), r, barred)
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

	err = c.change(ctx, "remove chain", func(t chainTable) ([]seal.Row, error) {
		old, ok, err := c.find(t, key)

		removed = ok && !old.Removed
		if err != nil || !removed {
			return nil, err
		}

		for _, table := range []string{"access", "seeds"} {
			if err := t.exec(`DELETE FROM defender.`+table+` WHERE `+ofChain, chainArgs(key)...); err != nil {
				return nil, err
			}
		}

		return []seal.Row{seal.Removal(old)}, nil
	})

	return removed && err == nil, err
}

// Rekey implements store.Chains. Rows that are encrypted with the new key already are
// left as they are. It is logged if the rows did not fit the seal and were accepted all
// the same.
func (c *Chains) Rekey(ctx context.Context, newKey []byte) (changed int, err error) {
	to, err := seal.NewKey(newKey)
	if err != nil {
		return 0, err
	}

	err = c.alter(ctx, "rekey", &alteration{
		c:      c,
		key:    to,
		anyway: true,
		fn: func(t chainTable) (rows []seal.Row, err error) {
			if err := t.excludeNodes(); err != nil {
				return nil, fmt.Errorf("rekey: %w; stop every node, rekey, set key_file, start them again", err)
			}

			rows, err = c.renewed(t, to)
			changed = len(rows)

			if err == nil {
				err = t.exec(`DELETE FROM defender.access`)
			}

			return rows, err
		},
	})
	if err != nil {
		return 0, err
	}

	c.s.key.Store(to)

	return changed, nil
}

// renewed returns the rows that are not encrypted with a key yet, encrypted with it.
func (c *Chains) renewed(t chainTable, to *seal.Key) (out []seal.Row, err error) {
	err = t.Each(func(r *seal.Row) error {
		if r.Removed || r.Current(to) {
			return nil
		}

		row, err := r.Renew(c.s.key.Load(), to)
		out = append(out, row)

		return err
	})

	return out, err
}
