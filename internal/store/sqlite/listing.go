package sqlite

import (
	"context"

	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/tokens"
)

// DocumentNames implements store.Documents. A damaged document counts as not there.
func (s *Store) DocumentNames(ctx context.Context) (names []string, err error) {
	err = s.view(ctx, s.sh.units, func(t tx) error {
		names = nil

		rows, err := t.rows(`SELECT name, body, crc FROM documents ORDER BY name`)
		if err != nil {
			return err
		}
		defer rows.Close()

		for rows.Next() {
			var (
				name string
				body []byte
				sum  int64
			)
			if err := rows.Scan(&name, &body, &sum); err != nil {
				return err
			}

			if sum == documentSum(name, body) {
				names = append(names, name)
			}
		}

		return rows.Err()
	})

	return names, err
}

// Seeds implements store.Chains.
func (c *Chains) Seeds(ctx context.Context) (seeds map[tokens.ChainKey][][32]byte, err error) {
	err = c.s.view(ctx, c.s.sh.tokens, func(t tx) error {
		rows, err := t.rows(`SELECT ` + seal.KeyColumns + `, fingerprint FROM seeds`)
		if err != nil {
			return err
		}
		defer rows.Close()

		seeds, err = seal.Seeds(rows)

		return err
	})

	return seeds, err
}
