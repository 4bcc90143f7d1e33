package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/internal/store/storetest"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

// attacked is a database of an attacker who can write its tables.
type attacked struct {
	t *testing.T
	d *pgtest.Database
	s *Store
}

func (a *attacked) Open(key []byte) tokens.ChainStore {
	if a.s != nil {
		_ = a.s.Close()
	}

	a.s = openOn(a.t, a.d, func(o *Options) { o.Key = key })

	return a.s.Tokens()
}

func (a *attacked) Row(key tokens.ChainKey) any {
	a.t.Helper()

	var (
		row seal.Row
		ok  bool
	)

	err := a.s.view(a.t.Context(), "test", func(ctx context.Context, q querier) (err error) {
		row, ok, err = chainTable{ctx, q}.Find(key)
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}

	if !ok {
		return nil
	}

	return row
}

func (a *attacked) Put(key tokens.ChainKey, row any) {
	a.t.Helper()

	if row == nil {
		a.d.Exec(a.t, `DELETE FROM defender.chains WHERE `+ofChain, chainArgs(key)...)
		return
	}

	r := row.(seal.Row)
	r.Key = key

	err := a.s.view(a.t.Context(), "test", func(ctx context.Context, q querier) error {
		return chainTable{ctx, q}.write(&r)
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *attacked) Rekey(to []byte) error {
	_, err := a.s.Tokens().Rekey(a.t.Context(), to)
	return err
}

func TestPostgresKeepsThePromisesOfStore(t *testing.T) {
	storetest.TestStore(
		t,
		func(t *testing.T) store.Store { return openOn(t, pgtest.New(t), func(o *Options) { o.Key = nil }) },
		func(t *testing.T) tokenstest.Tamperer { return &attacked{t: t, d: pgtest.New(t)} },
	)
}

// Each call of open is another process, as far as the store can tell.
func TestProcessesShareChains(t *testing.T) {
	d := pgtest.New(t)

	tokenstest.TestChainStore(t, func() tokens.ChainStore { return openOn(t, d).Tokens() })
}

func TestChainsWorkThroughAPooler(t *testing.T) {
	d := pgtest.New(t)
	through := secret.New(fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s", d.Server.Bouncer(t), d.Name))

	tokenstest.TestChainStore(t, func() tokens.ChainStore {
		return openOn(t, d, func(o *Options) { o.URL = through }).Tokens()
	})
}

func testChain(tenant string) tokens.ChainKey {
	return tokens.ChainKey{LoginHost: "login.test", TenantID: tenant, ClientID: "client"}
}

func saveChain(t testing.TB, s *Store, key tokens.ChainKey, refresh string) {
	t.Helper()

	if err := s.Tokens().Save(t.Context(), key, tokens.Chain{Refresh: secret.New(refresh)}); err != nil {
		t.Fatal(err)
	}
}

func expectChain(t testing.TB, s *Store, key tokens.ChainKey, want string) {
	t.Helper()

	c, ok, err := s.Tokens().Load(t.Context(), key)
	if err != nil || ok != (want != "") || c.Refresh.Reveal() != want {
		t.Errorf("%q, %v, %v; want %q", c.Refresh.Reveal(), ok, err, want)
	}
}

func TestOneProcessAtATimeHasAChain(t *testing.T) {
	d := pgtest.New(t)
	key := testChain("a")

	var (
		all      sync.WaitGroup
		inside   atomic.Int32
		together atomic.Bool
	)

	for range 4 {
		s := openOn(t, d)

		for range 3 {
			all.Go(func() {
				for range 5 {
					unlock, err := s.Tokens().Lock(t.Context(), key)
					if err != nil {
						t.Error(err)
						return
					}

					if inside.Add(1) > 1 {
						together.Store(true)
					}

					c, _, err := s.Tokens().Load(t.Context(), key)
					if err == nil {
						err = s.Tokens().Swap(t.Context(), key, tokens.Chain{
							Refresh: secret.New("next"),
							Version: c.Version,
						})
					}

					if err != nil {
						t.Error(err)
					}

					inside.Add(-1)
					unlock()
				}
			})
		}
	}

	all.Wait()

	if c, _, err := openOn(t, d).Tokens().Load(t.Context(), key); err != nil || c.Version != 60 || together.Load() {
		t.Errorf("version %d, %v; two at once: %t; want 60 changes, one after the other", c.Version, err,
			together.Load())
	}
}

// lockedElsewhere reports whether a chain's lock cannot be taken at once.
func lockedElsewhere(t *testing.T, s *Store, key tokens.ChainKey) bool {
	t.Helper()

	held, err := s.chains().tryRow(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	if held != nil {
		held.release()
	}

	return held == nil
}

func TestADeadHolderFreesTheLock(t *testing.T) {
	d := pgtest.New(t)
	dead, other := openOn(t, d), openOn(t, d)
	key := testChain("a")

	unlock, err := dead.Tokens().Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	if !lockedElsewhere(t, other, key) {
		t.Error("two have the lock")
	}

	d.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND state = 'idle in transaction'`)

	next, err := other.Tokens().Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	unlock() // of what is gone: no harm

	if !lockedElsewhere(t, dead, key) {
		t.Error("the end of the dead holder freed the lock of the living one")
	}

	next()
}

func TestASilentHolderIsEndedByTheDatabase(t *testing.T) {
	d := pgtest.New(t)
	s := openOn(t, d)

	unlock, err := s.Tokens().Lock(t.Context(), testChain("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()

	held, err := s.chains().tryRow(t.Context(), testChain("b"))
	if err != nil || held == nil {
		t.Fatal(held, err)
	}
	defer held.release()

	var limit string
	if err := held.t.QueryRow(t.Context(), `SHOW idle_in_transaction_session_timeout`).Scan(&limit); err != nil ||
		limit != "30s" {
		t.Errorf("%q, %v", limit, err)
	}

	// With a shorter limit it comes to that.
	if _, err := held.t.Exec(t.Context(), `SET LOCAL idle_in_transaction_session_timeout = 50`); err != nil {
		t.Fatal(err)
	}

	other := openOn(t, d)

	next, err := other.Tokens().Lock(t.Context(), testChain("b"))
	if err != nil {
		t.Fatal(err)
	}

	next()
}

// All nodes share the connections of a pooler: locks leave some for what has to be saved
// under them.
func TestLocksLeaveConnectionsOfAPoolerFree(t *testing.T) {
	d := pgtest.New(t)
	openOn(t, d)

	s := openOn(t, d, func(o *Options) {
		o.URL = secret.New(fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable",
			d.Server.Bouncer(t), d.Name))
	})

	if _, err := s.connectToListen(t.Context()); !errors.Is(err, errPooler) {
		t.Fatal(err)
	}

	var unlocks []func()

	for i := range maxPooledLocks {
		unlock, err := s.Tokens().Lock(t.Context(), testChain(string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}

		unlocks = append(unlocks, unlock)
	}

	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()

	if _, err := s.Tokens().Lock(short, testChain("more")); !errors.Is(err, store.ErrBusy) {
		t.Errorf("beyond %d locks: %v", maxPooledLocks, err)
	}

	for _, unlock := range unlocks {
		unlock()
	}

	unlock, err := s.Tokens().Lock(t.Context(), testChain("more"))
	if err != nil {
		t.Fatal(err)
	}

	unlock()
}

func TestLocksOfOthersAreWaitedForWithoutAConnection(t *testing.T) {
	d := pgtest.New(t)
	holder, waiting := openOn(t, d), openOn(t, d)

	var unlocks []func()

	for i := range maxLockConns {
		unlock, err := holder.Tokens().Lock(t.Context(), testChain(string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}

		unlocks = append(unlocks, unlock)
	}

	ctx, cancel := context.WithCancel(t.Context())

	var all sync.WaitGroup

	for i := range maxLockConns {
		all.Go(func() {
			_, err := waiting.Tokens().Lock(ctx, testChain(string(rune('a'+i))))
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}

	free, err := waiting.Tokens().Lock(t.Context(), testChain("free"))
	if err != nil {
		t.Fatal(err)
	}

	free()
	cancel()
	all.Wait()

	for _, unlock := range unlocks {
		unlock()
	}
}

func TestTheSealFollowsTheChangesOfOtherProcesses(t *testing.T) {
	d := pgtest.New(t)
	a, b := openOn(t, d), openOn(t, d)

	for n, tenant := range []string{"x", "y", "x", "z"} {
		writer, reader := a, b
		if n%2 == 1 {
			writer, reader = b, a
		}

		saveChain(t, writer, testChain(tenant), tenant)
		expectChain(t, reader, testChain(tenant), tenant)
	}

	if _, err := b.Tokens().Remove(t.Context(), testChain("x")); err != nil {
		t.Fatal(err)
	}

	expectChain(t, a, testChain("x"), "")
	expectChain(t, a, testChain("y"), "y")
}

func TestAnOlderDatabaseIsRefusedWhileItIsOpen(t *testing.T) {
	d := pgtest.New(t)
	s := openOn(t, d)
	saveChain(t, s, testChain("a"), "old")
	d.Exec(t, `CREATE TABLE kept_chains AS TABLE defender.chains`)
	d.Exec(t, `CREATE TABLE kept_meta AS TABLE defender.meta`)
	saveChain(t, s, testChain("a"), "new")
	expectChain(t, s, testChain("a"), "new")

	d.Exec(t, `DELETE FROM defender.chains`)
	d.Exec(t, `DELETE FROM defender.meta`)
	d.Exec(t, `INSERT INTO defender.chains TABLE kept_chains`)
	d.Exec(t, `INSERT INTO defender.meta TABLE kept_meta`)

	if _, ok, err := s.Tokens().Load(t.Context(), testChain("a")); ok || !errors.Is(err, store.ErrTampered) {
		t.Errorf("Load: %v, %v", ok, err)
	}
}

func TestRekeyIsRefusedWhileANodeLives(t *testing.T) {
	d := pgtest.New(t)
	s := openOn(t, d)
	saveChain(t, s, testChain("a"), "a")
	d.Exec(t, `INSERT INTO defender.nodes
		VALUES ('collector-1', 's', 'v', now(), now(), now() + interval '1 hour', '15s', '15m')`)

	other := make([]byte, 32)
	other[0] = 1

	_, err := s.Tokens().Rekey(t.Context(), other)
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), "collector-1") {
		t.Errorf("Rekey: %v", err)
	}

	expectChain(t, s, testChain("a"), "a")
	d.Exec(t, `UPDATE defender.nodes SET expires_at = now() - interval '1 second'`)

	if n, err := s.Tokens().Rekey(t.Context(), other); n != 1 || err != nil {
		t.Errorf("Rekey: %d, %v", n, err)
	}

	expectChain(t, s, testChain("a"), "a")
}

func TestNoPlainTokenIsInTheDatabase(t *testing.T) {
	d := pgtest.New(t)
	s := openOn(t, d)
	saveChain(t, s, testChain("a"), "0.very-secret-refresh-token")

	at := tokens.AccessKey{Chain: testChain("a"), TenantID: "a", Resource: "r"}

	err := s.Tokens().KeepAccess(t.Context(), at, tokens.Access{
		Token:  secret.New("very-secret-access-token"),
		Expiry: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}

	n := d.Count(t, `SELECT count(*) FROM defender.chains, defender.access
		WHERE position('very-secret'::bytea IN refresh) > 0 OR position('very-secret'::bytea IN sealed) > 0`)
	if n != 0 || d.Count(t, `SELECT count(*) FROM defender.access`) != 1 {
		t.Error("a token can be read")
	}
}

func TestTextsThatPostgresDoesNotTakeAreKept(t *testing.T) {
	s := openOn(t, pgtest.New(t))

	err := s.Tokens().Save(t.Context(), testChain("a"), tokens.Chain{
		Refresh:    secret.New("a"),
		Account:    "so\x00c@contoso.test",
		TenantName: "Contoso \xff",
	})
	if err != nil {
		t.Fatal(err)
	}

	c, _, err := s.Tokens().Load(t.Context(), testChain("a"))
	if err != nil || c.Account != "soc@contoso.test" || c.TenantName != "Contoso \uFFFD" {
		t.Errorf("%q, %q, %v", c.Account, c.TenantName, err)
	}
}

// BenchmarkRotation is what the rotation of a refresh token costs the store.
func BenchmarkRotation(b *testing.B) {
	s := openOn(b, pgtest.New(b))
	for i := range 1000 {
		saveChain(b, s, testChain(string(rune('a'+i%26))+strings.Repeat("x", i/26)), "r")
	}

	key := testChain("a")

	for b.Loop() {
		unlock, err := s.Tokens().Lock(b.Context(), key)
		if err != nil {
			b.Fatal(err)
		}

		c, _, err := s.Tokens().Load(b.Context(), key)
		if err == nil {
			err = s.Tokens().Swap(b.Context(), key, c)
		}

		if err != nil {
			b.Fatal(err)
		}

		unlock()
	}
}
