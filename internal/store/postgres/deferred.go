package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// ListDeferred implements store.Units.
func (s *Store) ListDeferred(ctx context.Context, key alert.UnitKey) (list []store.Deferred, err error) {
	err = s.view(ctx, "list-deferred", func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, `SELECT d.id, d.kind, d.since, d.until, d.reason, d.tries, d.next_try, d.replay,
				defender.clock()
			FROM defender.deferred d JOIN defender.units u ON u.id = d.unit
			WHERE `+ofUnit+` AND d.gone_at IS NULL ORDER BY d.id`, keyArgs(key)...)
		if err != nil {
			return err
		}

		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d store.Deferred, err error) {
			var (
				next int64
				now  time.Time
			)

			err = row.Scan(&d.ID, &d.Kind, &d.From, &d.To, &d.Reason, &d.Tries, &next, &d.Replay, &now)
			d.NextTry = shiftedTime(store.FromNanos(next), -s.ahead(now))

			return d, err
		})

		return err
	})

	return list, err
}

// DeferredEvents implements store.Units.
func (s *Store) DeferredEvents(ctx context.Context, key alert.UnitKey, id int64) (events []byte, ok bool, err error) {
	err = s.view(ctx, "deferred-events", func(ctx context.Context, q querier) error {
		events = nil

		err := q.QueryRow(ctx, `SELECT d.events FROM defender.deferred d JOIN defender.units u ON u.id = d.unit
			WHERE `+ofUnit+` AND d.id = $5::bigint AND d.gone_at IS NULL`, keyArgs(key, id)...).Scan(&events)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}

		return err
	})

	return events, events != nil, err
}

// putQuery adds an entry, or replaces the one with the given ID.
const putQuery = `INSERT INTO defender.deferred
		(id, unit, kind, since, until, reason, tries, next_try, replay, stamp, events)
	SELECT coalesce(nullif($1::bigint, 0), nextval(pg_get_serial_sequence('defender.deferred', 'id'))),
		u.id, $3::text, $4::bigint, $5::bigint, $6::text, $7::bigint, $8::bigint, $9::boolean, $10::bigint, $11::bytea
	FROM defender.units u WHERE u.id = $2::bigint AND u.stamp = $10::bigint
	ON CONFLICT (id) DO UPDATE SET unit = excluded.unit, kind = excluded.kind, since = excluded.since,
		until = excluded.until, reason = excluded.reason, tries = excluded.tries, next_try = excluded.next_try,
		replay = excluded.replay, stamp = excluded.stamp, events = excluded.events, gone_at = NULL
	RETURNING id`

// queuePut queues putQuery. The time of the next try is kept on the clock of the
// database: the next one to try may be another machine.
func (w *writing) queuePut(ctx context.Context, u *unitRow, d store.Deferred) (*pgx.QueuedQuery, error) {
	now, err := w.s.databaseTime(ctx, w.q)
	if err != nil {
		return nil, err
	}

	next := store.Nanos(shiftedTime(d.NextTry, w.s.ahead(now)))

	return w.queue(putQuery, d.ID, u.id, string(d.Kind), int64(d.From), int64(d.To), clean(d.Reason), int64(d.Tries),
		next, d.Replay, w.stamp, d.Events), nil
}

// shiftedTime returns a time on another clock. The zero time stays zero.
func shiftedTime(t time.Time, by time.Duration) time.Time {
	if t.IsZero() {
		return t
	}

	return t.Add(by)
}

// PutDeferred implements store.Units.
func (s *Store) PutDeferred(ctx context.Context, key alert.UnitKey, d store.Deferred) (id int64, err error) {
	err = s.write(ctx, "put-deferred", []alert.UnitKey{key}, func(ctx context.Context, w *writing) error {
		u := w.units[key]

		if stamp, ok := s.doubts.put(key, &d); ok && d.ID == 0 {
			err := w.q.QueryRow(ctx, `SELECT id FROM defender.deferred WHERE unit = $1::bigint AND stamp = $2::bigint`,
				u.id, stamp).Scan(&d.ID)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}

		w.doing(key, doubt{put: &d})

		put, err := w.queuePut(ctx, u, d)
		if err != nil {
			return err
		}

		put.Query(func(rows pgx.Rows) (err error) {
			_, err = pgx.ForEachRow(rows, []any{&id}, func() error { return nil })
			return err
		})

		return nil
	})
	if err != nil {
		return 0, err
	}

	return id, nil
}

// DropDeferred implements store.Units.
func (s *Store) DropDeferred(ctx context.Context, key alert.UnitKey, id int64) error {
	return s.write(ctx, "drop-deferred", []alert.UnitKey{key}, func(ctx context.Context, w *writing) error {
		w.queueDrop(w.units[key], id)

		return nil
	})
}

// queueDrop queues the removal of an entry, in two steps: it is hidden now, and deleted
// when no takeover can bring it back any more.
func (w *writing) queueDrop(u *unitRow, id int64) {
	at := time.UnixMicro(w.now.At.Microseconds())

	w.queue(`UPDATE defender.deferred d SET gone_at = $3::timestamptz
		FROM defender.units u
		WHERE d.unit = $1::bigint AND d.id = $2::bigint AND d.gone_at IS NULL
			AND u.id = d.unit AND u.stamp = $4::bigint`, u.id, id, at, w.stamp)
	w.queue(`DELETE FROM defender.deferred d USING defender.units u
		WHERE d.unit = $1::bigint AND d.gone_at < $2::timestamptz - $3::interval
			AND u.id = d.unit AND u.stamp = $4::bigint`, u.id, at, w.s.policy().Window, w.stamp)
}
