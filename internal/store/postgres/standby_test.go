package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/storetest"
)

// several opens a database that is on one of several servers, as an input does.
func several(t *testing.T, name string, servers ...*pgtest.Server) *Store {
	t.Helper()

	var hosts []string
	for _, s := range servers {
		hosts = append(hosts, s.Folder())
	}

	url := fmt.Sprintf("postgres://postgres@/%s?host=%s", name, strings.Join(hosts, ","))

	return openOn(t, nil, func(o *Options) {
		o.Inputs = true
		o.URL = secret.New(url)
		o.CallLimit = 5 * time.Second
	})
}

// caughtUp waits until the standby has all that the primary has.
func caughtUp(t *testing.T, primary *pgtest.Database) {
	t.Helper()

	behind := func(context.Context) error {
		n := primary.Count(t, `SELECT count(*) FROM pg_stat_replication
			WHERE replay_lsn = pg_current_wal_lsn()`)
		if n == 0 {
			return errors.New("it is behind")
		}

		return nil
	}

	until(t, "the standby", behind)
}

func TestNothingIsLostWhenAStandbyTakesOver(t *testing.T) {
	t.Parallel()

	primary := pgtest.Start(t)
	d := primary.New(t)
	openOn(t, d) // the tables are there
	standby := primary.Standby(t)

	// A commit waits for the standby.
	d.Exec(t, `ALTER SYSTEM SET synchronous_standby_names = '*'`)
	d.Exec(t, `SELECT pg_reload_conf()`)

	s := several(t, d.Name, primary, standby)
	keys := unitKeys(0, 5)

	if err := s.Join(t.Context(), testNode("a")); err != nil {
		t.Fatal(err)
	}

	claim(t, s, false, keys...)

	var (
		writing sync.WaitGroup
		ledgers []*ledger
	)

	for _, key := range keys {
		ledgers = append(ledgers, &ledger{key: key, next: 1000})
	}

	stop := make(chan struct{})

	writing.Go(func() { commitOn(t, s, ledgers, stop) })

	renewed := func(ctx context.Context) error {
		standing, err := s.Renew(ctx)
		if err == nil && len(standing.Held) != len(keys) {
			t.Errorf("%d units are held", len(standing.Held))
		}

		return err
	}

	until(t, "Renew", renewed)
	primary.Kill(t)

	if _, err := s.Renew(t.Context()); !errors.Is(err, store.ErrUnreachable) {
		t.Errorf("while no server takes changes: %v", err)
	}

	standby.Promote(t)

	promoted := time.Now()

	until(t, "Renew", renewed)
	t.Logf("the lease was renewed %s after the promotion", time.Since(promoted).Round(time.Millisecond))

	close(stop)
	writing.Wait()

	for _, l := range ledgers {
		want := store.Checkpoint{Floor: 1, Watermark: l.next, SeenSince: 1}
		storetest.Expect(t, s, l.key, want, l.seen)
	}
}

// A standby that lacks the last commits has an older state of some units. What this
// process knows of them is more, but what was put off in those commits is nowhere else:
// so they are read again from where the database stands.
func TestAStandbyWithoutTheLastCommitsLosesNoDeferredWork(t *testing.T) {
	t.Parallel()

	primary := pgtest.Start(t)
	d := primary.New(t)
	openOn(t, d)
	standby := primary.Standby(t)

	s := several(t, d.Name, primary, standby)
	if err := s.Join(t.Context(), testNode("a")); err != nil {
		t.Fatal(err)
	}

	behind, same := storetest.Key(1), storetest.Key(2)
	claim(t, s, false, behind, same)

	commit := func(c store.Commit, entries int) error {
		c.Checkpoint = store.Checkpoint{Watermark: 100, SeenSince: 1}
		c.Seen = storetest.Entries(1, entries)

		return s.Commit(t.Context(), []store.Commit{c})
	}

	for _, key := range []alert.UnitKey{behind, same} {
		if err := commit(store.Commit{Key: key}, 3); err != nil {
			t.Fatal(err)
		}
	}

	saveChain(t, s, testChain("x"), "old")
	expectChain(t, s, testChain("x"), "old")
	caughtUp(t, d)
	standby.Stop(t)

	lost := store.Commit{Key: behind, Deferred: []store.Deferred{{
		Kind:   "window",
		From:   1,
		To:     2,
		Reason: "r",
	}}}
	if err := commit(lost, 9); err != nil {
		t.Fatal(err)
	}

	saveChain(t, s, testChain("x"), "new")
	expectChain(t, s, testChain("x"), "new")

	primary.Kill(t)
	standby.Launch(t)
	standby.Promote(t)

	until(t, "Renew", func(ctx context.Context) error {
		standing, err := s.Renew(ctx)
		if err == nil && len(standing.Held) != 2 {
			t.Errorf("%d units are held", len(standing.Held))
		}

		return err
	})

	if err := commit(store.Commit{Key: same}, 4); err != nil {
		t.Errorf("the unit of which nothing is lost: %v", err)
	}

	for range 2 { // until it is loaded
		if err := commit(store.Commit{Key: behind}, 12); !errors.Is(err, store.ErrFenced) {
			t.Errorf("the unit of which commits are lost: %v", err)
		}
	}

	storetest.Expect(t, s, behind, store.Checkpoint{Watermark: 100, SeenSince: 1}, storetest.Entries(1, 3))

	if err := commit(store.Commit{Key: behind}, 12); err != nil {
		t.Errorf("after it was loaded: %v", err)
	}

	// The tokens are those that the new server has.
	expectChain(t, s, testChain("x"), "old")
	saveChain(t, s, testChain("x"), "newer")
	expectChain(t, s, testChain("x"), "newer")
}

