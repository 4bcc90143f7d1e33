package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
	"fluent-bit-defender/internal/tick"
)

// How far apart two remembered checkpoints of a unit are: an undo goes back by at most
// this much too far. The distance grows with the window (one of historyParts of it,
// between minStep and maxStep), since all of them are written with each commit.
const (
	minStep      = 10 * time.Second
	maxStep      = time.Minute
	historyParts = 15
)

// How long after the last renewal of a node that died the holders of units that it had
// given away may go on with them before they release them: recallTTLs lease times and
// recallTime. For that long, in addition, it is kept what was delivered before.
const (
	recallTTLs = 2
	recallTime = 10 * time.Second
)

// ofUnit is the condition for the rows of one unit; keyArgs are its arguments.
const ofUnit = `login_host = $1::text AND tenant_id = $2::text AND api = $3::text AND state_id = $4::text`

func keyArgs(key alert.UnitKey, more ...any) []any {
	return append([]any{key.LoginHost, string(key.TenantID), string(key.API), key.StateID}, more...)
}

// policy returns how much this opening keeps of its units for a takeover.
func (s *Store) policy() unitstate.Policy {
	self := s.held.self()
	replay := self.TakeoverReplay

	return unitstate.Policy{
		Window: replay + self.TTL*recallTTLs + recallTime + unitstate.Span,
		Step:   min(max(minStep, replay/historyParts), maxStep),
	}
}

// Commit implements store.Units.
func (s *Store) Commit(ctx context.Context, commits []store.Commit) error {
	if len(commits) == 0 {
		return ctx.Err()
	}

	keys := make([]alert.UnitKey, len(commits))
	for i := range commits {
		keys[i] = commits[i].Key
	}

	return s.write(ctx, "commit", keys, func(ctx context.Context, w *writing) error {
		for i := range commits {
			c := &commits[i]

			u := w.units[c.Key]
			if u == nil {
				continue
			}

			if err := w.commit(ctx, u, c); err != nil {
				return err
			}
		}

		return nil
	})
}

// commit adds a commit to the row of its unit. It leaves out what an earlier call has
// written without its caller knowing.
func (w *writing) commit(ctx context.Context, u *unitRow, c *store.Commit) error {
	seen, deferred := w.s.doubts.left(c)
	w.doing(c.Key, doubt{seen: slices.Clone(seen), deferred: deferred, isCommit: true})

	policy := w.s.policy()
	u.state.Push(unitstate.Progress{When: w.now, Checkpoint: c.Checkpoint}, policy)
	u.replay = c.Checkpoint.Replay

	table := w.parts(ctx, u)
	if len(seen) > 0 {
		if err := u.parts.Add(table, seen, w.now); err != nil {
			return err
		}
	}

	for _, d := range deferred {
		d.ID = 0

		if _, err := w.queuePut(ctx, u, d); err != nil {
			return err
		}
	}

	for _, id := range c.Dropped {
		w.queueDrop(u, id)
	}

	return u.parts.Compact(table, u.state.DurablePrune(w.now, policy), w.now, policy)
}

// Load implements store.Units. It leaves out, and logs, a damaged part of the seen-set.
func (s *Store) Load(ctx context.Context, key alert.UnitKey) (
	c store.Checkpoint, seen []store.Seen, ok bool, err error,
) {
	if err := s.reloaded(ctx, key); err != nil {
		return store.Checkpoint{}, nil, false, s.explain(err)
	}

	err = s.view(ctx, "load", func(ctx context.Context, q querier) error {
		c, seen, ok = store.Checkpoint{}, nil, false

		// One statement, so that what it reads is from one moment.
		rows, err := q.Query(ctx, `SELECT u.replay, u.state, s.data
			FROM defender.units u LEFT JOIN defender.seen s ON s.unit = u.id
			WHERE `+ofUnit+` ORDER BY s.seq`, keyArgs(key)...)
		if err != nil {
			return err
		}

		var (
			replay      bool
			state, data []byte
			read        bool
		)

		_, err = pgx.ForEachRow(rows, []any{&replay, &state, &data}, func() error {
			if !read {
				decoded := s.decoded(key, state)
				c, ok, read = decoded.Now.Checkpoint, decoded.Has, true
				c.Replay = replay
			}

			if data == nil {
				return nil
			}

			var err error
			if seen, err = unitstate.DecodeSeen(seen, data, c.SeenSince); err != nil {
				s.o.Log.Error(fmt.Sprintf("%s: %v: some alerts may be emitted again", s.where, err))
			}

			return nil
		})

		return err
	})

	return c, seen, ok, err
}

// Keys implements store.Units.
func (s *Store) Keys(ctx context.Context) (keys []alert.UnitKey, err error) {
	err = s.view(ctx, "keys", func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, `SELECT login_host, tenant_id, api, state_id FROM defender.units`)
		if err != nil {
			return err
		}

		keys, err = pgx.CollectRows(rows, scanKey)

		return err
	})

	slices.SortFunc(keys, func(a, b alert.UnitKey) int {
		return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.API, b.API),
			cmp.Compare(a.StateID, b.StateID), cmp.Compare(a.LoginHost, b.LoginHost))
	})

	return keys, err
}

