package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
)

// writing is one attempt to write to units. What the tables say of units that are held is
// known, so nothing is read, and all statements go to the database in one message, which
// is one transaction. The first one writes the states of those units that are still as
// this process knows them, under its epoch, and leaves its stamp there; the others write
// only where that stamp is.
type writing struct {
	s *Store
	q querier
	// now is when it writes, by the clock of the database. An opening without inputs
	// writes what no takeover undoes: its moment is the first of all.
	now unitstate.Moment
	// stamp names the attempt.
	stamp  int64
	units  map[alert.UnitKey]*unitRow
	tables []*partTable
	batch  pgx.Batch // what follows the states
	doubts map[alert.UnitKey]doubt
}

// unitRow is what the tables say of a unit.
type unitRow struct {
	id     int64
	epoch  int64
	stamp  int64
	replay bool
	state  unitstate.State
	parts  unitstate.Parts
}

func (u *unitRow) clone() *unitRow {
	c := *u
	c.state, c.parts = u.state.Clone(), u.parts.Clone()

	return &c
}

// doing notes what is written to a unit, in case that nobody answers.
func (w *writing) doing(key alert.UnitKey, d doubt) { w.doubts[key] = d }

// queue adds a statement to the message. One that writes depends on the stamp.
func (w *writing) queue(sql string, args ...any) *pgx.QueuedQuery { return w.batch.Queue(sql, args...) }

// plan decides what is written to the units of an attempt.
type plan func(ctx context.Context, w *writing) error

// write writes to units what the plan says. It returns a FencedError for those that this
// opening may not write to; what is written to the others stands. The given context ends
// the wait before it, and not the writing.
func (s *Store) write(ctx context.Context, name string, keys []alert.UnitKey, p plan) error {
	if err := s.writable(); err != nil {
		return err
	}

	wait, cancel := context.WithTimeout(ctx, s.o.CallLimit)
	defer cancel()

	if err := s.writes.lock(wait); err != nil {
		return errors.Join(ctx.Err(), s.explain(err))
	}
	defer s.writes.unlock()

	var (
		fenced []alert.UnitKey
		made   = make(map[alert.UnitKey]doubt)
	)

	err := s.call(ctx, writes, name, func(ctx context.Context) error {
		left := slices.Clone(keys)

		for n := 1; ; n++ {
			refused, stale, err := s.attempt(ctx, left, p, made)
			fenced = append(fenced, refused...)

			if err == nil && len(stale) == 0 {
				return nil
			}

			again := err == nil || broken(err) || again40(err)
			if err == nil {
				left = stale // the others are written
				err = fmt.Errorf("%s: %w by another process that uses this node_id", s.where, store.ErrBusy)
			}

			if !again || n >= mostAttempts || ctx.Err() != nil {
				return err
			}
		}
	})

	for key, d := range made {
		s.doubts.made(key, d, err == nil)
	}

	if err == nil && len(fenced) > 0 {
		s.doubts.forget(fenced...)

		return &store.FencedError{Units: fenced}
	}

	return err
}

// attempt writes once, and adds to made what it wrote to which unit. It returns the units
// that this opening may not write to, and those that turned out not to be as this process
// knew them: nothing is written to them.
func (s *Store) attempt(ctx context.Context, keys []alert.UnitKey, p plan, made map[alert.UnitKey]doubt) (
	fenced, stale []alert.UnitKey, err error,
) {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { s.release(ctx, c, err) }()

	w := &writing{
		s:      s,
		q:      c,
		stamp:  rand.Int64(),
		doubts: make(map[alert.UnitKey]doubt),
	}

	if err = w.find(ctx, keys); err == nil && len(w.units) > 0 {
		err = w.run(ctx, c, p)
	}

	if err != nil {
		w.failed(err)
		return nil, nil, err
	}

	for _, key := range keys {
		if w.units[key] == nil {
			fenced = append(fenced, key)
		}
	}

	return fenced, w.written(made), nil
}

