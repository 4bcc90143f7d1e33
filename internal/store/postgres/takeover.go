package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
)

// Claim implements store.Leases. It never waits for another node: a row that is locked
// is left for the next call. The rows of expired owners are locked before their units,
// so that they cannot renew their leases meanwhile.
func (s *Store) Claim(ctx context.Context, c store.Claim) ([]store.Holding, error) {
	self := s.held.self()
	if self.ID == "" {
		return nil, fmt.Errorf("%s: %w", s.where, errNotJoined)
	}

	if (len(c.Units) == 0 || c.Most <= 0) && !c.Expired { // else something may be recalled
		return nil, ctx.Err()
	}

	w := wantedUnits(c.Units)

	if found, err := s.claimable(ctx, w, c); err != nil || !found {
		return nil, err
	}

	var claimed []claimedUnit

	err := s.update(ctx, "claim", func(ctx context.Context, t pgx.Tx) (err error) {
		claimed = nil

		ready, err := s.mayClaim(ctx, t, self)
		if err != nil || !ready {
			return err
		}

		dead, err := findDead(ctx, t, self, c)
		if err != nil {
			return err
		}

		if claimed, err = take(ctx, t, self, w, c, dead); err != nil {
			return err
		}

		return undo(ctx, t, claimed)
	})
	if errors.Is(err, store.ErrNodeInUse) {
		err = fmt.Errorf("%s: node_id %s: %w", s.where, self.ID, err)
	}

	if err != nil {
		return nil, err
	}

	holdings := make([]store.Holding, len(claimed))
	for i, u := range claimed {
		s.held.add(u.key, u.id, u.epoch)
		holdings[i] = store.Holding{
			Key:      u.key,
			Epoch:    u.epoch,
			Takeover: u.takeover,
		}
	}

	return holdings, nil
}

// wanted are the units of a claim, as the arguments of a query.
type wanted struct{ loginHosts, tenants, apis, states []string }

// wantedUnits returns the units in order: two nodes that make new ones at the same time
// must not wait for each other.
func wantedUnits(keys []alert.UnitKey) (w wanted) {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b alert.UnitKey) int {
		return cmp.Or(
			cmp.Compare(a.TenantID, b.TenantID),
			cmp.Compare(a.API, b.API),
			cmp.Compare(a.StateID, b.StateID),
			cmp.Compare(a.LoginHost, b.LoginHost),
		)
	})

	for _, key := range slices.Compact(keys) {
		w.loginHosts = append(w.loginHosts, key.LoginHost)
		w.tenants = append(w.tenants, string(key.TenantID))
		w.apis = append(w.apis, string(key.API))
		w.states = append(w.states, key.StateID)
	}

	return w
}

// wantedTable is the beginning of queries whose first four arguments are the fields of
// a wanted.
const wantedTable = `wanted AS (SELECT *
	FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS w (login_host, tenant_id, api, state_id))`

// insertUnits makes the missing rows of wanted units.
const insertUnits = `
	INSERT INTO defender.units (login_host, tenant_id, api, state_id, free_since)
	SELECT w.login_host, w.tenant_id, w.api, w.state_id, defender.clock()
	FROM wanted w LEFT JOIN defender.units u USING (login_host, tenant_id, api, state_id)
	WHERE u.id IS NULL ORDER BY w.tenant_id, w.api, w.state_id, w.login_host
	ON CONFLICT DO NOTHING`

// claimable makes the units that are not known yet, and reports whether a claim may
// find something to take or to recall. It asks without a transaction, since it is
// called every second or so and mostly there is nothing to claim.
func (s *Store) claimable(ctx context.Context, w wanted, c store.Claim) (bool, error) {
	var (
		missing bool
		free    bool
	)

	look := func(ctx context.Context, q querier) error {
		return q.QueryRow(ctx, `WITH `+wantedTable+`
			SELECT count(*) FILTER (WHERE u.id IS NULL) > 0,
				count(*) FILTER (WHERE u.owner IS NULL OR $5::boolean AND o.expires_at < defender.clock()) > 0
					OR $5::boolean AND `+toRecall("$6::interval")+`
			FROM wanted w LEFT JOIN defender.units u USING (login_host, tenant_id, api, state_id)
				LEFT JOIN defender.nodes o ON o.id = u.owner`,
			w.loginHosts, w.tenants, w.apis, w.states, c.Expired, s.held.self().TakeoverReplay).Scan(&missing, &free)
	}
	if err := s.view(ctx, "claimable", look); err != nil || !missing {
		return free, err
	}

	return true, s.update(ctx, "units", func(ctx context.Context, t pgx.Tx) error {
		_, err := t.Exec(ctx, `WITH `+wantedTable+insertUnits, w.loginHosts, w.tenants, w.apis, w.states)

		return err
	})
}

