package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// clocksAgree is how much the clock of this process may differ from that of the database
// before times in a status are converted: they would not come back as they were.
const clocksAgree = 2 * time.Second

// ahead returns how much the clock of the database is ahead of that of this process, in
// whole seconds; 0 if the two agree.
func (s *Store) ahead(database time.Time) time.Duration {
	d := database.Sub(s.o.Now()).Round(time.Second)
	if d.Abs() <= clocksAgree {
		return 0
	}

	return d
}

// shifted returns a status with its times on another clock.
func shifted(st store.Status, by time.Duration) store.Status {
	if by == 0 {
		return st
	}

	for _, t := range []*time.Time{&st.Since, &st.LastSuccess, &st.LastAlert, &st.UpdatedAt} {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}

	st.History = slices.Clone(st.History)
	for i := range st.History {
		st.History[i].At = st.History[i].At.Add(by)
	}

	return st
}

// SetStatus implements store.Units.
func (s *Store) SetStatus(ctx context.Context, statuses map[alert.UnitKey]store.Status) error {
	if len(statuses) == 0 {
		return ctx.Err()
	}

	return s.write(ctx, "set-status", slices.Collect(maps.Keys(statuses)), func(ctx context.Context, w *writing) error {
		now, err := s.databaseTime(ctx, w.t)
		if err != nil {
			return err
		}

		var (
			ids  []int64
			data []string
			by   = s.ahead(now)
		)

		for key, u := range w.units {
			text, err := json.Marshal(shifted(statuses[key], by))
			if err != nil {
				return fmt.Errorf("status of tenant %s: %w", key.TenantID, err)
			}

			ids, data = append(ids, u.id), append(data, string(text))
		}

		_, err = w.t.Exec(ctx, `INSERT INTO defender.status (unit, data)
			SELECT * FROM unnest($1::bigint[], $2::text[])
			ON CONFLICT (unit) DO UPDATE SET data = excluded.data`, ids, data)

		return err
	})
}

// Statuses implements store.Units.
func (s *Store) Statuses(ctx context.Context) (statuses map[alert.UnitKey]store.Status, err error) {
	err = s.view(ctx, "statuses", func(ctx context.Context, q querier) error {
		statuses = make(map[alert.UnitKey]store.Status)

		rows, err := q.Query(ctx, `SELECT u.login_host, u.tenant_id, u.api, u.state_id, s.data, defender.clock()
			FROM defender.status s JOIN defender.units u ON u.id = s.unit`)
		if err != nil {
			return err
		}

		var (
			key  alert.UnitKey
			data string
			now  time.Time
		)

		_, err = pgx.ForEachRow(rows, []any{&key.LoginHost, &key.TenantID, &key.API, &key.StateID, &data, &now},
			func() error {
				if status, ok := s.readStatus(data, now); ok {
					statuses[key] = status
				}

				return nil
			})

		return err
	})

	return statuses, err
}

// Status implements store.Units.
func (s *Store) Status(ctx context.Context, key alert.UnitKey) (status store.Status, ok bool, err error) {
	err = s.view(ctx, "status", func(ctx context.Context, q querier) error {
		status, ok = store.Status{}, false

		var (
			data string
			now  time.Time
		)

		err := q.QueryRow(ctx, `SELECT s.data, defender.clock()
			FROM defender.status s JOIN defender.units u ON u.id = s.unit WHERE `+ofUnit, keyArgs(key)...).
			Scan(&data, &now)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}

		if err == nil {
			status, ok = s.readStatus(data, now)
		}

		return err
	})

	return status, ok, err
}

// readStatus reads a status. One that is damaged is none: it is written anew within
// seconds.
func (s *Store) readStatus(data string, now time.Time) (store.Status, bool) {
	var status store.Status
	if json.Unmarshal([]byte(data), &status) != nil {
		return store.Status{}, false
	}

	return shifted(status, -s.ahead(now)), true
}