// find collects what is known of units, and reads what is not. An opening with inputs
// gets only units that it holds; another one only those that nobody holds, and it makes
// rows that are missing.
func (w *writing) find(ctx context.Context, keys []alert.UnitKey) (err error) {
	w.units = make(map[alert.UnitKey]*unitRow)
	names := make(map[int64]alert.UnitKey) // to be read

	if !w.s.o.Inputs {
		if names, err = makeRows(ctx, w.q, keys); err != nil {
			return err
		}
	}

	epochs := make(map[int64]int64)

	for _, key := range keys {
		u := w.s.held.unit(key)

		switch {
		case u == nil, u.undone.Load():
		case u.row != nil:
			w.units[key] = u.row.clone()
		default:
			names[u.id], epochs[u.id] = key, u.epoch
		}
	}

	if len(names) > 0 {
		if err := w.readRows(ctx, names, epochs); err != nil {
			return err
		}
	}

	if !w.s.o.Inputs || len(w.units) == 0 {
		return nil
	}

	now, err := w.s.databaseTime(ctx, w.q)
	w.now.At = time.Duration(now.UnixMicro()) * time.Microsecond

	return err
}

// makeRows makes the rows of units that are not known yet, and returns the ids of all.
func makeRows(ctx context.Context, q querier, keys []alert.UnitKey) (map[int64]alert.UnitKey, error) {
	u := wantedUnits(keys)

	if _, err := q.Exec(ctx, `WITH `+wantedTable+insertUnits, u.loginHosts, u.tenants, u.apis, u.states); err != nil {
		return nil, err
	}

	rows, err := q.Query(ctx, `WITH `+wantedTable+`
		SELECT u.id, u.login_host, u.tenant_id, u.api, u.state_id
		FROM wanted w JOIN defender.units u USING (login_host, tenant_id, api, state_id)`,
		u.loginHosts, u.tenants, u.apis, u.states)
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

// mayWrite is the condition for a row that this opening may write to: $1 is the node, and
// c has the epoch.
const mayWrite = `CASE WHEN $1::text = '' THEN u.owner IS NULL ELSE u.owner = $1::text AND u.epoch = c.epoch END`

// readRows reads the rows with these ids that may be written to. The state comes before
// the parts of the seen-set: when somebody writes in between, the stamp shows it.
func (w *writing) readRows(ctx context.Context, names map[int64]alert.UnitKey, held map[int64]int64) error {
	var ids, epochs []int64
	for id := range names {
		ids, epochs = append(ids, id), append(epochs, held[id])
	}

	asked := w.s.o.Uptime()

	rows, err := w.q.Query(ctx, `SELECT u.id, u.epoch, u.stamp, u.replay, u.state, defender.clock()
		FROM defender.units u JOIN unnest($2::bigint[], $3::bigint[]) AS c (id, epoch) USING (id) WHERE `+mayWrite,
		w.s.held.self().ID, ids, epochs)
	if err != nil {
		return err
	}

	var (
		r      unitRow
		data   []byte
		now    time.Time
		undone bool
		byID   = make(map[int64]*unitRow)
	)

	_, err = pgx.ForEachRow(rows, []any{&r.id, &r.epoch, &r.stamp, &r.replay, &data, &now}, func() error {
		row, key := r, names[r.id]

		unit := w.s.held.unit(key)
		if !unit.read(r.stamp) {
			undone = true
			return nil
		}

		row.state = w.s.decoded(key, data)
		byID[r.id] = &row
		w.units[key] = &row
		w.s.doubts.settle(key, r.stamp)

		return nil
	})
	if undone {
		w.s.sayUndone()
	}

	if err != nil || len(byID) == 0 {
		return err
	}

	w.s.clock.observe(asked, now)

	if rows, err = w.q.Query(ctx, partsQuery, ids); err != nil {
		return err
	}

	return readParts(rows, byID)
}

// partsQuery asks for the parts of the seen-sets of units, without their entries.
const partsQuery = `SELECT unit, seq, (extract(epoch FROM at) * 1000000)::bigint, n, newest
	FROM defender.seen WHERE unit = ANY ($1::bigint[]) ORDER BY unit, seq`

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

// clockAhead is how much later than the clock of the database says a write may claim to
// be, and unitstate.Span how much earlier: then the clock is asked anew.
const clockAhead = 10 * time.Second

// run sends the message. Afterwards the stamp of a row in w.units is that of this attempt
// if it was written.
func (w *writing) run(ctx context.Context, c *pgxpool.Conn, p plan) error {
	if err := p(ctx, w); err != nil {
		return err
	}

	keys := make([]alert.UnitKey, 0, len(w.units))
	for key := range w.units {
		keys = append(keys, key)
	}

	slices.SortFunc(keys, func(a, b alert.UnitKey) int { return int(w.units[a].id - w.units[b].id) })

	var (
		message pgx.Batch
		asked   = w.s.o.Uptime()
	)

	w.queueStates(&message, keys).Query(func(rows pgx.Rows) error {
		var (
			id      int64
			now     time.Time
			written = make(map[int64]bool)
		)

		_, err := pgx.ForEachRow(rows, []any{&id, &now}, func() error {
			written[id] = true
			return nil
		})
		if err != nil {
			return err
		}

		for _, u := range w.units {
			if written[u.id] {
				u.stamp = w.stamp
			}
		}

		if len(written) > 0 {
			w.s.clock.observe(asked, now)
		}

		return nil
	})

	w.queueParts(&message)

	message.QueuedQueries = append(message.QueuedQueries, w.batch.QueuedQueries...)

	return c.SendBatch(ctx, &message).Close()
}

// queueStates queues the states of all units, for those that are still as this process
// knows them.
func (w *writing) queueStates(message *pgx.Batch, keys []alert.UnitKey) *pgx.QueuedQuery {
	var (
		ids, epochs, stamps []int64
		states              [][]byte
		replays             []bool
		now                 *time.Time
	)

	for _, key := range keys {
		u := w.units[key]
		ids = append(ids, u.id)
		epochs = append(epochs, u.epoch)
		stamps = append(stamps, u.stamp)
		replays = append(replays, u.replay)

		if u.state.Has {
			states = append(states, u.state.EncodeShared())
		} else {
			states = append(states, nil)
		}
	}

	if w.s.o.Inputs {
		at := time.UnixMicro(w.now.At.Microseconds())
		now = &at
	}

	return message.Queue(`WITH moment AS MATERIALIZED (SELECT defender.clock() AS now)
		UPDATE defender.units u SET state = c.state, replay = c.replay, stamp = $7::bigint
		FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::boolean[])
			AS c (id, epoch, stamp, state, replay), moment m
		WHERE u.id = c.id AND u.stamp = c.stamp AND `+mayWrite+`
			AND ($8::timestamptz IS NULL
				OR $8::timestamptz BETWEEN m.now - $9::interval AND m.now + $10::interval)
		RETURNING u.id, m.now`,
		w.s.held.self().ID, ids, epochs, stamps, states, replays, w.stamp, now, unitstate.Span, clockAhead)
}

// written notes what is known of the units now. It adds to made what was written, and
// returns the units that were not.
func (w *writing) written(made map[alert.UnitKey]doubt) (stale []alert.UnitKey) {
	for key, u := range w.units {
		held := w.s.held.unit(key)

		if u.stamp != w.stamp {
			stale = append(stale, key)
			held.know(nil)

			continue
		}

		made[key] = w.doubts[key]
		held.know(u)
	}

	return stale
}

// failed forgets what is known of the units. When nobody answered, what was to be written
// is remembered: it may have been.
func (w *writing) failed(err error) {
	for key, u := range w.units {
		held := w.s.held.unit(key)
		held.know(nil)

		if !broken(err) {
			continue
		}

		held.doubt(w.stamp)

		if d, ok := w.doubts[key]; ok {
			d.stamp, d.before = w.stamp, u.stamp
			w.s.doubts.add(key, d)
		}
	}
}