// mayClaim reports whether this node may claim: its lease has not expired, and it is
// not draining. It locks the node's row, so that no other process joins under its ID
// meanwhile.
func (s *Store) mayClaim(ctx context.Context, t pgx.Tx, self store.Node) (ready bool, err error) {
	err = t.QueryRow(ctx, `SELECT NOT draining AND expires_at >= defender.clock() FROM defender.nodes
		WHERE id = $1::text AND session = $2::text FOR SHARE`, self.ID, s.session).Scan(&ready)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, store.ErrNodeInUse
	}

	return ready, err
}

// lockDead locks the rows of nodes that have expired and hold units, or gave some away
// lately, and returns their IDs. It leaves out a node that is just renewing its lease.
// Other nodes that claim may hold the same locks at the same time.
func lockDead(ctx context.Context, t pgx.Tx, self store.Node, c store.Claim) ([]string, error) {
	rows, err := t.Query(ctx, `SELECT n.id FROM defender.nodes n
		WHERE n.expires_at < defender.clock() - $1::interval
			AND (EXISTS (SELECT FROM defender.units u WHERE u.owner = n.id)
				OR EXISTS (SELECT FROM defender.given g WHERE g.node = n.id AND `+lately("n", "$2::interval")+`))
		FOR SHARE OF n SKIP LOCKED`, c.FreeFor, self.TakeoverReplay)
	if err != nil {
		return nil, err
	}

	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// findDead returns the nodes whose units may be taken over, and recalls the units that
// they gave away lately.
func findDead(ctx context.Context, t pgx.Tx, self store.Node, c store.Claim) ([]string, error) {
	if !c.Expired {
		return nil, nil
	}

	dead, err := lockDead(ctx, t, self, c)
	if err != nil {
		return nil, err
	}

	return dead, recall(ctx, t, skipLocked, self.TakeoverReplay, dead...)
}

// lately returns the condition that a node gave a unit away in the time before its last
// renewal that is replayed. node is the name of its row in the query, and replay the
// takeover_replay of another node.
func lately(node, replay string) string {
	return fmt.Sprintf(`greatest(%[1]s.replay, %[2]s) > interval '0'
		AND g.at > %[1]s.renewed_at - greatest(%[1]s.replay, %[2]s)`, node, replay)
}

// toRecall returns the condition that a node that has expired gave units away lately.
// replay is as in lately.
func toRecall(replay string) string {
	return `EXISTS (SELECT FROM defender.given g JOIN defender.nodes n ON n.id = g.node
		WHERE n.expires_at < defender.clock() AND ` + lately("n", replay) + `)`
}

// How recall treats units that another transaction has locked.
const (
	skipLocked = "SKIP LOCKED"
	waitLocked = ""
)

// undoAfter returns the expression for the moment after which deliveries of a dead node
// are undone; 'infinity' if none are. node and replay are as in lately.
func undoAfter(node, replay string) string {
	return fmt.Sprintf(`CASE WHEN greatest(%[1]s.replay, %[2]s) = interval '0' THEN 'infinity'
		ELSE %[1]s.renewed_at - greatest(%[1]s.replay, %[2]s) END`, node, replay)
}

// recall records, for units that dead nodes properly gave away lately, from when on
// they are to be undone: what the dead nodes had delivered of them is on a disk that
// may be gone, too. Whoever holds such a unit may be delivering at this moment and
// keeps it; it learns of the recall when it renews its lease. Units that skipLocked
// leaves out are recalled by a later call.
func recall(ctx context.Context, t pgx.Tx, locked string, replay time.Duration, dead ...string) error {
	if len(dead) == 0 {
		return nil
	}

	_, err := t.Exec(ctx, `WITH chosen AS (
			SELECT g.unit, g.node, `+undoAfter("n", "$2::interval")+` AS after
			FROM defender.given g JOIN defender.nodes n ON n.id = g.node JOIN defender.units u ON u.id = g.unit
			WHERE g.node = ANY ($1::text[]) AND `+lately("n", "$2::interval")+`
			ORDER BY u.id FOR UPDATE OF g, u `+locked+`),
		done AS (
			DELETE FROM defender.given g USING chosen c WHERE g.unit = c.unit AND g.node = c.node)
		UPDATE defender.units u SET undo_after = least(u.undo_after, c.after)
		FROM (SELECT unit, min(after) AS after FROM chosen GROUP BY unit) AS c
		WHERE u.id = c.unit`, dead, replay)

	return err
}

// claimedUnit is a unit that was claimed.
type claimedUnit struct {
	key      alert.UnitKey
	id       int64
	epoch    int64
	takeover bool
	// undoAfter is the moment after which deliveries are undone, in microseconds since
	// 1970; nil if none are.
	undoAfter *int64
}

// take makes this node the owner of the units that it may have. The condition for a
// unit names no column of another table: if the unit has changed meanwhile, PostgreSQL
// evaluates the condition again with the rows that were joined before.
// https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED
func take(ctx context.Context, t pgx.Tx, self store.Node, w wanted, c store.Claim, dead []string) (
	[]claimedUnit, error,
) {
	rows, err := t.Query(ctx, `WITH `+wantedTable+`,
		chosen AS (
			SELECT u.id, u.owner IS NOT NULL OR u.undo_after IS NOT NULL AS takeover,
				least(u.undo_after,
					CASE WHEN u.owner IS NOT NULL THEN `+undoAfter("o", "$9::interval")+` END) AS undo_after
			FROM wanted w JOIN defender.units u USING (login_host, tenant_id, api, state_id)
				LEFT JOIN defender.nodes o ON o.id = u.owner
				LEFT JOIN defender.nodes h ON h.id = u.home AND h.id <> $5::text
					AND NOT h.draining AND h.expires_at >= defender.clock()
			WHERE u.owner IS NULL AND u.free_since <= defender.clock() - $6::interval
				OR u.owner = ANY ($7::text[])
			ORDER BY coalesce(u.home = $5::text, false) DESC, h.id IS NOT NULL, u.id
			LIMIT $8::bigint FOR UPDATE OF u SKIP LOCKED)
		UPDATE defender.units u SET owner = $5::text, epoch = u.epoch + 1, claimed_at = defender.clock(),
			free_since = NULL, undo_after = NULL, replay = u.replay OR c.takeover,
			home = CASE WHEN c.takeover THEN $5::text ELSE coalesce(u.home, $5::text) END
		FROM chosen c WHERE u.id = c.id
		RETURNING u.id, u.login_host, u.tenant_id, u.api, u.state_id, u.epoch, c.takeover,
			CASE WHEN isfinite(c.undo_after) THEN (extract(epoch FROM c.undo_after) * 1000000)::bigint END`,
		w.loginHosts, w.tenants, w.apis, w.states, self.ID, c.FreeFor, dead, c.Most, self.TakeoverReplay)
	if err != nil {
		return nil, err
	}

	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (u claimedUnit, err error) {
		err = row.Scan(&u.id, &u.key.LoginHost, &u.key.TenantID, &u.key.API, &u.key.StateID, &u.epoch, &u.takeover,
			&u.undoAfter)

		return u, err
	})
}

