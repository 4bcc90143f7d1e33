package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/sqlite"
	"fluent-bit-defender/internal/store/transfer"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/tokens"
)

// files opens a store in files, with the key that is filled with one byte, or without one
// for 0.
func files(t *testing.T, dir string, fill byte) store.Store {
	t.Helper()

	o := sqlite.Options{Dir: dir, Inputs: true}
	if fill != 0 {
		o.Key = bytes.Repeat([]byte{fill}, 32)
	}

	s, err := sqlite.Open(o)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = s.Close() })

	return s
}

func unit(tenant, state string) alert.UnitKey {
	return alert.UnitKey{
		LoginHost: "login.test",
		TenantID:  alert.TenantID(tenant),
		API:       alert.Graph,
		StateID:   state,
	}
}

func chain(tenant string) tokens.ChainKey {
	return tokens.ChainKey{LoginHost: "login.test", TenantID: tenant, ClientID: "client"}
}

// fill puts something of each kind into a store.
func fill(t *testing.T, s store.Store) {
	t.Helper()

	do := func(err error) {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}
	}

	now := time.Now().Truncate(time.Second).UTC()

	for i, tenant := range []string{"a", "b", "c"} {
		do(s.Tokens().Save(t.Context(), chain(tenant), tokens.Chain{
			Refresh:    secret.New("refresh-" + tenant),
			Previous:   secret.New("previous-" + tenant),
			TenantName: "Tenant " + tenant,
			Account:    "soc@" + tenant,
			Obtained:   now,
			Home:       tenant == "a",
		}, [32]byte{byte(i), 1}, [32]byte{byte(i), 2}))

		at := tick.FromTime(now)
		c := store.Commit{
			Key: unit(tenant, ""),
			Checkpoint: store.Checkpoint{
				Floor:     at - 1000*tick.Minute,
				Watermark: at,
				SeenSince: at - 100*tick.Minute,
				Swept:     at - tick.Minute,
				Lateness:  time.Duration(i) * time.Minute,
			},
		}

		for n := range 50 * i {
			c.Seen = append(c.Seen, store.Seen{Key: [16]byte{byte(n), byte(i)}, Time: at - tick.Tick(n)*tick.Minute})
		}

		do(s.Commit(t.Context(), []store.Commit{c}))
		do(s.SetStatus(t.Context(), map[alert.UnitKey]store.Status{
			unit(tenant, ""): {
				TenantName: tenant,
				State:      "ok",
				Emitted:    uint64(i),
				UpdatedAt:  now,
			},
		}))
	}

	for _, d := range []store.Deferred{
		{
			Kind:    store.RejectedEvent,
			Events:  []byte("event\x00\xff"),
			Reason:  "refused",
			Tries:   2,
			NextTry: now,
		},
		{
			Kind:    store.ParkedBatch,
			Events:  bytes.Repeat([]byte("e"), 100_000),
			Reason:  "parked",
			NextTry: now,
		},
		{
			Kind:    store.UnreadableWindow,
			From:    1,
			To:      2,
			Reason:  "unreadable",
			NextTry: now,
		},
	} {
		_, err := s.PutDeferred(t.Context(), unit("b", ""), d)
		do(err)
	}

	do(s.Rewind(t.Context(), unit("c", ""), tick.FromTime(now.Add(-time.Hour))))
	do(s.SetDocument(t.Context(), "customers", []byte("list\x00\xff")))
	do(s.SetDocument(t.Context(), "empty", []byte{}))
}

// content is all that a store has, for a comparison.
func content(t *testing.T, s store.Store) map[string]any {
	t.Helper()

	all := map[string]any{}
	note := func(name string, v any, err error) {
		t.Helper()

		if err != nil {
			t.Fatal(name, err)
		}

		all[name] = v
	}

	for _, tenant := range []string{"a", "b", "c"} {
		c, ok, err := s.Tokens().Load(t.Context(), chain(tenant))
		c.Version = 0
		note("refresh "+tenant, []any{c.Refresh.Reveal(), c.Previous.Reveal(), ok}, err)
		c.Refresh, c.Previous = secret.Text{}, secret.Text{}
		note("chain "+tenant, c, nil)

		checkpoint, seen, ok, err := s.Load(t.Context(), unit(tenant, ""))
		set := map[store.Seen]bool{}

		for _, one := range seen {
			set[one] = true
		}

		note("unit "+tenant, []any{checkpoint, set, ok}, err)

		list, err := s.ListDeferred(t.Context(), unit(tenant, ""))
		for i := range list {
			events, _, eventsErr := s.DeferredEvents(t.Context(), unit(tenant, ""), list[i].ID)
			err = errors.Join(err, eventsErr)
			list[i].ID, list[i].Events = 0, events
			list[i].NextTry = list[i].NextTry.UTC()
		}

		note("deferred "+tenant, append([]store.Deferred{}, list...), err)

		status, ok, err := s.Status(t.Context(), unit(tenant, ""))
		note("status "+tenant, []any{status.TenantName, status.Emitted, status.State, ok}, err)
	}

	seeds, err := s.Tokens().Seeds(t.Context())
	count := map[tokens.ChainKey]int{}

	for key, list := range seeds {
		count[key] = len(list)
	}

	note("seeds", count, err)

	pending, err := s.PendingRewind(t.Context())
	note("rewinds", pending, err)

	names, err := s.DocumentNames(t.Context())
	note("documents", names, err)

	body, ok, err := s.Document(t.Context(), "customers")
	note("customers", []any{string(body), ok}, err)

	return all
}

