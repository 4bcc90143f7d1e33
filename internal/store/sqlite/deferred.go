package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
)

// ListDeferred implements Units.
func (s *Store) ListDeferred(ctx context.Context, key alert.UnitKey) (list []store.Deferred, err error) {
	err = s.view(ctx, s.sh.units, func(t tx) error {
		list = nil

		rows, err := t.rows(
			`SELECT d.id, kind, since, until, reason, tries, next_try FROM deferred d JOIN feeds ON feeds.id = feed
			WHERE `+ofUnit+` AND gone_boot IS NULL ORDER BY d.id`,
			keyArgs(key)...,
		)
		if err != nil {
			return err
		}
		defer rows.Close()

		for rows.Next() {
			var (
				d    store.Deferred
				next int64
			)
			if err := rows.Scan(&d.ID, &d.Kind, &d.From, &d.To, &d.Reason, &d.Tries, &next); err != nil {
				return err
			}

			d.NextTry = store.FromNanos(next)
			list = append(list, d)
		}

		return rows.Err()
	})

	return list, err
}

// DeferredEvents implements Units.
func (s *Store) DeferredEvents(ctx context.Context, key alert.UnitKey, id int64) (events []byte, ok bool, err error) {
	err = s.view(ctx, s.sh.units, func(t tx) error {
		events = nil

		err := t.row(`SELECT events FROM deferred d JOIN feeds ON feeds.id = feed
			WHERE `+ofUnit+` AND d.id = ? AND gone_boot IS NULL`, append(keyArgs(key), id)...).Scan(&events)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}

		return err
	})

	return events, events != nil, err
}

// PutDeferred implements Units.
func (s *Store) PutDeferred(ctx context.Context, key alert.UnitKey, d store.Deferred) (id int64, err error) {
	err = s.update(ctx, s.sh.units, func(t tx) error {
		fc, err := s.sh.ensure(t, key)
		if err == nil {
			id, err = fc.putDeferred(t, d)
		}

		return err
	})

	return id, err
}

func (fc *unitCache) putDeferred(t tx, d store.Deferred) (id int64, err error) {
	var given any // NULL: SQLite chooses
	if d.ID != 0 {
		given = d.ID
	}

	err = t.row(`INSERT OR REPLACE INTO deferred (id, feed, kind, since, until, reason, tries, next_try, events)
		VALUES (?,?,?,?,?,?,?,?,?) RETURNING id`,
		given, fc.id, d.Kind, int64(d.From), int64(d.To), d.Reason, d.Tries, store.Nanos(d.NextTry), d.Events).
		Scan(&id)

	return id, err
}

// DropDeferred implements Units.
func (s *Store) DropDeferred(ctx context.Context, key alert.UnitKey, id int64) error {
	return s.update(ctx, s.sh.units, func(t tx) error {
		fc, err := s.sh.unit(t, key)
		if fc == nil || err != nil {
			return err
		}

		return fc.dropDeferred(t, id, s.sh.moment())
	})
}

// dropDeferred removes an entry in two steps: it is hidden now, and deleted when
// CrashWindow has passed. After a power cut its events may be in no chunk file, and
// nothing else would read them again.
func (fc *unitCache) dropDeferred(t tx, id int64, now unitstate.Moment) error {
	if err := t.exec(
		`UPDATE deferred SET gone_boot = ?, gone_at = ? WHERE id = ? AND feed = ?`,
		now.Boot,
		int64(now.At),
		id,
		fc.id,
	); err != nil {
		return err
	}

	err := t.exec(
		`DELETE FROM deferred WHERE gone_boot < ? OR gone_at <= ?`,
		now.Boot,
		int64(now.At-store.CrashWindow),
	)

	return err
}
