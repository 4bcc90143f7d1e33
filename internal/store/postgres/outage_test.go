package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/storetest"
	"fluent-bit-defender/internal/tick"
)

// limit is how long a test waits for what has to happen.
const limit = 3 * time.Minute

// testNode returns what the tests join with. Its lease outlasts every test, unless the
// clock of the database is moved.
func testNode(id string) store.Node {
	return store.Node{
		ID:             id,
		TTL:            time.Hour,
		TakeoverReplay: 10 * time.Hour,
		Version:        "test",
	}
}

// unitKeys makes the keys of n units, from the first.
func unitKeys(first, n int) []alert.UnitKey {
	keys := make([]alert.UnitKey, n)
	for i := range keys {
		keys[i] = storetest.Key(first + i)
	}

	return keys
}

// joined opens a store that polls units as a node.
func joined(t testing.TB, d *pgtest.Database, id string, keys ...alert.UnitKey) *Store {
	t.Helper()

	s := openOn(t, d, func(o *Options) { o.Inputs = true })
	if err := s.Join(t.Context(), testNode(id)); err != nil {
		t.Fatal(err)
	}

	claim(t, s, false, keys...)

	return s
}

// claim claims units, all of which must be there.
func claim(t testing.TB, s *Store, expired bool, keys ...alert.UnitKey) {
	t.Helper()

	got, err := s.Claim(t.Context(), store.Claim{Units: keys, Most: len(keys), Expired: expired})
	if err != nil || len(got) != len(keys) {
		t.Fatalf("%d of %d units were claimed: %v", len(got), len(keys), err)
	}
}

// until calls do until it succeeds.
func until(t *testing.T, what string, do func(ctx context.Context) error) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()

	for {
		err := do(ctx)
		if err == nil {
			return
		}

		if pause.For(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// ledger is what a node has been told to be committed.
type ledger struct {
	key  alert.UnitKey
	seen []store.Seen
	next tick.Tick
}

// commitOn commits to all units, again and again until stop is closed, each time what
// was not confirmed before and something new.
func commitOn(t *testing.T, s *Store, ledgers []*ledger, stop <-chan struct{}) {
	for round := 0; ; round++ {
		commits := make([]store.Commit, len(ledgers))

		for i, l := range ledgers {
			seen := storetest.Entries(l.next, 1+rand.IntN(20))
			l.seen = append(l.seen, seen...)
			l.next += tick.Tick(len(seen))
			commits[i] = store.Commit{
				Key:        l.key,
				Checkpoint: store.Checkpoint{Floor: 1, Watermark: l.next, SeenSince: 1},
				Seen:       seen,
			}
		}

		until(t, "Commit", func(ctx context.Context) error {
			err := s.Commit(ctx, commits)
			if errors.Is(err, store.ErrFenced) {
				t.Errorf("a node that nobody has taken over is refused: %v", err)
				return nil
			}

			return err
		})

		select {
		case <-stop:
			return
		default:
		}
	}
}

// survives has two nodes commit while disturb is called some times, and checks that
// nothing that was committed is missing or there twice.
func survives(t *testing.T, d *pgtest.Database, times int, disturb func()) {
	const units = 5

	var (
		writing sync.WaitGroup
		ledgers [2][]*ledger
		stores  [2]*Store
	)

	stop := make(chan struct{})

	for n := range stores {
		keys := unitKeys(n*units, units)
		stores[n] = joined(t, d, fmt.Sprint("node-", n), keys...)

		for _, key := range keys {
			ledgers[n] = append(ledgers[n], &ledger{key: key, next: 1000})
		}

		writing.Go(func() { commitOn(t, stores[n], ledgers[n], stop) })
	}

	for range times {
		for _, s := range stores {
			until(t, "Renew", func(ctx context.Context) error {
				standing, err := s.Renew(ctx)
				if err == nil && len(standing.Held) != units {
					t.Errorf("%d units are held", len(standing.Held))
				}

				return err
			})
		}

		disturb()
	}

	close(stop)
	writing.Wait()

	for n, s := range stores {
		for _, l := range ledgers[n] {
			want := store.Checkpoint{Floor: 1, Watermark: l.next, SeenSince: 1}

			until(t, "Load", func(ctx context.Context) error {
				_, _, _, err := s.Load(ctx, l.key)
				return err
			})
			storetest.Expect(t, s, l.key, want, l.seen)
		}
	}
}

func TestNothingIsLostWhenConnectionsAreCut(t *testing.T) {
	d := pgtest.New(t)
	survives(t, d, 20, func() { d.Disconnect(t) })
}

func TestNothingIsLostWhenTheServerIsRestartedOrKilled(t *testing.T) {
	server := pgtest.Start(t)
	kill := false

	survives(t, server.New(t), 4, func() {
		if kill {
			server.Kill(t)
			server.Launch(t)
		} else {
			server.Restart(t)
		}

		kill = !kill
	})
}

// throughProxy opens a store that polls, behind a network that can fail.
func throughProxy(t *testing.T, d *pgtest.Database, id string, keys ...alert.UnitKey) (*Store, *pgtest.Proxy) {
	t.Helper()

	openOn(t, d) // the tables are there

	proxy := pgtest.NewProxy(t, "unix", d.Server.Socket())
	s := openOn(t, d, func(o *Options) {
		o.Inputs = true
		o.URL = secret.New(fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", proxy.Port(), d.Name))
		o.CallLimit = 2 * time.Second
	})

	until(t, "Join", func(ctx context.Context) error { return s.Join(ctx, testNode(id)) })
	claim(t, s, false, keys...)

	return s, proxy
}

func TestAWriteThatArrivesLateIsRefused(t *testing.T) {
	d := pgtest.New(t)
	key := storetest.Key(1)
	cut, proxy := throughProxy(t, d, "cut", key)
	other := joined(t, d, "other")

	late := store.Commit{Key: key, Checkpoint: store.Checkpoint{Watermark: 100}, Seen: storetest.Entries(10, 5)}
	if err := cut.Commit(t.Context(), []store.Commit{late}); err != nil {
		t.Fatal(err)
	}

	// It writes into a network that lets nothing through, and gives up.
	proxy.Freeze()

	late.Checkpoint.Watermark = 200
	if err := cut.Commit(t.Context(), []store.Commit{late}); err == nil {
		t.Fatal("a commit that nobody answered succeeded")
	}

	d.Advance(t, 2*time.Hour)

	if _, err := other.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}

	// What is in the way of the claim, a transaction that was cut off, has its end.
	until(t, "Claim", func(ctx context.Context) error {
		got, err := other.Claim(ctx, store.Claim{Units: []alert.UnitKey{key}, Most: 1, Expired: true})
		if err == nil && len(got) == 0 {
			err = errors.New("nothing was claimed")
		}

		return err
	})

	want := store.Checkpoint{Watermark: 300}
	if err := other.Commit(t.Context(), []store.Commit{{Key: key, Checkpoint: want}}); err != nil {
		t.Fatal(err)
	}

	proxy.Restore() // and what was sent before arrives

	until(t, "a refusal", func(ctx context.Context) error {
		err := cut.Commit(ctx, []store.Commit{late})
		if errors.Is(err, store.ErrFenced) {
			return nil
		}

		return errors.Join(errors.New("it was not refused"), err)
	})
	storetest.Expect(t, other, key, want, nil)
}

func TestATransactionOfAStoppedNodeIsInNobodysWay(t *testing.T) {
	for name, locked := range map[string]string{
		"renewal": `UPDATE defender.nodes SET renewed_at = renewed_at WHERE id = 'stopped'`,
		"commit":  `UPDATE defender.units SET replay = replay`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			d := pgtest.New(t)
			key := storetest.Key(1)
			stopped, proxy := throughProxy(t, d, "stopped", key)
			other := joined(t, d, "other")

			d.Advance(t, 2*time.Hour)

			if _, err := other.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}

			err := stopped.update(t.Context(), "test", func(ctx context.Context, tx pgx.Tx) error {
				_, err := tx.Exec(ctx, locked)

				proxy.Freeze()

				return err
			})
			if err == nil {
				t.Fatal("a transaction whose COMMIT did not arrive succeeded")
			}

			until(t, "Claim", func(ctx context.Context) error {
				got, err := other.Claim(ctx, store.Claim{Units: []alert.UnitKey{key}, Most: 1, Expired: true})
				if err == nil && len(got) == 0 {
					err = errors.New("nothing was claimed")
				}

				return err
			})
		})
	}
}

