package postgres

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

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
