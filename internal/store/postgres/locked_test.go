package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/storetest"
)

// lockTable locks a table as LOCK TABLE or VACUUM FULL does, until unlock is called.
func lockTable(t *testing.T, d *pgtest.Database, table string) (unlock func()) {
	t.Helper()

	c, err := pgx.Connect(t.Context(), d.URL().Reveal())
	if err != nil {
		t.Fatal(err)
	}

	if _, err := c.Exec(t.Context(), `BEGIN; LOCK TABLE defender.`+table); err != nil {
		t.Fatal(err)
	}

	return func() { _ = c.Close(context.Background()) }
}

func TestALockedTableEndsCallsWithAClearError(t *testing.T) {
	d, key := pgtest.New(t), storetest.Key(1)
	openOn(t, d) // the tables are there

	s := openOn(t, d, func(o *Options) { o.Inputs, o.CallLimit = true, time.Second })
	until(t, "Join", func(ctx context.Context) error { return s.Join(ctx, testNode("a")) })
	until(t, "Claim", func(ctx context.Context) error {
		_, err := s.Claim(ctx, store.Claim{Units: []alert.UnitKey{key}, Most: 1})
		return err
	})

	for table, call := range map[string]func(ctx context.Context) error{
		"nodes":   func(ctx context.Context) error { _, err := s.Renew(ctx); return err },
		"units":   func(ctx context.Context) error { return s.Commit(ctx, []store.Commit{{Key: key}}) },
		"rewinds": func(ctx context.Context) error { return s.Rewind(ctx, key, 1) },
		"seen":    func(ctx context.Context) error { _, _, _, err := s.Load(ctx, key); return err },
	} {
		unlock := lockTable(t, d, table)

		err := call(t.Context())
		if !errors.Is(err, store.ErrUnreachable) || !strings.Contains(err.Error(), "a table is locked") {
			t.Errorf("%s: %v", table, err)
		}

		// A call that gave up does not wait on the server for ever.
		until(t, table, func(context.Context) error {
			n := d.Count(t, `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type = 'Lock'`)
			if n > 0 {
				return errors.New("calls that gave up wait on the server")
			}

			return nil
		})
		unlock()
		until(t, table, call)
	}
}
