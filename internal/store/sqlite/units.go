package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
	"fluent-bit-defender/internal/tick"
)

const unitsFile = "defender.db"

// The id of a seen blob is the unit's id and a sequence number, so that the blobs of a
// unit are neighbours in the one B-tree. data comes last: the other columns are read
// without it. The tables call a unit a feed, as format 1 did. SQLite stores these texts
// as they are, and files are compared with them: any change, even of a space, needs a
// new version (upgrade.go).
const unitsSchema = `
	CREATE TABLE feeds (
		id INTEGER PRIMARY KEY, login_host TEXT NOT NULL, tenant_id TEXT NOT NULL, api TEXT NOT NULL,` +
	` state_id TEXT NOT NULL,
		state BLOB NOT NULL, UNIQUE (login_host, tenant_id, api, state_id));
	CREATE TABLE seen (
		id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, at INTEGER NOT NULL,
		n INTEGER NOT NULL, newest INTEGER NOT NULL, data BLOB NOT NULL);
	CREATE TABLE status (feed INTEGER PRIMARY KEY, data BLOB NOT NULL);
` + deferredSchema + `
	CREATE TABLE rewinds (
		login_host TEXT NOT NULL, tenant_id TEXT NOT NULL, api TEXT NOT NULL,` +
	` state_id TEXT NOT NULL, since INTEGER NOT NULL,
		PRIMARY KEY (login_host, tenant_id, api, state_id)) WITHOUT ROWID;` + documentsSchema

const deferredSchema = `
	CREATE TABLE deferred (
		id INTEGER PRIMARY KEY AUTOINCREMENT, feed INTEGER NOT NULL, kind TEXT NOT NULL,` +
	` since INTEGER NOT NULL, until INTEGER NOT NULL,
		reason TEXT NOT NULL, tries INTEGER NOT NULL, next_try INTEGER NOT NULL,` +
	` gone_boot INTEGER, gone_at INTEGER, events BLOB);
	CREATE INDEX deferred_feed ON deferred (feed);`

const seqBits = 32

// historyStep is the least time between two remembered checkpoints of a unit.
const historyStep = 10 * time.Second

// unitCache is what is known of a unit without reading the file. It stays true, since
// only the process that runs inputs writes.
type unitCache struct {
	id    int64
	state unitstate.State
	seen  unitstate.Parts
}

func (fc *unitCache) table(t tx) seenTable { return seenTable{t, fc.id} }

// unitCaches is guarded by units.mu.
type unitCaches struct {
	m     map[alert.UnitKey]*unitCache
	alone bool  // this process runs inputs, so that no other writes
	marks marks // of this run; zero without inputs
}

// clear is called whenever a writing transaction fails: the file may not have what is
// in the cache.
func (c *unitCaches) clear() { c.m = nil }

// unit reads a unit's row and the list of its blobs; nil if there is no row.
func (sh *shared) unit(t tx, key alert.UnitKey) (*unitCache, error) {
	if fc := sh.cache.m[key]; fc != nil {
		return fc, nil
	}

	fc := &unitCache{}

	var state []byte

	err := t.row(`SELECT id, state FROM feeds WHERE `+ofUnit, keyArgs(key)...).Scan(&fc.id, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}

	if err != nil {
		return nil, err
	}

	if fc.state, err = unitstate.Decode(state); err != nil {
		// The other rows are good, so the file is not replaced. The next commit of this
		// unit writes a good row.
		sh.log.Error(fmt.Sprintf(
			"%s: the checkpoint of tenant %s, api %s, is lost (%v): polling it restarts from lookback, "+
				"alerts may be emitted again",
			sh.units.path(),
			key.TenantID,
			key.API,
			err,
		))

		fc.state = unitstate.State{}
	}

	if err := fc.readBlobs(t); err != nil {
		return nil, err
	}

	if sh.cache.alone {
		if sh.cache.m == nil {
			sh.cache.m = make(map[alert.UnitKey]*unitCache)
		}

		sh.cache.m[key] = fc
	}

	return fc, nil
}

// ofUnit is the condition for the rows of one unit; keyArgs are its arguments.
const ofUnit = `login_host = ? AND tenant_id = ? AND api = ? AND state_id = ?`

func keyArgs(key alert.UnitKey) []any {
	return []any{key.LoginHost, key.TenantID, key.API, key.StateID}
}