func expectSame(t *testing.T, got, want map[string]any) {
	t.Helper()

	for name := range want {
		if !reflect.DeepEqual(got[name], want[name]) {
			t.Errorf("%s: %+v; want %+v", name, got[name], want[name])
		}
	}
}

var filled = transfer.Counts{
	Tokens:    3,
	Seeds:     6,
	Units:     3,
	Seen:      150,
	Deferred:  3,
	Statuses:  3,
	Rewinds:   1,
	Documents: 2,
}

// copied copies a filled store, and compares source and target with what was there.
func copied(t *testing.T, from, to store.Store) {
	t.Helper()
	fill(t, from)

	want := content(t, from)

	n, err := transfer.Copy(t.Context(), from, to)
	if err != nil || n != filled {
		t.Fatalf("%+v, %v", n, err)
	}

	expectSame(t, content(t, to), want)
	expectSame(t, content(t, from), want)
}

func TestACopyHasAllAndIsEncryptedWithItsOwnKey(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	source, target := files(t, from, 1), files(t, to, 2)
	copied(t, source, target)
	want := content(t, target)

	if err := target.Close(); err != nil {
		t.Fatal(err)
	}

	expectSame(t, content(t, files(t, to, 2)), want)
}

// database opens a store in a database, as a command does.
func database(t *testing.T, d *pgtest.Database) store.Store {
	t.Helper()

	s, err := postgres.Open(postgres.Options{URL: d.URL(), Key: bytes.Repeat([]byte{3}, 32)})
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = s.Close() })

	return s
}

func TestACopyToPostgresAndBack(t *testing.T) {
	dir := t.TempDir()
	source, shared := files(t, filepath.Join(dir, "from"), 1), database(t, pgtest.New(t))
	copied(t, source, shared)

	want := content(t, source)
	back := files(t, filepath.Join(dir, "back"), 2)

	if n, err := transfer.Copy(t.Context(), shared, back); err != nil || n != filled {
		t.Fatalf("%+v, %v", n, err)
	}

	expectSame(t, content(t, back), want)
}

func TestNothingIsCopiedWhileANodeLives(t *testing.T) {
	d := pgtest.New(t)
	shared := database(t, d)
	other := files(t, filepath.Join(t.TempDir(), "files"), 0)
	fill(t, other)
	d.Exec(t, `INSERT INTO defender.nodes (id, session, version, joined_at, renewed_at, expires_at, ttl, replay)
		VALUES ('collector-1', 's', 'v', now(), now(), now() + interval '1 hour', '15s', '15m')`)

	for name, pair := range map[string][2]store.Store{
		"to the database":   {other, shared},
		"from the database": {shared, files(t, filepath.Join(t.TempDir(), "empty"), 0)},
	} {
		_, err := transfer.Copy(t.Context(), pair[0], pair[1])
		if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), "collector-1") {
			t.Errorf("%s: %v", name, err)
		}
	}

	if n, err := transfer.Count(t.Context(), shared); err != nil || n != (transfer.Counts{}) {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestATargetThatIsNotEmptyIsRefused(t *testing.T) {
	for name, put := range map[string]func(ctx context.Context, s store.Store) error{
		"a chain": func(ctx context.Context, s store.Store) error {
			return s.Tokens().Save(ctx, chain("x"), tokens.Chain{Refresh: secret.New("x")})
		},
		"a unit": func(ctx context.Context, s store.Store) error {
			return s.Commit(ctx, []store.Commit{{Key: unit("x", "")}})
		},
		"a status": func(ctx context.Context, s store.Store) error {
			return s.SetStatus(ctx, map[alert.UnitKey]store.Status{unit("x", ""): {}})
		},
		"a request": func(ctx context.Context, s store.Store) error { return s.Rewind(ctx, unit("x", ""), 1) },
		"a document": func(ctx context.Context, s store.Store) error {
			return s.SetDocument(ctx, "x", []byte("x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			source, target := files(t, filepath.Join(dir, "from"), 0), files(t, filepath.Join(dir, "to"), 0)

			if err := put(t.Context(), target); err != nil {
				t.Fatal(err)
			}

			before, err := transfer.Count(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}

			if _, err := transfer.Copy(t.Context(), source, target); !errors.Is(err, transfer.ErrNotEmpty) {
				t.Error(err)
			}

			if after, err := transfer.Count(t.Context(), target); err != nil || after != before {
				t.Errorf("%+v, %v; want %+v", after, err, before)
			}
		})
	}
}

// failing is a store whose documents cannot be written but for the mark.
type failing struct{ store.Store }

var errDisk = errors.New("no disk")

func (f failing) SetDocument(ctx context.Context, name string, body []byte) error {
	if name != store.CopyMark {
		return errDisk
	}

	return f.Store.SetDocument(ctx, name, body)
}

func TestAnInterruptedCopyIsKnownAsSuch(t *testing.T) {
	dir := t.TempDir()
	source, target := files(t, filepath.Join(dir, "from"), 0), files(t, filepath.Join(dir, "to"), 0)
	fill(t, source)
	want := content(t, source)

	if _, err := transfer.Copy(t.Context(), source, failing{target}); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}

	expectSame(t, content(t, source), want)

	if _, err := transfer.Copy(t.Context(), source, target); !errors.Is(err, transfer.ErrInterrupted) {
		t.Errorf("the next copy to it: %v", err)
	}

	third := files(t, filepath.Join(dir, "third"), 0)
	if _, err := transfer.Copy(t.Context(), target, third); !errors.Is(err, transfer.ErrInterrupted) {
		t.Errorf("a copy of it: %v", err)
	}

	if n, err := transfer.Count(t.Context(), third); err != nil || n != (transfer.Counts{}) {
		t.Errorf("%+v, %v", n, err)
	}
}
