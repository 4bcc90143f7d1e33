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
	"github.com/jackc/pgx/v5/pgxpool"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// clocksAgree is how much the clock of this process may differ from that of the
// database before times in a status are converted. Converting them for less would make
// them inexact for nothing.
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

// shifted returns a status with its times on another clock. The end of a relationship
// stays: Microsoft sets it.
func shifted(st store.Status, by time.Duration) store.Status {
	if by == 0 {
		return st
	}

	for _, t := range []*time.Time{&st.Since, &st.LastSuccess, &st.LastAlert, &st.UpdatedAt} {
		*t = shiftedTime(*t, by)
	}

	st.Hours = st.Hours.Shifted(int64(by.Round(time.Hour) / time.Hour))

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

	if err := s.writable(); err != nil {
		return err
	}

	var fenced []alert.UnitKey

	err := s.call(ctx, writeCall, "set-status", func(ctx context.Context) error {
		return s.attempts(ctx, func(c *pgxpool.Conn) (again bool, err error) {
			fenced, err = s.setStatus(ctx, c, statuses)

			return broken(err) || retryable(err), err
		})
	})
	if err == nil && len(fenced) > 0 {
		return &store.FencedError{Units: fenced}
	}

	return err
}

// setStatus writes in one statement, and returns the units that may not be written to.
func (s *Store) setStatus(ctx context.Context, q querier, statuses map[alert.UnitKey]store.Status) (
	[]alert.UnitKey, error,
) {
	now, err := s.databaseTime(ctx, q)
	if err != nil {
		return nil, err
	}

	keys := slices.Collect(maps.Keys(statuses))

	ids, epochs, err := s.statusUnits(ctx, q, keys)
	if err != nil {
		return nil, err
	}

	var (
		units, under []int64
		data         []string
		by           = s.ahead(now)
		asked        = s.o.Uptime()
	)

	for key, id := range ids {
		text, err := json.Marshal(shifted(statuses[key], by))
		if err != nil {
			return nil, fmt.Errorf("status of tenant %s: %w", key.TenantID, err)
		}

		units, under, data = append(units, id), append(under, epochs[key]), append(data, string(text))
	}

	rows, err := q.Query(ctx, `INSERT INTO defender.status AS s (unit, data)
		SELECT u.id, c.data
		FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS c (id, epoch, data) JOIN defender.units u USING (id)
		WHERE `+mayWrite+` ORDER BY u.id
		ON CONFLICT (unit) DO UPDATE SET data = excluded.data
		RETURNING s.unit, defender.clock()`, s.held.self().ID, units, under, data)
	if err != nil {
		return nil, err
	}

	var (
		unit    int64
		written = make(map[int64]bool)
	)

	_, err = pgx.ForEachRow(rows, []any{&unit, &now}, func() error {
		written[unit] = true
		return nil
	})
	if err != nil {
		return nil, err
	}

	if len(written) > 0 {
		s.clock.observe(asked, now)
	}

	return slices.DeleteFunc(keys, func(key alert.UnitKey) bool { return written[ids[key]] }), nil
}

// statusUnits returns the ids of units, and the epochs of those that are held. An
// opening without inputs makes the rows of units that are not known yet.
func (s *Store) statusUnits(ctx context.Context, q querier, keys []alert.UnitKey) (
	ids, epochs map[alert.UnitKey]int64, err error,
) {
	ids, epochs = make(map[alert.UnitKey]int64), make(map[alert.UnitKey]int64)

	if !s.o.Inputs {
		made, err := makeRows(ctx, q, keys)
		if err != nil {
			return nil, nil, err
		}

		for id, key := range made {
			ids[key] = id
		}
	}

	for _, key := range keys {
		if u := s.held.unit(key); u != nil {
			ids[key], epochs[key] = u.id, u.epoch
		}
	}

	return ids, epochs, nil
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

// readStatus reads a status. It returns false for a damaged one, which is written again
// within seconds.
func (s *Store) readStatus(data string, now time.Time) (store.Status, bool) {
	var status store.Status
	if json.Unmarshal([]byte(data), &status) != nil {
		return store.Status{}, false
	}

	return shifted(status, -s.ahead(now)), true
}
