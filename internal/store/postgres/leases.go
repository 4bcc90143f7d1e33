package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// leaseState is what a Store needs for its leases.
type leaseState struct {
	session string        // tells this opening from others with the same node_id
	changed chan struct{} // see Store.Changed

	listen struct {
		once sync.Once
		stop context.CancelFunc
		mu   sync.Mutex // guards stop
	}
}

func (l *leaseState) initLeases() {
	l.session = rand.Text()
	l.changed = make(chan struct{}, 1)
}

// forgottenAfter is how long ago the lease of a node without units ended when it is not
// listed any more, and its row goes with the next node that joins: names of machines that
// were replaced would add up.
const forgottenAfter = 24 * time.Hour

// errNotJoined is returned by calls that only a node may make.
var errNotJoined = errors.New("this process has not joined as a node")

// Join implements store.Leases.
func (s *Store) Join(ctx context.Context, n store.Node) error {
	if !s.o.Inputs {
		return fmt.Errorf("%s: %w: it was opened without inputs", s.where, errNotJoined)
	}

	var units []heldRow

	err := s.update(ctx, "join", func(ctx context.Context, t pgx.Tx) error {
		if err := s.enter(ctx, t, n); err != nil {
			return err
		}

		// A node that is gone for good leaves no row behind.
		if _, err := t.Exec(ctx, `DELETE FROM defender.nodes n
			WHERE n.id <> $1::text AND n.expires_at < defender.clock() - $2::interval
				AND NOT EXISTS (SELECT FROM defender.units u WHERE u.owner = n.id)`,
			n.ID, forgottenAfter); err != nil {
			return err
		}

		if _, err := t.Exec(ctx, forgetGiven); err != nil {
			return err
		}

		rows, err := t.Query(ctx, heldQuery, n.ID)
		if err != nil {
			return err
		}

		if units, err = pgx.CollectRows(rows, scanHeld); err != nil {
			return err
		}

		return s.notify(ctx, t)
	})
	if err != nil {
		return err
	}

	s.held.setNode(n)

	for _, u := range units {
		s.held.add(u.key, u.id, u.epoch)
	}

	s.listen.once.Do(s.startListening)

	return nil
}

// enter makes the node's row, or takes one over that an earlier process left behind.
func (s *Store) enter(ctx context.Context, t pgx.Tx, n store.Node) error {
	for {
		var (
			session string
			live    bool
			left    time.Duration
		)

		err := t.QueryRow(ctx, `SELECT session, expires_at >= defender.clock(), expires_at - defender.clock()
			FROM defender.nodes WHERE id = $1::text FOR UPDATE`, n.ID).Scan(&session, &live, &left)

		switch {
		case errors.Is(err, pgx.ErrNoRows):
			tag, err := t.Exec(ctx, `INSERT INTO defender.nodes
				(id, session, version, joined_at, renewed_at, expires_at, ttl, replay)
				SELECT $1::text, $2::text, $3::text, c, c, c + $4::interval, $4::interval, $5::interval
				FROM (SELECT defender.clock() AS c) AS clock
				ON CONFLICT DO NOTHING`, n.ID, s.session, n.Version, n.TTL, n.TakeoverReplay)
			if err != nil || tag.RowsAffected() > 0 {
				return err
			}

			continue // another process was faster: see what it is
		case err != nil:
			return err
		case session == s.session:
			return s.rejoin(ctx, t, n)
		case live:
			return fmt.Errorf("%s: node_id %s: %w, and its lease lasts for %s: give each process a node_id of its "+
				"own; if that process is gone, wait until the lease ends",
				s.where, n.ID, store.ErrNodeInUse, left.Round(time.Second))
		}

		return s.succeed(ctx, t, n)
	}
}

// rejoin renews the lease of a node that is this opening.
func (s *Store) rejoin(ctx context.Context, t pgx.Tx, n store.Node) error {
	_, err := t.Exec(ctx, `UPDATE defender.nodes SET version = $2::text, renewed_at = defender.clock(),
		expires_at = defender.clock() + $3::interval, ttl = $3::interval, replay = $4::interval
		WHERE id = $1::text`, n.ID, n.Version, n.TTL, n.TakeoverReplay)

	return err
}

