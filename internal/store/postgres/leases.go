package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// leaseState is what a Store needs for its leases.
type leaseState struct {
	session string        // differs from that of any other opening with the same node_id
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

// forgottenAfter is how long a node without units is listed after its lease has ended.
// Then the next node that joins deletes its row: otherwise names of replaced machines
// would add up.
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

// enter makes the node's row, or takes over the one that an earlier process left
// behind.
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

			continue // another process was faster: look at its row
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

// succeed takes over the row of an earlier process that died. Its units become free,
// with the time from which on they are to be undone. This node is their home.
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
	// recalled says that it is one of store.Standing.Recalled.
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

// forgetGiven deletes what is older than the longest takeover_replay.
const forgetGiven = `DELETE FROM defender.given WHERE at < defender.clock() - interval '8 days'`

func scanKey(row pgx.CollectableRow) (key alert.UnitKey, err error) {
	err = row.Scan(&key.LoginHost, &key.TenantID, &key.API, &key.StateID)

	return key, err
}

// Renew implements store.Leases. It renews the node's row first, and reads the units
// after that, in another statement: a claim of the units either waits for this
// transaction, and then sees that the node is alive, or it was committed before and is
// seen here.
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
				AND NOT EXISTS (SELECT FROM defender.meta WHERE name = 'version' AND number > $4::bigint)
			RETURNING draining, `+toRecall("$3::interval")+`, defender.clock()`,
			self.ID, s.session, self.TakeoverReplay, s.o.schema.version)
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
		if version, newErr := s.versionNow(ctx); newErr != nil || version > s.o.schema.version {
			s.usable.Store(false) // each call is refused from now on

			return store.Standing{}, cmp.Or(newErr, s.newer(version))
		}

		s.held.keep(func(alert.UnitKey, int64) bool { return false })

		return store.Standing{}, fmt.Errorf("%s: node_id %s: %w", s.where, self.ID, err)
	}

	if err != nil {
		return store.Standing{}, err
	}

	s.noteHeld(&standing, units)

	return standing, nil
}

// versionNow returns the version of the tables.
func (s *Store) versionNow(ctx context.Context) (version int64, err error) {
	err = s.view(ctx, "version", func(ctx context.Context, q querier) (err error) {
		version, err = s.version(ctx, q)
		return err
	})

	return version, err
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

// noteHeld records which units are held, also those of a claim whose answer was lost.
func (s *Store) noteHeld(standing *store.Standing, units []heldRow) {
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
