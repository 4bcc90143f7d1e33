package tokenstest

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// TestChainStore tests that a ChainStore does what package tokens relies on. open
// returns the same store each time. A persistent store may open its file anew (and
// close it with t.Cleanup); the test then also shows that another holder finds what was
// saved. Every subtest uses keys of its own, so open may always return one shared
// store.
func TestChainStore(t *testing.T, open func() tokens.ChainStore) {
	for _, test := range []struct {
		promise string
		run     func(t *testing.T, open func() tokens.ChainStore)
	}{
		{"a chain never saved is absent, without an error", neverSaved},
		{"what was saved is loaded, field by field, by any holder", savedIsLoaded},
		{"empty fields stay empty", emptyStaysEmpty},
		{"each save replaces the state and advances Version, whatever Version it was given", saveReplaces},
		{"a swap replaces only the state that it follows", swapFollows},
		{"of many swaps at the same moment one is made", swapsAtOnce},
		{"chains with different host, tenant or client do not touch each other", chainsDoNotMix},
		{"seeds are remembered for good, also when given again or several at once", seedsAreRemembered},
		{"one holder at a time has the lock of a chain; reading and writing need no lock", lockExcludes},
		{"waiting for a lock ends with the context; another chain's lock is free", lockWaitEnds},
	} {
		t.Run(test.promise, func(t *testing.T) { test.run(t, open) })
	}
}

func fullChain(refresh string) tokens.Chain {
	return tokens.Chain{
		Refresh:    secret.New(refresh),
		Previous:   secret.New(refresh + "-before"),
		Account:    "soc@contoso.test",
		TenantName: "Contoso Straße",
		Obtained:   time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
		Refreshed:  time.Date(2026, 2, 4, 4, 5, 6, 0, time.UTC),
		Home:       true,
		Confirmed:  time.Date(2026, 2, 5, 4, 5, 6, 0, time.UTC),
	}
}

func must(t *testing.T, err error) {
	t.Helper()

	if err != nil {
		t.Fatal(err)
	}
}

func neverSaved(t *testing.T, open func() tokens.ChainStore) {
	if _, ok, err := open().Load(t.Context(), chainKey("absent")); ok || err != nil {
		t.Fatalf("ok %v, err %v", ok, err)
	}

	if seen, err := open().SeedSeen(t.Context(), chainKey("absent"), [32]byte{1}); seen || err != nil {
		t.Fatalf("seen %v, err %v", seen, err)
	}
}

func savedIsLoaded(t *testing.T, open func() tokens.ChainStore) {
	want := fullChain("0.AAA-_~+/=")
	want.Rejected = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	want.Dead = tokens.Refusal{
		AADSTS:        []int{70002, 700082},
		OAuth:         "invalid_grant",
		Suberror:      "token_expired",
		Status:        400,
		TraceID:       "0a0a0a0a-0000-0000-0000-000000000001",
		CorrelationID: "0b0b0b0b-0000-0000-0000-000000000002",
	}
	must(t, open().Save(t.Context(), chainKey("fields"), want))
	got, ok, err := open().Load(t.Context(), chainKey("fields"))
	must(t, err)

	if !ok {
		t.Fatal("not found")
	}

	if !got.Refresh.Equal(want.Refresh) || !got.Previous.Equal(want.Previous) {
		t.Error("a token changed on its way")
	}

	if got.Account != want.Account || got.TenantName != want.TenantName || !got.Home ||
		!reflect.DeepEqual(got.Dead, want.Dead) {
		t.Errorf("got %+v", got)
	}

	for name, pair := range map[string][2]time.Time{
		"Obtained":  {got.Obtained, want.Obtained},
		"Refreshed": {got.Refreshed, want.Refreshed},
		"Rejected":  {got.Rejected, want.Rejected},
		"Confirmed": {got.Confirmed, want.Confirmed},
	} {
		if !pair[0].Equal(pair[1]) {
			t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
		}
	}
}

func emptyStaysEmpty(t *testing.T, open func() tokens.ChainStore) {
	must(t, open().Save(t.Context(), chainKey("empty"), tokens.Chain{Refresh: secret.New("only")}))
	got, _, err := open().Load(t.Context(), chainKey("empty"))
	must(t, err)

	if !got.Previous.IsZero() || !got.Obtained.IsZero() || !got.Refreshed.IsZero() || !got.Rejected.IsZero() ||
		!got.Dead.IsZero() || got.Home || !got.Confirmed.IsZero() {
		t.Errorf("got %+v", got)
	}
}

func saveReplaces(t *testing.T, open func() tokens.ChainStore) {
	k := chainKey("version")

	var last int64

	for i, name := range []string{"a", "b", "c"} {
		c := fullChain(name)
		c.Version = 99
		must(t, open().Save(t.Context(), k, c))
		got, _, err := open().Load(t.Context(), k)
		must(t, err)

		if got.Refresh.Reveal() != name {
			t.Fatalf("after save %d the token is not the newest", i)
		}

		if i > 0 && got.Version <= last {
			t.Fatalf("Version went from %d to %d", last, got.Version)
		}

		last = got.Version
	}
}

