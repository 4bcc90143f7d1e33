package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"fluent-bit-defender/internal/alert"
)

// Forget implements store.Units. A process that has polled the unit reads it again when
// it polls it next (Load).
func (s *Store) Forget(ctx context.Context, key alert.UnitKey) (known bool, err error) {
	err = s.update(ctx, s.sh.units, func(t tx) error {
		known = false

		delete(s.sh.cache.m, key)

		if err := t.exec(`DELETE FROM rewinds WHERE `+ofUnit, keyArgs(key)...); err != nil {
			return err
		}

		var id int64

		err := t.row(`SELECT id FROM feeds WHERE `+ofUnit, keyArgs(key)...).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}

		if err != nil {
			return err
		}

		known = true

		for _, query := range []string{
			`DELETE FROM status WHERE feed = ?`,
			`DELETE FROM deferred WHERE feed = ?`,
			`DELETE FROM feeds WHERE id = ?`,
		} {
			if err := t.exec(query, id); err != nil {
				return err
			}
		}

		return t.exec(`DELETE FROM seen WHERE id BETWEEN ? AND ?`, id<<seqBits, (id+1)<<seqBits-1)
	})

	return known, err
}