func TestAStandbyIsNamedAsWhatItIs(t *testing.T) {
	t.Parallel()

	primary := pgtest.Start(t)
	d := primary.New(t)
	openOn(t, d)
	standby := primary.Standby(t)
	onStandby := secret.New(standby.URL(d.Name))

	s := openOn(t, nil, func(o *Options) { o.URL = onStandby })

	found, err := s.Server(t.Context())
	if err != nil || !found.Standby || !found.ReadOnly {
		t.Errorf("Server = %+v, %v", found, err)
	}

	if _, err := s.Nodes(t.Context()); err != nil {
		t.Errorf("looking: %v", err)
	}

	err = s.Rewind(t.Context(), storetest.Key(1), 1)
	if !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), "target_session_attrs=read-write") {
		t.Errorf("Rewind = %v", err)
	}

	input := openOn(t, nil, func(o *Options) { o.URL, o.Inputs = onStandby, true })
	if err := input.Join(t.Context(), testNode("a")); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Join = %v", err)
	}

	// The primary has a standby that it does not wait for.
	found, err = openOn(t, d).Server(t.Context())
	if err != nil || found.Standby || len(found.Notes) != 1 || !strings.Contains(found.Notes[0], "does not wait") {
		t.Errorf("Server = %+v, %v", found, err)
	}

	// Nobody has promoted one of several yet: an input waits, and goes on by itself.
	primary.Stop(t)

	waiting := several(t, d.Name, primary, standby)

	err = waiting.Join(t.Context(), testNode("b"))
	if !errors.Is(err, store.ErrUnreachable) || !strings.Contains(err.Error(), "none of these servers") {
		t.Errorf("Join = %v", err)
	}

	standby.Promote(t)

	until(t, "Join", func(ctx context.Context) error { return waiting.Join(ctx, testNode("b")) })
	until(t, "Join on the connection to what was a standby", func(ctx context.Context) error {
		return input.Join(ctx, testNode("a"))
	})
}

// A server that is off the network answers nothing: neither its open connections nor new
// ones may use up the time of a lease.
func TestASilentServerDoesNotKeepANodeFromTheNext(t *testing.T) {
	t.Parallel()

	d := pgtest.New(t)
	openOn(t, d)

	first := pgtest.NewProxy(t, "unix", d.Server.Socket())
	next := pgtest.NewProxy(t, "unix", d.Server.Socket())

	s := openOn(t, nil, func(o *Options) {
		o.Inputs = true
		o.URL = secret.New(fmt.Sprintf("postgres://postgres@127.0.0.1:%d,127.0.0.1:%d/%s?%s", first.Port(), next.Port(),
			d.Name, "connect_timeout=1&sslmode=disable"))
		o.CallLimit = 2 * time.Second
	})

	if err := s.Join(t.Context(), testNode("a")); err != nil {
		t.Fatal(err)
	}

	var busy sync.WaitGroup
	for range maxConns { // each has a connection
		busy.Go(func() {
			if err := s.view(t.Context(), "sleep", func(ctx context.Context, q querier) error {
				_, err := q.Exec(ctx, `SELECT pg_sleep(0.2)`)
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}

	busy.Wait()
	first.Freeze()

	failed := 0

	until(t, "Renew", func(ctx context.Context) error {
		_, err := s.Renew(ctx)
		if err != nil {
			failed++
		}

		return err
	})

	if failed > 2 {
		t.Errorf("%d calls of 2 s ended without success", failed)
	}
}
