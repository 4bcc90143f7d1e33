package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
	"fluent-bit-defender/internal/tick"
)

// historyStep is the least time between two remembered checkpoints of a unit.
const historyStep = 10 * time.Second

// ofUnit is the condition for the rows of one unit; keyArgs are its arguments.
const ofUnit = `login_host = $1::text AND tenant_id = $2::text AND api = $3::text AND state_id = $4::text`

func keyArgs(key alert.UnitKey, more ...any) []any {
	return append([]any{key.LoginHost, string(key.TenantID), string(key.API), key.StateID}, more...)
}

// policy says how much of its units this opening keeps for a takeover.
func (s *Store) policy() unitstate.Policy {
	return unitstate.Policy{Window: s.held.self().TakeoverReplay + unitstate.Span, Step: historyStep}
}

// writing is a transaction that writes to units.
type writing struct {
	s *Store
	t pgx.Tx
	// now is when it writes, by the clock of the database. An opening without inputs
	// writes what no takeover undoes: its moment is the first of all.
	now unitstate.Moment
	// stamp names the transaction.
	stamp int64
	units map[alert.UnitKey]*unitRow
	// fenced are the units that this opening may not write to.
	fenced []alert.UnitKey
}

// unitRow is what the tables say of a unit.
type unitRow struct {
	id     int64
	stamp  int64
	replay bool
	state  unitstate.State
	parts  unitstate.Parts
}

// write runs fn in a transaction that has locked the units it may write to. fn is not run
// when there are none. It returns a FencedError for the others; what fn wrote stands all
// the same. When the connection breaks while the transaction is committed, the stamp
// says whether it was.
func (s *Store) write(ctx context.Context, name string, keys []alert.UnitKey,
	fn func(ctx context.Context, w *writing) error,
) error {
	if err := s.writes.lock(ctx); err != nil {
		return err
	}
	defer s.writes.unlock()

	var w *writing

	run := func() error {
		return s.update(ctx, name, func(ctx context.Context, t pgx.Tx) error {
			w = &writing{
				s:     s,
				t:     t,
				stamp: rand.Int64(),
				units: make(map[alert.UnitKey]*unitRow),
			}

			if err := w.lock(ctx, keys); err != nil || len(w.units) == 0 {
				return err
			}

			if err := fn(ctx, w); err != nil {
				return err
			}

			return w.sign(ctx)
		})
	}

	err := run()
	for n := 1; errors.Is(err, errUnknown) && n < mostAttempts; n++ {
		done, checkErr := s.wasWritten(ctx, w)
		if checkErr != nil {
			return errors.Join(err, checkErr)
		}

		if done {
			err = nil
		} else {
			err = run()
		}
	}

	if err == nil && len(w.fenced) > 0 {
		return &store.FencedError{Units: w.fenced}
	}

	return err
}

// lock locks the rows of units, in the order of their ids, and reads them. An opening
// with inputs gets only units that it holds under its epoch, another one only those that
// nobody holds; it makes rows that are missing.
func (w *writing) lock(ctx context.Context, keys []alert.UnitKey) error {
	var (
		ids, epochs []int64
		names       = make(map[int64]alert.UnitKey)
	)

	if !w.s.o.Inputs {
		made, err := w.makeRows(ctx, keys)
		if err != nil {
			return err
		}

		names = made
	}

	for _, key := range keys {
		if u := w.s.held.unit(key); u != nil {
			names[u.id] = key
		}
	}

	for id, key := range names {
		epoch := int64(0)
		if u := w.s.held.unit(key); u != nil {
			epoch = u.epoch
		}

		ids, epochs = append(ids, id), append(epochs, epoch)
	}

	if len(ids) > 0 {
		if err := w.readRows(ctx, ids, epochs, names); err != nil {
			return err
		}
	}

	for _, key := range keys {
		if w.units[key] == nil {
			w.fenced = append(w.fenced, key)
		}
	}

	return nil
}

// makeRows makes the rows of units that are not known yet, and returns the ids of all.
func (w *writing) makeRows(ctx context.Context, keys []alert.UnitKey) (map[int64]alert.UnitKey, error) {
	q := wantedUnits(keys)

	if _, err := w.t.Exec(ctx, `WITH `+wantedTable+insertUnits, q.loginHosts, q.tenants, q.apis, q.states); err != nil {
		return nil, err
	}

	rows, err := w.t.Query(ctx, `WITH `+wantedTable+`
		SELECT u.id, u.login_host, u.tenant_id, u.api, u.state_id
		FROM wanted w JOIN defender.units u USING (login_host, tenant_id, api, state_id)`,
		q.loginHosts, q.tenants, q.apis, q.states)
	if err != nil {
		return nil, err
	}

	var (
		id   int64
		key  alert.UnitKey
		made = make(map[int64]alert.UnitKey)
	)

	_, err = pgx.ForEachRow(rows, []any{&id, &key.LoginHost, &key.TenantID, &key.API, &key.StateID}, func() error {
		made[id] = key
		return nil
	})

	return made, err
}

