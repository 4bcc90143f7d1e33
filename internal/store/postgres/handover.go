package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// Release implements store.Leases.
func (s *Store) Release(ctx context.Context, away bool, keys ...alert.UnitKey) error {
	return s.giveUp(ctx, away, false, keys)
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

// give records which units a node gave away, in the transaction that makes them free.
// rows and failed are the result of the statement that freed them.
func give(ctx context.Context, t pgx.Tx, node string, rows pgx.Rows, failed error) error {
	if failed != nil {
		return failed
	}

	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(ids) == 0 {
		return err
	}

	_, err = t.Exec(ctx, `INSERT INTO defender.given (unit, node, at)
		SELECT unit, $1::text, defender.clock() FROM unnest($2::bigint[]) AS u (unit)
		ON CONFLICT (unit, node) DO UPDATE SET at = excluded.at`, node, ids)

	return err
}
