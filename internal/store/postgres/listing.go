package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/tokens"
)

// DocumentNames implements store.Documents.
func (s *Store) DocumentNames(ctx context.Context) (names []string, err error) {
	err = s.view(ctx, "document names", func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, `SELECT name FROM defender.documents ORDER BY name COLLATE "C"`)
		if err != nil {
			return err
		}

		names, err = pgx.CollectRows(rows, pgx.RowTo[string])

		return err
	})

	return names, err
}

// Seeds implements store.Chains.
func (c *Chains) Seeds(ctx context.Context) (seeds map[tokens.ChainKey][][32]byte, err error) {
	err = c.s.view(ctx, "seeds", func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, `SELECT `+seal.KeyColumns+`, fingerprint FROM defender.seeds`)
		if err != nil {
			return err
		}
		defer rows.Close()

		seeds, err = seal.Seeds(rows)

		return err
	})

	return seeds, err
}