// readRows locks and reads the rows with these ids that may be written to. The lists of
// parts are read after the locks are there.
func (w *writing) readRows(ctx context.Context, ids, epochs []int64, names map[int64]alert.UnitKey) error {
	batch := &pgx.Batch{}

	batch.Queue(`SELECT u.id, u.stamp, u.replay, u.state,
			(extract(epoch FROM defender.clock()) * 1000000)::bigint
		FROM defender.units u JOIN unnest($1::bigint[], $2::bigint[]) AS h (id, epoch) USING (id)
		WHERE CASE WHEN $3::text = '' THEN u.owner IS NULL ELSE u.owner = $3::text AND u.epoch = h.epoch END
		ORDER BY u.id FOR UPDATE OF u`, ids, epochs, w.s.held.self().ID)
	batch.Queue(partsQuery, ids)

	results := w.t.SendBatch(ctx, batch)
	err := w.scanRows(results, names)

	return errors.Join(err, results.Close())
}

// partsQuery asks for the parts of the seen-sets of units, without their entries.
const partsQuery = `SELECT unit, seq, (extract(epoch FROM at) * 1000000)::bigint, n, newest
	FROM defender.seen WHERE unit = ANY ($1::bigint[]) ORDER BY unit, seq`

// scanRows reads the answers to the queries of readRows.
func (w *writing) scanRows(results pgx.BatchResults, names map[int64]alert.UnitKey) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}

	var (
		r    unitRow
		data []byte
		now  int64
		byID = make(map[int64]*unitRow)
	)

	_, err = pgx.ForEachRow(rows, []any{&r.id, &r.stamp, &r.replay, &data, &now}, func() error {
		row := r
		row.state = w.s.decoded(names[r.id], data)
		byID[r.id] = &row
		w.units[names[r.id]] = &row

		if w.s.o.Inputs {
			w.now.At = time.Duration(now) * time.Microsecond
		}

		return nil
	})
	if err != nil {
		return err
	}

	if rows, err = results.Query(); err != nil {
		return err
	}

	return readParts(rows, byID)
}

// readParts reads the answer to partsQuery.
func readParts(rows pgx.Rows, byID map[int64]*unitRow) error {
	var (
		unit, at int64
		p        unitstate.Part
	)

	_, err := pgx.ForEachRow(rows, []any{&unit, &p.Seq, &at, &p.N, &p.Newest}, func() error {
		row := byID[unit]
		if row == nil {
			return nil
		}

		p.When = unitstate.Moment{At: time.Duration(at) * time.Microsecond}
		row.parts.List = append(row.parts.List, p)
		row.parts.Next = p.Seq + 1

		return nil
	})

	return err
}

// decoded returns the state in a unit's row. One that is damaged is reported, and counts
// as none: the other units are good, and the next commit writes a good one.
func (s *Store) decoded(key alert.UnitKey, data []byte) unitstate.State {
	if data == nil {
		return unitstate.State{}
	}

	state, err := unitstate.DecodeShared(data)
	if err != nil {
		s.o.Log.Error(fmt.Sprintf("%s: the checkpoint of tenant %s, api %s, is lost (%v): polling it restarts from "+
			"lookback, alerts may be emitted again", s.where, key.TenantID, key.API, err))

		return unitstate.State{}
	}

	return state
}

// sign leaves the stamp of the transaction in the units that it has written to.
func (w *writing) sign(ctx context.Context) error {
	ids := make([]int64, 0, len(w.units))
	for _, u := range w.units {
		ids = append(ids, u.id)
	}

	_, err := w.t.Exec(ctx, `UPDATE defender.units SET stamp = $2::bigint WHERE id = ANY ($1::bigint[])`, ids, w.stamp)

	return err
}

// wasWritten reports whether a transaction was committed of which nobody knows.
func (s *Store) wasWritten(ctx context.Context, w *writing) (done bool, err error) {
	for _, u := range w.units {
		err = s.view(context.WithoutCancel(ctx), "stamp", func(ctx context.Context, q querier) error {
			return q.QueryRow(ctx, `SELECT stamp = $2::bigint FROM defender.units WHERE id = $1::bigint`,
				u.id, w.stamp).Scan(&done)
		})

		if errors.Is(err, pgx.ErrNoRows) {
			return false, nil // it is forgotten
		}

		return done, err
	}

	return true, nil // nothing was to be written
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
		var tables []*partTable

		for i := range commits {
			c := &commits[i]

			u := w.units[c.Key]
			if u == nil {
				continue
			}

			table, err := w.commit(ctx, u, c)
			if err != nil {
				return err
			}

			tables = append(tables, table)
		}

		return w.save(ctx, tables, commits)
	})
}

