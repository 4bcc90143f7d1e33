package tokenstest

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// TestChainStore holds a ChainStore against what package tokens relies on. open gives the
// same store each time within a subtest's keys: a persistent store may open its file anew
// (and close it with t.Cleanup), which then also shows that what was saved is there for
// another holder. Every subtest uses keys of its own, so open may always return one
// shared store.
func TestChainStore(t *testing.T, open func() tokens.ChainStore) {
	ctx := context.Background()
	key := func(name string) tokens.ChainKey {
		return tokens.ChainKey{
			LoginHost: "login.example.test",
			TenantID:  name,
			ClientID:  "11111111-2222-3333-4444-555555555555",
		}
	}
	full := func(refresh string) tokens.Chain {
		return tokens.Chain{
			Refresh:    secret.New(refresh),
			Previous:   secret.New(refresh + "-before"),
			Account:    "soc@contoso.test",
			TenantName: "Contoso Straße",
			Obtained:   time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
			Refreshed:  time.Date(2026, 2, 4, 4, 5, 6, 0, time.UTC),
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}
	}

	t.Run("a chain never saved is absent, without an error", func(t *testing.T) {
		if _, ok, err := open().Load(ctx, key("absent")); ok || err != nil {
			t.Fatalf("ok %v, err %v", ok, err)
		}

		if seen, err := open().SeedSeen(ctx, key("absent"), [32]byte{1}); seen || err != nil {
			t.Fatalf("seen %v, err %v", seen, err)
		}
	})

	t.Run("what was saved is loaded, field by field, by any holder", func(t *testing.T) {
		want := full("0.AAA-_~+/=")
		want.Rejected = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
		want.Dead = tokens.Refusal{
			AADSTS:        []int{70002, 700082},
			OAuth:         "invalid_grant",
			Suberror:      "token_expired",
			Status:        400,
			TraceID:       "0a0a0a0a-0000-0000-0000-000000000001",
			CorrelationID: "0b0b0b0b-0000-0000-0000-000000000002",
		}
		must(t, open().Save(ctx, key("fields"), want))
		got, ok, err := open().Load(ctx, key("fields"))
		must(t, err)

		if !ok {
			t.Fatal("not found")
		}

		if !got.Refresh.Equal(want.Refresh) || !got.Previous.Equal(want.Previous) {
			t.Error("a token changed on its way")
		}

		if got.Account != want.Account || got.TenantName != want.TenantName ||
			!reflect.DeepEqual(got.Dead, want.Dead) {
			t.Errorf("got %+v", got)
		}

		for name, pair := range map[string][2]time.Time{
			"Obtained":  {got.Obtained, want.Obtained},
			"Refreshed": {got.Refreshed, want.Refreshed},
			"Rejected":  {got.Rejected, want.Rejected},
		} {
			if !pair[0].Equal(pair[1]) {
				t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
			}
		}
	})

	t.Run("empty fields stay empty", func(t *testing.T) {
		must(t, open().Save(ctx, key("empty"), tokens.Chain{Refresh: secret.New("only")}))
		got, _, err := open().Load(ctx, key("empty"))
		must(t, err)

		if !got.Previous.IsZero() || !got.Obtained.IsZero() || !got.Refreshed.IsZero() || !got.Rejected.IsZero() ||
			!got.Dead.IsZero() {
			t.Errorf("got %+v", got)
		}
	})

	t.Run("each save replaces the state and advances Version, whatever Version it was given", func(t *testing.T) {
		k := key("version")

		var last int64

		for i, name := range []string{"a", "b", "c"} {
			c := full(name)
			c.Version = 99
			must(t, open().Save(ctx, k, c))
			got, _, err := open().Load(ctx, k)
			must(t, err)

			if got.Refresh.Reveal() != name {
				t.Fatalf("after save %d the token is not the newest", i)
			}

			if i > 0 && got.Version <= last {
				t.Fatalf("Version went from %d to %d", last, got.Version)
			}

			last = got.Version
		}
	})

	t.Run("chains with different host, tenant or client do not touch each other", func(t *testing.T) {
		a := key("apart")
		b, c, d := a, a, a

		b.LoginHost, c.TenantID, d.ClientID = "login.other.test:8443", "apart2", "other"
		for i, k := range []tokens.ChainKey{a, b, c, d} {
			must(t, open().Save(ctx, k, full(string(rune('a'+i))), [32]byte{byte(i + 1)}))
		}

		for i, k := range []tokens.ChainKey{a, b, c, d} {
			got, ok, err := open().Load(ctx, k)
			if err != nil || !ok || got.Refresh.Reveal() != string(rune('a'+i)) {
				t.Errorf("chain %d: ok %v, err %v", i, ok, err)
			}

			for j := range 4 {
				seen, err := open().SeedSeen(ctx, k, [32]byte{byte(j + 1)})
				if err != nil || seen != (i == j) {
					t.Errorf("chain %d, seed %d: seen %v, err %v", i, j, seen, err)
				}
			}
		}
	})

	t.Run("seeds are remembered for good, also when given again or several at once", func(t *testing.T) {
		k := key("seeds")
		f := func(s string) [32]byte { return secret.New(s).Fingerprint() }
		must(t, open().Save(ctx, k, full("a"), f("one")))
		must(t, open().Save(ctx, k, full("b"), f("one"), f("two")))
		must(t, open().Save(ctx, k, full("c")))

		for name, want := range map[string]bool{"one": true, "two": true, "three": false} {
			if seen, err := open().SeedSeen(ctx, k, f(name)); err != nil || seen != want {
				t.Errorf("%s: seen %v, err %v", name, seen, err)
			}
		}
	})

	t.Run("one holder at a time has the lock of a chain; reading and writing need no lock", func(t *testing.T) {
		k := key("lock")

		const holders, rounds = 4, 5

		var wg sync.WaitGroup

		inside, most := 0, 0

		var mu sync.Mutex

		for range holders {
			s := open()

			wg.Go(func() {
				for range rounds {
					unlock, err := s.Lock(ctx, k)
					if err != nil {
						t.Error(err)
						return
					}

					mu.Lock()
					inside++
					most = max(most, inside)
					mu.Unlock()

					c, _, err := s.Load(ctx, k)
					if err == nil {
						c.Account += "x"
						err = s.Save(ctx, k, c)
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

		c, _, err := open().Load(ctx, k)
		must(t, err)

		if most != 1 || len(c.Account) != holders*rounds {
			t.Errorf("%d at once had the lock; %d of %d changes are there", most, len(c.Account), holders*rounds)
		}
	})

	t.Run(
		"waiting for a lock ends with the context; another chain's lock is free; unlock twice is harmless",
		func(t *testing.T) {
			unlock, err := open().Lock(ctx, key("held"))
			must(t, err)
			other, err := open().Lock(ctx, key("free"))
			must(t, err)
			other()

			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()

			if second, err := open().Lock(short, key("held")); !errors.Is(err, context.DeadlineExceeded) {
				if err == nil {
					second()
				}

				t.Errorf("Lock of a held chain gave %v, want the context's error", err)
			}

			unlock()
			unlock()

			again, err := open().Lock(ctx, key("held"))
			must(t, err)
			again()
		},
	)
}