// succeed takes over the row of an earlier process that died. Its units are free, and
// remember from when on they are to be undone. This node is their home.
func (s *Store) succeed(ctx context.Context, t pgx.Tx, n store.Node) error {
	if err := recall(ctx, t, waitLocked, n.TakeoverReplay, n.ID); err != nil {
		return err
	}

	if _, err := t.Exec(ctx, `UPDATE defender.units u SET owner = NULL, home = n.id, free_since = defender.clock(),
			undo_after = least(u.undo_after, `+undoAfter("n", "$2::interval")+`)
		FROM defender.nodes n WHERE n.id = $1::text AND u.owner = n.id`, n.ID, n.TakeoverReplay); err != nil {
		return err
	}

	_, err := t.Exec(ctx, `UPDATE defender.nodes SET session = $2::text, version = $3::text,
			joined_at = defender.clock(), renewed_at = defender.clock(),
			expires_at = defender.clock() + $4::interval, ttl = $4::interval, replay = $5::interval,
			draining = false
		WHERE id = $1::text`, n.ID, s.session, n.Version, n.TTL, n.TakeoverReplay)

	return err
}

// heldRow is a unit that this node holds.
type heldRow struct {
	key   alert.UnitKey
	id    int64
	epoch int64
	home  *string // a live node other than this one that is its home
	// recalled: see store.Standing.
	recalled bool
}

// heldQuery asks for the units that a node holds.
const heldQuery = `SELECT u.id, u.login_host, u.tenant_id, u.api, u.state_id, u.epoch, h.id,
		u.undo_after IS NOT NULL
	FROM defender.units u LEFT JOIN defender.nodes h
		ON h.id = u.home AND h.id <> u.owner AND NOT h.draining AND h.expires_at >= defender.clock()
	WHERE u.owner = $1::text`

func scanHeld(row pgx.CollectableRow) (u heldRow, err error) {
	err = row.Scan(&u.id, &u.key.LoginHost, &u.key.TenantID, &u.key.API, &u.key.StateID, &u.epoch, &u.home, &u.recalled)

	return u, err
}

// freeQuery asks for the units that nobody holds, or whose owner has expired.
const freeQuery = `SELECT u.login_host, u.tenant_id, u.api, u.state_id
	FROM defender.units u LEFT JOIN defender.nodes o ON o.id = u.owner
	WHERE u.owner IS NULL OR o.expires_at < defender.clock()`

// forgetGiven removes what is older than any takeover_replay may be.
const forgetGiven = `DELETE FROM defender.given WHERE at < defender.clock() - interval '8 days'`

func scanKey(row pgx.CollectableRow) (key alert.UnitKey, err error) {
	err = row.Scan(&key.LoginHost, &key.TenantID, &key.API, &key.StateID)

	return key, err
}

// Renew implements store.Leases. The node's row is renewed first, and its units are read
// after that, in a statement of its own: a claim of them either waits for this
// transaction and then sees that the node lives, or was committed before and is seen
// here.
func (s *Store) Renew(ctx context.Context) (store.Standing, error) {
	self := s.held.self()
	if self.ID == "" {
		return store.Standing{}, fmt.Errorf("%s: %w", s.where, errNotJoined)
	}

	var (
		standing store.Standing
		units    []heldRow
	)

	err := s.update(ctx, "renew", func(ctx context.Context, t pgx.Tx) error {
		standing = store.Standing{}
		asked := s.o.Uptime()

		batch := &pgx.Batch{}
		batch.Queue(`UPDATE defender.nodes SET renewed_at = defender.clock(), expires_at = defender.clock() + ttl
			WHERE id = $1::text AND session = $2::text
			RETURNING draining, `+toRecall("$3::interval")+`, defender.clock()`,
			self.ID, s.session, self.TakeoverReplay)
		batch.Queue(heldQuery, self.ID)
		batch.Queue(`SELECT id FROM defender.nodes WHERE NOT draining AND expires_at >= defender.clock()
			ORDER BY id COLLATE "C"`)
		batch.Queue(freeQuery)

		results := t.SendBatch(ctx, batch)

		now, err := readStanding(results, &standing, &units)
		if err == nil {
			s.clock.observe(asked, now)
		}

		return errors.Join(err, results.Close())
	})

	if errors.Is(err, store.ErrNodeInUse) {
		s.held.keep(func(alert.UnitKey, int64) bool { return false })

		return store.Standing{}, fmt.Errorf("%s: node_id %s: %w", s.where, self.ID, err)
	}

	if err != nil {
		return store.Standing{}, err
	}

	s.settle(&standing, units)

	return standing, nil
}

