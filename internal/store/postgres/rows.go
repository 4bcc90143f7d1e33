package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store/unitstate"
)

// unitRow is what the tables have of a unit.
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

// find fills w.units with what is known of units, and reads what is not. An opening
// with inputs gets only the units that it holds. Another one gets only those that
// nobody holds, and makes missing rows.
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

// makeRows makes the missing rows of units, and returns the ids of all.
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

// mayWrite is the condition for a row that this opening may write to: $1 is the node,
// and c.epoch is the epoch.
const mayWrite = `CASE WHEN $1::text = '' THEN u.owner IS NULL ELSE u.owner = $1::text AND u.epoch = c.epoch END`

// readRows reads the rows with these ids that may be written to. It reads the state
// before the parts of the seen-set: if somebody writes in between, the stamp shows it.
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
		w.s.doubts.resolve(key, r.stamp)

		return nil
	})

	if undone {
		w.s.logUndone()
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

// decoded returns the state in a unit's row. It logs a damaged state and returns an
// empty one: the other units are good, and the next commit writes a good state.
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