// commit works a commit into the row of its unit, and returns what becomes of its
// seen-set.
func (w *writing) commit(ctx context.Context, u *unitRow, c *store.Commit) (*partTable, error) {
	policy := w.s.policy()
	u.state.Push(unitstate.Progress{When: w.now, Checkpoint: c.Checkpoint}, policy)
	u.replay = c.Checkpoint.Replay

	table := w.parts(ctx, u)
	if len(c.Seen) > 0 {
		if err := u.parts.Add(table, c.Seen, w.now); err != nil {
			return nil, err
		}
	}

	return table, u.parts.Compact(table, u.state.DurablePrune(w.now, policy), w.now, policy)
}

// save writes states, seen-sets and deferred work in one message.
func (w *writing) save(ctx context.Context, tables []*partTable, commits []store.Commit) error {
	batch := &pgx.Batch{}
	w.queueStates(batch)
	queueParts(batch, tables)

	for i := range commits {
		c := &commits[i]

		u := w.units[c.Key]
		if u == nil {
			continue
		}

		for _, d := range c.Deferred {
			d.ID = 0
			w.queueDeferred(batch, u, d)
		}

		for _, id := range c.Dropped {
			w.queueDrop(batch, u, id)
		}
	}

	if err := w.t.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}

	return nil
}

// queueStates queues the states of all units.
func (w *writing) queueStates(batch *pgx.Batch) {
	var (
		ids     []int64
		states  [][]byte
		replays []bool
	)

	for _, u := range w.units {
		ids, states, replays = append(ids, u.id), append(states, u.state.EncodeShared()), append(replays, u.replay)
	}

	batch.Queue(`UPDATE defender.units u SET state = c.state, replay = c.replay
		FROM unnest($1::bigint[], $2::bytea[], $3::boolean[]) AS c (id, state, replay) WHERE u.id = c.id`,
		ids, states, replays)
}

// Load implements store.Units. A part of the seen-set that is damaged is left out, and
// logged.
func (s *Store) Load(ctx context.Context, key alert.UnitKey) (
	c store.Checkpoint, seen []store.Seen, ok bool, err error,
) {
	err = s.view(ctx, "load", func(ctx context.Context, q querier) error {
		c, seen, ok = store.Checkpoint{}, nil, false

		// One statement: what it reads belongs together.
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

	return pending, err
}

// ApplyRewind implements store.Units.
func (s *Store) ApplyRewind(ctx context.Context, key alert.UnitKey) (c store.Checkpoint, ok bool, err error) {
	err = s.write(ctx, "apply-rewind", []alert.UnitKey{key}, func(ctx context.Context, w *writing) error {
		c, ok = store.Checkpoint{}, false

		var since tick.Tick

		err := w.t.QueryRow(ctx, `DELETE FROM defender.rewinds WHERE `+ofUnit+` RETURNING since`, keyArgs(key)...).
			Scan(&since)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}

		u := w.units[key]
		if err != nil || !u.state.Has {
			return err
		}

		u.state.Rewind(since)

		c, ok = u.state.Now.Checkpoint, true
		c.Replay = u.replay

		table := w.parts(ctx, u)
		if err := u.parts.Filter(table, since); err != nil {
			return err
		}

		return w.save(ctx, []*partTable{table}, nil)
	})
	if err != nil {
		return store.Checkpoint{}, false, err
	}

	return c, ok, nil
}

// ClearRewind implements store.Units.
func (s *Store) ClearRewind(ctx context.Context, key alert.UnitKey) error {
	return s.update(ctx, "clear-rewind", func(ctx context.Context, t pgx.Tx) error {
		_, err := t.Exec(ctx, `DELETE FROM defender.rewinds WHERE `+ofUnit, keyArgs(key)...)

		return err
	})
}

// Forget implements store.Units. It refuses while a live node holds the unit.
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

		for _, table := range []string{"status", "deferred", "seen"} {
			batch.Queue(`DELETE FROM defender.`+table+` WHERE unit = $1::bigint`, id)
		}

		batch.Queue(`DELETE FROM defender.units WHERE id = $1::bigint`, id)

		return t.SendBatch(ctx, batch).Close()
	})

	return known && err == nil, err
}

// clean makes a text of unknown origin fit for the database, which takes no other.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