// readStanding reads the answers to the queries of Renew. now is the time of the
// database.
func readStanding(results pgx.BatchResults, standing *store.Standing, units *[]heldRow) (now time.Time, err error) {
	err = results.QueryRow().Scan(&standing.Draining, &standing.ToRecall, &now)
	if errors.Is(err, pgx.ErrNoRows) {
		return now, store.ErrNodeInUse
	}

	if err != nil {
		return now, err
	}

	rows, err := results.Query()
	if err != nil {
		return now, err
	}

	if *units, err = pgx.CollectRows(rows, scanHeld); err != nil {
		return now, err
	}

	if rows, err = results.Query(); err != nil {
		return now, err
	}

	if standing.Live, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return now, err
	}

	if rows, err = results.Query(); err != nil {
		return now, err
	}

	standing.Free, err = pgx.CollectRows(rows, scanKey)

	return now, err
}

// settle notes which units are held, those of a claim whose answer was lost included.
func (s *Store) settle(standing *store.Standing, units []heldRow) {
	epochs := make(map[alert.UnitKey]int64, len(units))

	for _, u := range units {
		epochs[u.key] = u.epoch
		standing.Held = append(standing.Held, store.Holding{Key: u.key, Epoch: u.epoch})

		if u.recalled {
			standing.Recalled = append(standing.Recalled, u.key)
		}

		if u.home != nil {
			if standing.Homes == nil {
				standing.Homes = make(map[alert.UnitKey]string)
			}

			standing.Homes[u.key] = *u.home
		}

		s.held.add(u.key, u.id, u.epoch)
	}

	s.held.keep(func(key alert.UnitKey, epoch int64) bool { return epochs[key] == epoch })
}

// Release implements store.Leases.
func (s *Store) Release(ctx context.Context, away bool, keys ...alert.UnitKey) error {
	return s.giveUp(ctx, away, false, keys)
}

// ReleaseUncommitted implements store.Leases.
func (s *Store) ReleaseUncommitted(ctx context.Context, keys ...alert.UnitKey) error {
	return s.giveUp(ctx, false, true, keys)
}

// giveUp releases units.
func (s *Store) giveUp(ctx context.Context, away, uncommitted bool, keys []alert.UnitKey) error {
	self := s.held.self()

	var (
		ids, epochs []int64
		released    []alert.UnitKey
	)

	for _, key := range keys {
		if u := s.held.unit(key); u != nil {
			ids, epochs, released = append(ids, u.id), append(epochs, u.epoch), append(released, key)
		}
	}

	if len(ids) == 0 {
		return ctx.Err()
	}

	if err := s.writes.lock(ctx); err != nil {
		return err
	}
	defer s.writes.unlock()

	err := s.update(ctx, "release", func(ctx context.Context, t pgx.Tx) error {
		rows, err := t.Query(ctx, `UPDATE defender.units u SET owner = NULL, free_since = defender.clock(),
				home = CASE WHEN $2::boolean AND u.home = $1::text THEN NULL ELSE u.home END,
				undo_after = CASE WHEN $3::boolean THEN least(u.undo_after, 'infinity') ELSE u.undo_after END
			FROM unnest($4::bigint[], $5::bigint[]) AS h (id, epoch)
			WHERE u.id = h.id AND u.epoch = h.epoch AND u.owner = $1::text
			RETURNING u.id`, self.ID, away, uncommitted, ids, epochs)

		if err := give(ctx, t, self.ID, rows, err); err != nil {
			return err
		}

		return s.notify(ctx, t)
	})
	if err != nil {
		return err
	}

	s.held.remove(released...)

	return nil
}