// undo deletes from the seen-sets of units that were taken over what their owner may
// have delivered to a disk that is gone, and marks their deferred work.
func undo(ctx context.Context, t pgx.Tx, claimed []claimedUnit) error {
	var taken, ids, after []int64

	since := map[int64]time.Duration{} // 1970, by the unit's id

	for _, u := range claimed {
		if !u.takeover {
			continue
		}

		taken = append(taken, u.id)

		if u.undoAfter != nil {
			ids, after = append(ids, u.id), append(after, *u.undoAfter)
			since[u.id] = time.Duration(*u.undoAfter) * time.Microsecond
		}
	}

	if len(taken) == 0 {
		return nil
	}

	batch := &pgx.Batch{}
	batch.Queue(`UPDATE defender.deferred SET replay = true WHERE unit = ANY ($1::bigint[])`, taken)

	// A part of the seen-set has the time of its first entry.
	batch.Queue(`DELETE FROM defender.seen s USING unnest($1::bigint[], $2::bigint[]) AS u (id, after)
		WHERE s.unit = u.id AND s.at > to_timestamp(u.after / 1000000.0) - $3::interval`, ids, after, unitstate.Span)
	batch.Queue(`UPDATE defender.deferred d SET gone_at = NULL
		FROM unnest($1::bigint[], $2::bigint[]) AS u (id, after)
		WHERE d.unit = u.id AND d.gone_at > to_timestamp(u.after / 1000000.0) - $3::interval`,
		ids, after, unitstate.Span)

	if err := t.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}

	return undoStates(ctx, t, taken, since)
}

// undoStates takes back the checkpoints of units, and marks them.
func undoStates(ctx context.Context, t pgx.Tx, taken []int64, since map[int64]time.Duration) error {
	rows, err := t.Query(ctx, `SELECT id, state FROM defender.units
		WHERE id = ANY ($1::bigint[]) AND state IS NOT NULL`, taken)
	if err != nil {
		return err
	}

	var (
		id      int64
		data    []byte
		ids     []int64
		changed [][]byte
	)

	_, err = pgx.ForEachRow(rows, []any{&id, &data}, func() error {
		state, err := unitstate.DecodeShared(data)
		if err != nil {
			return nil //nolint:nilerr // it is reported, and made anew, when the unit is loaded
		}

		if at, ok := since[id]; ok {
			state.Undo(unitstate.Moment{At: at}, unitstate.Policy{Window: unitstate.Span})
		}

		state.Now.Checkpoint.Replay = true

		ids, changed = append(ids, id), append(changed, state.EncodeShared())

		return nil
	})
	if err != nil || len(ids) == 0 {
		return err
	}

	_, err = t.Exec(ctx, `UPDATE defender.units u SET state = c.state
		FROM unnest($1::bigint[], $2::bytea[]) AS c (id, state) WHERE u.id = c.id`, ids, changed)

	return err
}
