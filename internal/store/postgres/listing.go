package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/store"
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
		seeds = make(map[tokens.ChainKey][][32]byte)

		rows, err := q.Query(ctx, `SELECT login_host, tenant_id, client_id, fingerprint FROM defender.seeds`)
		if err != nil {
			return err
		}
		defer rows.Close()

		for rows.Next() {
			var (
				key         tokens.ChainKey
				fingerprint []byte
			)
			if err := rows.Scan(&key.LoginHost, &key.TenantID, &key.ClientID, &fingerprint); err != nil {
				return err
			}

			if len(fingerprint) != 32 {
				return fmt.Errorf("%w: a seed of tenant %q", store.ErrDamaged, key.TenantID)
			}

			seeds[key] = append(seeds[key], [32]byte(fingerprint))
		}

		return rows.Err()
	})

	return seeds, err
}