// told waits until a store is told of a change.
func told(t *testing.T, s *Store, what string) {
	t.Helper()

	select {
	case <-s.Changed():
	case <-time.After(limit):
		t.Fatalf("nobody was told: %s", what)
	}
}

// quiet takes out what was told before.
func quiet(s *Store) {
	select {
	case <-s.Changed():
	default:
	}
}

func TestOtherNodesAreToldOfChangesAtOnce(t *testing.T) {
	d := pgtest.New(t)
	a, b := joined(t, d, "a", unitKeys(0, 2)...), joined(t, d, "b")
	told(t, b, "it listens")
	told(t, a, "it listens")

	for _, test := range []struct {
		what   string
		change func() error
	}{
		{"a release", func() error { return a.Release(t.Context(), true, storetest.Key(0)) }},
		{"a drain", func() error {
			_, err := a.Drain(t.Context(), "b", true)
			return err
		}},
		{"a leave", func() error { return a.Leave(t.Context()) }},
		{"a join", func() error { return a.Join(t.Context(), testNode("a")) }},
	} {
		quiet(b)

		if err := test.change(); err != nil {
			t.Fatal(err)
		}

		told(t, b, test.what)
	}

	// The connection breaks: what happens meanwhile may be missed, so the new one tells.
	quiet(b)
	d.Disconnect(t)
	told(t, b, "it listens again")
}

func TestThroughAPoolerNobodyListensAndAllElseWorks(t *testing.T) {
	d := pgtest.New(t)
	openOn(t, d)

	port := d.Server.Bouncer(t)
	pooled := func(o *Options) {
		o.Inputs = true
		o.URL = secret.New(fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", port, d.Name))
	}
	a, b := openOn(t, d, pooled), openOn(t, d, pooled)

	for id, s := range map[string]*Store{"a": a, "b": b} {
		if err := s.Join(t.Context(), testNode(id)); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := a.connectToListen(t.Context()); !errors.Is(err, errPooler) {
		t.Errorf("connectToListen = %v", err)
	}

	keys := unitKeys(0, 20)
	claim(t, a, false, keys...)

	for _, key := range keys {
		c := store.Commit{Key: key, Checkpoint: store.Checkpoint{Watermark: 5}, Seen: storetest.Entries(1, 3)}
		if err := a.Commit(t.Context(), []store.Commit{c}); err != nil {
			t.Fatal(err)
		}
	}

	d.Advance(t, 2*time.Hour)

	if _, err := b.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}

	claim(t, b, true, keys...)

	if err := a.Commit(t.Context(), []store.Commit{{Key: keys[0]}}); !errors.Is(err, store.ErrFenced) {
		t.Errorf("Commit of the old owner = %v", err)
	}
}
