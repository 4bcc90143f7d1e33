package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/storetest"
	"fluent-bit-defender/internal/testbed/loglines"
)

// nextVersion are the tables as the next version of this program may have them.
func nextVersion(t *testing.T) schema {
	t.Helper()

	next := schema{schemaVersion + 1, fstest.MapFS{
		fmt.Sprintf("migrations/%d.sql", schemaVersion+1): {Data: []byte(`ALTER TABLE defender.units ADD more text`)},
	}}

	for v := range schemaVersion {
		name := fmt.Sprintf("migrations/%d.sql", v+1)

		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}

		next.files.(fstest.MapFS)[name] = &fstest.MapFile{Data: text}
	}

	return next
}

// A rolling update to a version with other tables: the first new node converts them.
func TestNodesOfTwoVersionsDoNotPollTogether(t *testing.T) {
	d, key := pgtest.New(t), storetest.Key(1)
	first := store.Commit{Key: key, Checkpoint: store.Checkpoint{Watermark: 100}, Seen: storetest.Entries(10, 5)}
	old := joined(t, d, "old", key)

	if err := old.Commit(t.Context(), []store.Commit{first}); err != nil {
		t.Fatal(err)
	}

	said := &loglines.Lines{}
	next := openOn(t, d, func(o *Options) {
		o.schema = nextVersion(t)
		o.Inputs = true
		o.Log = said.Logger()
	})

	if lines := said.With("WARN"); len(lines) != 1 || !strings.Contains(lines[0], "the nodes old are of an earlier") {
		t.Errorf("the new node said %q", lines)
	}

	if err := next.Join(t.Context(), testNode("next")); err != nil {
		t.Fatal(err)
	}

	// The old one can neither write nor renew its lease, and says why.
	late := store.Commit{Key: key, Checkpoint: store.Checkpoint{Watermark: 200}}
	if err := old.Commit(t.Context(), []store.Commit{late}); !errors.Is(err, store.ErrFenced) {
		t.Errorf("Commit of the old node = %v", err)
	}

	for range 2 {
		_, err := old.Renew(t.Context())
		if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "install that version here too") {
			t.Errorf("Renew of the old node = %v", err)
		}
	}

	if err := old.Join(t.Context(), testNode("old")); !errors.Is(err, store.ErrNewer) {
		t.Errorf("Join of the old node = %v", err)
	}

	// When the lease has expired the new one goes on, and marks what may come again.
	d.Advance(t, 2*time.Hour)

	if _, err := next.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}

	got, err := next.Claim(t.Context(), store.Claim{Units: []alert.UnitKey{key}, Most: 1, Expired: true})
	if err != nil || len(got) != 1 || !got[0].Takeover {
		t.Errorf("Claim of the new node = %+v, %v", got, err)
	}

	if c, _, _, err := next.Load(t.Context(), key); err != nil || !c.Replay || c.Watermark == 200 {
		t.Errorf("it goes on from %+v, %v", c, err)
	}
}

// defenderctl of the next version does not shut out the nodes that run.
func TestOnlyANodeConvertsTablesInUse(t *testing.T) {
	d := pgtest.New(t)
	old := joined(t, d, "old")
	newer := Options{URL: d.URL(), Key: testKey, schema: nextVersion(t)}

	for _, readOnly := range []bool{false, true} {
		newer.ReadOnly = readOnly

		_, err := Open(newer)
		if !errors.Is(err, store.ErrOlder) || !strings.Contains(err.Error(), "the first node of this version") {
			t.Errorf("ReadOnly %t: %v", readOnly, err)
		}
	}

	if _, err := old.Renew(t.Context()); err != nil {
		t.Errorf("the old node: %v", err)
	}

	// Nobody uses them any more.
	if err := old.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}

	newer.ReadOnly = false
	openOn(t, d, func(o *Options) { *o = newer })

	if _, err := Open(Options{URL: d.URL(), Key: testKey}); !errors.Is(err, store.ErrNewer) {
		t.Errorf("the old defenderctl: %v", err)
	}
}

// The units' rows are locked in the order of their ids, as commits lock them.
func TestAConversionWaitsForCommitsWithoutADeadlock(t *testing.T) {
	d := pgtest.New(t)
	joined(t, d, "old", storetest.Key(1), storetest.Key(2))

	const first, last = `(SELECT min(id) FROM defender.units)`, `(SELECT max(id) FROM defender.units)`

	// The table has the first row behind the last one now.
	d.Exec(t, `UPDATE defender.units SET stamp = stamp + 1 WHERE id = `+first)

	conn, err := pgx.Connect(t.Context(), d.URL().Reveal())
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = conn.Close(context.Background()) }()

	lock := func(id string) {
		if _, err := conn.Exec(t.Context(), `SELECT FROM defender.units WHERE id = `+id+` FOR UPDATE`); err != nil {
			t.Error(err)
		}
	}

	if _, err := conn.Exec(t.Context(), `BEGIN`); err != nil {
		t.Fatal(err)
	}

	lock(first)

	opened := make(chan error, 1)

	go func() {
		s, err := Open(Options{
			URL:    d.URL(),
			Key:    testKey,
			Inputs: true,
			schema: nextVersion(t),
		})
		if err == nil {
			err = s.Close()
		}

		opened <- err
	}()

	until(t, "the conversion", func(context.Context) error {
		waiting := d.Count(t, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`)
		if waiting == 0 {
			return errors.New("it waits for no row")
		}

		return nil
	})

	lock(last)

	if _, err := conn.Exec(t.Context(), `COMMIT`); err != nil {
		t.Error(err)
	}

	if err := <-opened; err != nil {
		t.Error(err)
	}
}
