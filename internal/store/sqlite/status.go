package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// Keys implements Units.
func (s *Store) Keys(ctx context.Context) (keys []alert.UnitKey, err error) {
	err = s.view(ctx, s.sh.units, func(t tx) error {
		keys = nil

		rows, err := t.rows(`SELECT login_host, tenant_id, api, state_id FROM feeds`)
		if err != nil {
			return err
		}
		defer rows.Close()

		for rows.Next() {
			var k alert.UnitKey
			if err := rows.Scan(&k.LoginHost, &k.TenantID, &k.API, &k.StateID); err != nil {
				return err
			}

			keys = append(keys, k)
		}

		return rows.Err()
	})

	slices.SortFunc(keys, func(a, b alert.UnitKey) int {
		return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.API, b.API),
			cmp.Compare(a.StateID, b.StateID), cmp.Compare(a.LoginHost, b.LoginHost))
	})

	return keys, err
}

// SetStatus implements Units.
func (s *Store) SetStatus(ctx context.Context, statuses map[alert.UnitKey]store.Status) error {
	if len(statuses) == 0 {
		return ctx.Err()
	}

	sh := s.sh

	return s.update(ctx, sh.units, func(t tx) error {
		for key, status := range statuses {
			data, err := json.Marshal(status)
			if err != nil {
				return fmt.Errorf("status of tenant %s: %w", key.TenantID, err)
			}

			fc, err := sh.ensure(t, key)
			if err != nil {
				return err
			}

			if err := t.exec(
				`INSERT INTO status VALUES (?, ?) ON CONFLICT DO UPDATE SET data = excluded.data`,
				fc.id,
				data,
			); err != nil {
				return err
			}
		}

		return sh.alive(t, sh.uptime())
	})
}

// Statuses implements Units.
func (s *Store) Statuses(ctx context.Context) (statuses map[alert.UnitKey]store.Status, err error) {
	err = s.view(ctx, s.sh.units, func(t tx) error {
		statuses = make(map[alert.UnitKey]store.Status)

		rows, err := t.rows(
			`SELECT login_host, tenant_id, api, state_id, data FROM status JOIN feeds ON feeds.id = feed`,
		)
		if err != nil {
			return err
		}
		defer rows.Close()

		for rows.Next() {
			var (
				k    alert.UnitKey
				data []byte
			)
			if err := rows.Scan(&k.LoginHost, &k.TenantID, &k.API, &k.StateID, &data); err != nil {
				return err
			}

			var status store.Status
			if json.Unmarshal(data, &status) != nil {
				continue // damaged: it is written again within seconds
			}

			statuses[k] = status
		}

		return rows.Err()
	})

	return statuses, err
}

// Status implements Units.
func (s *Store) Status(ctx context.Context, key alert.UnitKey) (status store.Status, ok bool, err error) {
	err = s.view(ctx, s.sh.units, func(t tx) error {
		status, ok = store.Status{}, false

		var data []byte

		err := t.row(`SELECT data FROM status JOIN feeds ON feeds.id = feed WHERE `+ofUnit, keyArgs(key)...).
			Scan(&data)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}

		ok = err == nil && json.Unmarshal(data, &status) == nil // a damaged one is written again within seconds

		return err
	})

	return status, ok, err
}

// Rewind implements Units. `defenderctl rewind` calls it; the process that runs inputs,
// now or later, carries it out.
func (s *Store) Rewind(ctx context.Context, key alert.UnitKey, since tick.Tick) error {
	return s.update(ctx, s.sh.units, func(t tx) error {
		err := t.exec(
			`INSERT INTO rewinds VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET since = min(since, excluded.since)`,
			key.LoginHost,
			key.TenantID,
			key.API,
			key.StateID,
			int64(since),
		)

		return err
	})
}

// PendingRewind implements Units.
func (s *Store) PendingRewind(ctx context.Context, keys ...alert.UnitKey) (
	pending map[alert.UnitKey]tick.Tick, err error,
) {
	err = s.view(ctx, s.sh.units, func(t tx) error {
		pending = make(map[alert.UnitKey]tick.Tick)

		rows, err := t.rows(`SELECT login_host, tenant_id, api, state_id, since FROM rewinds`)
		if err != nil {
			return err
		}
		defer rows.Close()

		for rows.Next() {
			var (
				k     alert.UnitKey
				since tick.Tick
			)
			if err := rows.Scan(&k.LoginHost, &k.TenantID, &k.API, &k.StateID, &since); err != nil {
				return err
			}

			if len(keys) == 0 || slices.Contains(keys, k) {
				pending[k] = since
			}
		}

		return rows.Err()
	})

	return pending, err
}

// ApplyRewind implements Units.
func (s *Store) ApplyRewind(ctx context.Context, key alert.UnitKey) (c store.Checkpoint, ok bool, err error) {
	err = s.update(ctx, s.sh.units, func(t tx) error {
		c, ok = store.Checkpoint{}, false

		var since tick.Tick

		err := t.row(`DELETE FROM rewinds WHERE `+ofUnit+` RETURNING since`, keyArgs(key)...).Scan(&since)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}

		if err != nil {
			return err
		}

		fc, err := s.sh.unit(t, key)
		if fc == nil || err != nil || !fc.state.Has {
			return err
		}

		fc.state.Rewind(since)

		if err := t.exec(`UPDATE feeds SET state = ? WHERE id = ?`, fc.state.Encode(), fc.id); err != nil {
			return err
		}

		c, ok = fc.state.Now.Checkpoint, true

		return fc.seen.Filter(fc.table(t), since)
	})
	if err != nil {
		return store.Checkpoint{}, false, err
	}

	return c, ok, nil
}

// ClearRewind implements Units.
func (s *Store) ClearRewind(ctx context.Context, key alert.UnitKey) error {
	return s.update(ctx, s.sh.units, func(t tx) error {
		err := t.exec(`DELETE FROM rewinds WHERE `+ofUnit, keyArgs(key)...)

		return err
	})
}