// Leave implements store.Leases.
func (s *Store) Leave(ctx context.Context) error {
	self := s.held.self()
	if self.ID == "" {
		return ctx.Err()
	}

	if err := s.writes.lock(ctx); err != nil {
		return err
	}
	defer s.writes.unlock()

	err := s.update(ctx, "leave", func(ctx context.Context, t pgx.Tx) error {
		tag, err := t.Exec(ctx, `SELECT FROM defender.nodes WHERE id = $1::text AND session = $2::text FOR UPDATE`,
			self.ID, s.session)
		if err != nil || tag.RowsAffected() == 0 {
			return err // another process has the ID
		}

		rows, err := t.Query(ctx, `UPDATE defender.units SET owner = NULL, free_since = defender.clock()
			WHERE owner = $1::text RETURNING id`, self.ID)
		if err := give(ctx, t, self.ID, rows, err); err != nil {
			return err
		}

		if _, err := t.Exec(ctx, `DELETE FROM defender.nodes WHERE id = $1::text`, self.ID); err != nil {
			return err
		}

		return s.notify(ctx, t)
	})
	if err != nil {
		return err
	}

	s.held.setNode(store.Node{})

	return nil
}

// Nodes implements store.Leases.
func (s *Store) Nodes(ctx context.Context) (list []store.NodeStatus, err error) {
	err = s.view(ctx, "nodes", func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, `SELECT n.id, n.version, c - n.joined_at, c - n.renewed_at, c - n.expires_at,
				n.expires_at >= c, n.draining, (SELECT count(*) FROM defender.units u WHERE u.owner = n.id)
			FROM (SELECT defender.clock() AS c OFFSET 0) AS clock, defender.nodes n
			WHERE n.expires_at >= c - $1::interval OR EXISTS (SELECT FROM defender.units u WHERE u.owner = n.id)`,
			forgottenAfter)
		if err != nil {
			return err
		}

		now := s.o.Now()
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n store.NodeStatus, err error) {
			var joined, renewed, expired time.Duration

			err = row.Scan(&n.ID, &n.Version, &joined, &renewed, &expired, &n.Live, &n.Draining, &n.Units)
			n.Joined, n.Renewed, n.Expires = now.Add(-joined), now.Add(-renewed), now.Add(-expired)

			return n, err
		})

		return err
	})

	slices.SortFunc(list, func(a, b store.NodeStatus) int { return strings.Compare(a.ID, b.ID) })

	return list, err
}

// Drain implements store.Leases.
func (s *Store) Drain(ctx context.Context, id string, on bool) (known bool, err error) {
	err = s.update(ctx, "drain", func(ctx context.Context, t pgx.Tx) error {
		tag, err := t.Exec(ctx, `UPDATE defender.nodes SET draining = $2::boolean WHERE id = $1::text`, id, on)
		if err != nil {
			return err
		}

		known = tag.RowsAffected() > 0

		return s.notify(ctx, t)
	})

	return known && err == nil, err
}

// Holders implements store.Leases.
func (s *Store) Holders(ctx context.Context) (all map[alert.UnitKey]store.Holder, err error) {
	err = s.view(ctx, "holders", func(ctx context.Context, q querier) error {
		all = make(map[alert.UnitKey]store.Holder)

		rows, err := q.Query(ctx, `SELECT u.login_host, u.tenant_id, u.api, u.state_id, u.owner, u.epoch,
				c - u.claimed_at, c - n.renewed_at, n.expires_at >= c
			FROM (SELECT defender.clock() AS c OFFSET 0) AS clock,
				defender.units u JOIN defender.nodes n ON n.id = u.owner`)
		if err != nil {
			return err
		}

		var (
			key            alert.UnitKey
			h              store.Holder
			since, renewed time.Duration
		)

		now := s.o.Now()
		_, err = pgx.ForEachRow(rows, []any{&key.LoginHost, &key.TenantID, &key.API, &key.StateID, &h.Node, &h.Epoch,
			&since, &renewed, &h.Live}, func() error {
			h.Since, h.Renewed = now.Add(-since), now.Add(-renewed)
			all[key] = h

			return nil
		})

		return err
	})

	return all, err
}