// Rewind implements store.Units.
func (s *Store) Rewind(ctx context.Context, key alert.UnitKey, since tick.Tick) error {
	return s.update(ctx, "rewind", func(ctx context.Context, t pgx.Tx) error {
		_, err := t.Exec(ctx, `INSERT INTO defender.rewinds AS r (login_host, tenant_id, api, state_id, since)
			VALUES ($1::text, $2::text, $3::text, $4::text, $5::bigint)
			ON CONFLICT (login_host, tenant_id, api, state_id)
			DO UPDATE SET since = least(r.since, excluded.since)`, keyArgs(key, int64(since))...)

		return err
	})
}

// PendingRewind implements store.Units.
func (s *Store) PendingRewind(ctx context.Context, keys ...alert.UnitKey) (
	pending map[alert.UnitKey]tick.Tick, err error,
) {
	err = s.view(ctx, "rewinds", func(ctx context.Context, q querier) error {
		pending = make(map[alert.UnitKey]tick.Tick)

		rows, err := q.Query(ctx, `SELECT login_host, tenant_id, api, state_id, since FROM defender.rewinds`)
		if err != nil {
			return err
		}

		var (
			key   alert.UnitKey
			since tick.Tick
		)

		_, err = pgx.ForEachRow(rows, []any{&key.LoginHost, &key.TenantID, &key.API, &key.StateID, &since},
			func() error {
				if len(keys) == 0 || slices.Contains(keys, key) {
					pending[key] = since
				}

				return nil
			})

		return err
	})
	if err == nil {
		s.doubts.addRewinds(pending, keys)
	}

	return pending, err
}

// ApplyRewind implements store.Units.
func (s *Store) ApplyRewind(ctx context.Context, key alert.UnitKey) (c store.Checkpoint, ok bool, err error) {
	err = s.write(ctx, "apply-rewind", []alert.UnitKey{key}, func(ctx context.Context, w *writing) error {
		c, ok = store.Checkpoint{}, false

		var (
			since tick.Tick
			u     = w.units[key]
		)

		err := w.q.QueryRow(ctx, `SELECT since FROM defender.rewinds WHERE `+ofUnit, keyArgs(key)...).Scan(&since)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}

		before := s.doubts.rewound(key)

		switch {
		case err != nil && before == nil:
			return nil // there is no request
		case err != nil:
			since = before.since
		case before != nil:
			since = min(since, before.since)
		}

		// A request for an earlier time that came meanwhile stays.
		w.queue(`DELETE FROM defender.rewinds WHERE `+ofUnit+` AND since >= $5::bigint
			AND EXISTS (SELECT FROM defender.units u WHERE u.id = $6::bigint AND u.stamp = $7::bigint)`,
			keyArgs(key, int64(since), u.id, w.stamp)...)

		if !u.state.Has {
			return nil
		}

		u.state.Rewind(since)

		c, ok = u.state.Now.Checkpoint, true
		c.Replay = u.replay

		w.doing(key, doubt{rewind: &rewound{since}})

		return u.parts.Filter(w.parts(ctx, u), since)
	})
	if err != nil {
		return store.Checkpoint{}, false, err
	}

	s.doubts.takeRewind(key)

	return c, ok, nil
}

// ClearRewind implements store.Units.
func (s *Store) ClearRewind(ctx context.Context, key alert.UnitKey) error {
	return s.update(ctx, "clear-rewind", func(ctx context.Context, t pgx.Tx) error {
		_, err := t.Exec(ctx, `DELETE FROM defender.rewinds WHERE `+ofUnit, keyArgs(key)...)

		return err
	})
}

// Forget implements store.Units. It returns store.ErrInUse while a live node holds the
// unit.
func (s *Store) Forget(ctx context.Context, key alert.UnitKey) (known bool, err error) {
	err = s.update(ctx, "forget", func(ctx context.Context, t pgx.Tx) error {
		known = false

		var (
			id   int64
			node *string
		)

		err := t.QueryRow(ctx, `SELECT u.id,
				(SELECT n.id FROM defender.nodes n WHERE n.id = u.owner AND n.expires_at >= defender.clock())
			FROM defender.units u WHERE `+ofUnit+` FOR UPDATE OF u`, keyArgs(key)...).Scan(&id, &node)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}

		known = err == nil

		if node != nil {
			return fmt.Errorf("%s: tenant %s, api %s: %w: the node %s polls it; take it out of the configuration of "+
				"all nodes first", s.where, key.TenantID, key.API, store.ErrInUse, *node)
		}

		batch := &pgx.Batch{}
		batch.Queue(`DELETE FROM defender.rewinds WHERE `+ofUnit, keyArgs(key)...)

		for _, table := range []string{"status", "deferred", "seen", "given"} {
			batch.Queue(`DELETE FROM defender.`+table+` WHERE unit = $1::bigint`, id)
		}

		batch.Queue(`DELETE FROM defender.units WHERE id = $1::bigint`, id)

		return t.SendBatch(ctx, batch).Close()
	})

	return known && err == nil, err
}

// clean returns a text of unknown origin in the form that the database accepts.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