// readBlobs reads the list of a unit's blobs.
func (fc *unitCache) readBlobs(t tx) error {
	rows, err := t.rows(
		`SELECT id, boot, at, n, newest FROM seen WHERE id BETWEEN ? AND ? ORDER BY id`,
		fc.id<<seqBits,
		(fc.id+1)<<seqBits-1,
	)
	if err != nil {
		return err
	}
	defer rows.Close()

	for rows.Next() {
		var b unitstate.Part
		if err := rows.Scan(&b.Seq, &b.When.Boot, &b.When.At, &b.N, &b.Newest); err != nil {
			return err
		}

		b.Seq &= 1<<seqBits - 1
		fc.seen.List = append(fc.seen.List, b)
		fc.seen.Next = b.Seq + 1
	}

	return rows.Err()
}

// ensure is unit, but makes the row if there is none.
func (sh *shared) ensure(t tx, key alert.UnitKey) (*unitCache, error) {
	fc, err := sh.unit(t, key)
	if fc != nil || err != nil {
		return fc, err
	}

	fc = &unitCache{}
	if err := t.row(`INSERT INTO feeds (login_host, tenant_id, api, state_id, state) VALUES (?,?,?,?,?) RETURNING id`,
		key.LoginHost, key.TenantID, key.API, key.StateID, fc.state.Encode()).Scan(&fc.id); err != nil {
		return nil, err
	}

	return sh.unit(t, key)
}

func (sh *shared) moment() unitstate.Moment {
	return unitstate.Moment{Boot: sh.cache.marks.last.Boot, At: sh.uptime()}
}

// Load implements store.Units. If the row of the unit or a part of the seen-set is
// damaged, it is logged, and the rest is returned.
func (s *Store) Load(ctx context.Context, key alert.UnitKey) (
	c store.Checkpoint, seen []store.Seen, ok bool, err error,
) {
	err = s.view(ctx, s.sh.units, func(t tx) error {
		c, seen, ok = store.Checkpoint{}, nil, false

		delete(s.sh.cache.m, key) // another process may have forgotten it (Forget) since it was polled last

		fc, err := s.sh.unit(t, key)
		if fc == nil || err != nil {
			return err
		}

		c, ok = fc.state.Now.Checkpoint, fc.state.Has
		seen, err = readSeen(t, fc.id, fc.seen.List, c.SeenSince)

		return err
	})

	return c, seen, ok, err
}

// readSeen returns the entries, not older than from, of blobs that are neighbours.
func readSeen(t tx, unit int64, blobs []unitstate.Part, from tick.Tick) ([]store.Seen, error) {
	if len(blobs) == 0 {
		return nil, nil
	}

	n := 0
	for _, b := range blobs {
		n += b.N
	}

	rows, err := t.rows(`SELECT data FROM seen WHERE id BETWEEN ? AND ? ORDER BY id`,
		unit<<seqBits|blobs[0].Seq, unit<<seqBits|blobs[len(blobs)-1].Seq)
	if err != nil {
		return nil, err
	}
	defer rows.Close()

	seen := make([]store.Seen, 0, n)

	var data sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&data); err != nil {
			return nil, err
		}

		if seen, err = unitstate.DecodeSeen(seen, data, from); err != nil {
			t.f.log.Error(fmt.Sprintf("%s: %v: some alerts may be emitted again", t.f.path(), err))
		}
	}

	return seen, rows.Err()
}

// Commit implements Units.
func (s *Store) Commit(ctx context.Context, commits []store.Commit) error {
	if len(commits) == 0 {
		return ctx.Err()
	}

	sh := s.sh

	return s.update(ctx, sh.units, func(t tx) error {
		when := sh.moment()
		for i := range commits {
			if err := sh.commit(t, &commits[i], when); err != nil {
				return err
			}
		}

		return sh.alive(t, when.At)
	})
}

func (sh *shared) commit(t tx, c *store.Commit, when unitstate.Moment) error {
	fc, err := sh.ensure(t, c.Key)
	if err != nil {
		return err
	}

	fc.state.Push(unitstate.Progress{When: when, Checkpoint: c.Checkpoint}, policy)

	if err := t.exec(`UPDATE feeds SET state = ? WHERE id = ?`, fc.state.Encode(), fc.id); err != nil {
		return err
	}

	if len(c.Seen) > 0 {
		if err := fc.seen.Add(fc.table(t), c.Seen, when); err != nil {
			return err
		}
	}

	for _, d := range c.Deferred {
		d.ID = 0
		if _, err := fc.putDeferred(t, d); err != nil {
			return err
		}
	}

	for _, id := range c.Dropped {
		if err := fc.dropDeferred(t, id, when); err != nil {
			return err
		}
	}

	return fc.seen.Compact(fc.table(t), fc.state.DurablePrune(when, policy), when, policy)
}