func swapFollows(t *testing.T, open func() tokens.ChainStore) {
	k, s := chainKey("swap"), open()
	expectOvertaken := func(version int64, refresh string) {
		t.Helper()

		c := fullChain("overtaken")
		c.Version = version

		if err := s.Swap(t.Context(), k, c, [32]byte{9}); !errors.Is(err, tokens.ErrOvertaken) {
			t.Errorf("Swap after version %d: %v, want ErrOvertaken", version, err)
		}

		if got, _, err := open().Load(t.Context(), k); err != nil || got.Refresh.Reveal() != refresh {
			t.Errorf("%q is stored, %v; want %q", got.Refresh.Reveal(), err, refresh)
		}
	}

	expectOvertaken(1, "")
	must(t, s.Swap(t.Context(), k, fullChain("a"), [32]byte{1}))

	first, _, err := s.Load(t.Context(), k)
	must(t, err)
	expectOvertaken(0, "a")

	next := fullChain("b")
	next.Version = first.Version
	must(t, s.Swap(t.Context(), k, next))
	expectOvertaken(first.Version, "b")

	second, _, err := s.Load(t.Context(), k)
	must(t, err)
	must(t, s.Save(t.Context(), k, fullChain("of a person")))
	expectOvertaken(second.Version, "of a person")

	for fingerprint, want := range map[[32]byte]bool{{1}: true, {9}: false} {
		if seen, err := s.SeedSeen(t.Context(), k, fingerprint); err != nil || seen != want {
			t.Errorf("seed %d: seen %v, err %v", fingerprint[0], seen, err)
		}
	}
}

func swapsAtOnce(t *testing.T, open func() tokens.ChainStore) {
	k := chainKey("swaps")
	must(t, open().Save(t.Context(), k, fullChain("a")))

	before, _, err := open().Load(t.Context(), k)
	must(t, err)

	var (
		wg   sync.WaitGroup
		made atomic.Int32
	)

	for range 8 {
		s := open()

		wg.Go(func() {
			next := fullChain("b")
			next.Version = before.Version

			switch err := s.Swap(t.Context(), k, next); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, tokens.ErrOvertaken):
				t.Error(err)
			}
		})
	}

	wg.Wait()

	if made.Load() != 1 {
		t.Errorf("%d swaps of one state were made", made.Load())
	}
}

func chainsDoNotMix(t *testing.T, open func() tokens.ChainStore) {
	a := chainKey("apart")
	b, c, d := a, a, a

	b.LoginHost, c.TenantID, d.ClientID = "login.other.test:8443", "apart2", "other"
	for i, k := range []tokens.ChainKey{a, b, c, d} {
		must(t, open().Save(t.Context(), k, fullChain(string(rune('a'+i))), [32]byte{byte(i + 1)}))
	}

	for i, k := range []tokens.ChainKey{a, b, c, d} {
		got, ok, err := open().Load(t.Context(), k)
		if err != nil || !ok || got.Refresh.Reveal() != string(rune('a'+i)) {
			t.Errorf("chain %d: ok %v, err %v", i, ok, err)
		}

		for j := range 4 {
			seen, err := open().SeedSeen(t.Context(), k, [32]byte{byte(j + 1)})
			if err != nil || seen != (i == j) {
				t.Errorf("chain %d, seed %d: seen %v, err %v", i, j, seen, err)
			}
		}
	}
}

func seedsAreRemembered(t *testing.T, open func() tokens.ChainStore) {
	k := chainKey("seeds")
	f := func(s string) [32]byte { return secret.New(s).Fingerprint() }
	must(t, open().Save(t.Context(), k, fullChain("a"), f("one")))
	must(t, open().Save(t.Context(), k, fullChain("b"), f("one"), f("two")))
	must(t, open().Save(t.Context(), k, fullChain("c")))

	for name, want := range map[string]bool{"one": true, "two": true, "three": false} {
		if seen, err := open().SeedSeen(t.Context(), k, f(name)); err != nil || seen != want {
			t.Errorf("%s: seen %v, err %v", name, seen, err)
		}
	}
}

func lockExcludes(t *testing.T, open func() tokens.ChainStore) {
	k := chainKey("lock")

	const holders, rounds = 4, 5

	var wg sync.WaitGroup

	inside, most := 0, 0

	var mu sync.Mutex

	for range holders {
		s := open()

		wg.Go(func() {
			for range rounds {
				unlock, err := s.Lock(t.Context(), k)
				if err != nil {
					t.Error(err)
					return
				}

				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()

				c, _, err := s.Load(t.Context(), k)
				if err == nil {
					c.Account += "x"
					err = s.Save(t.Context(), k, c)
				}

				if err != nil {
					t.Error(err)
				}

				mu.Lock()
				inside--
				mu.Unlock()
				unlock()
			}
		})
	}

	wg.Wait()

	c, _, err := open().Load(t.Context(), k)
	must(t, err)

	if most != 1 || len(c.Account) != holders*rounds {
		t.Errorf("%d at once had the lock; %d of %d changes are there", most, len(c.Account), holders*rounds)
	}
}

func lockWaitEnds(t *testing.T, open func() tokens.ChainStore) {
	unlock, err := open().Lock(t.Context(), chainKey("held"))
	must(t, err)
	other, err := open().Lock(t.Context(), chainKey("free"))
	must(t, err)
	other()

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	if second, err := open().Lock(short, chainKey("held")); !errors.Is(err, context.DeadlineExceeded) {
		if err == nil {
			second()
		}

		t.Errorf("Lock of a held chain returned %v, want the context's error", err)
	}

	unlock()
	unlock()

	again, err := open().Lock(t.Context(), chainKey("held"))
	must(t, err)
	again()
}
