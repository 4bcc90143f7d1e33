package storetest

import (
	"errors"
	"slices"
	"testing"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

// TestStore holds an implementation against the promises in the comments of store.Store
// and store.Chains. open opens an empty store without a key and without inputs, and
// sealed makes one for tokenstest.TestSealedStore, anew for each test. What is polled is
// tested by TestUnits.
func TestStore(t *testing.T, open func(*testing.T) store.Store, sealed func(*testing.T) tokenstest.Tamperer) {
	t.Run("who can write the rows cannot choose the token", func(t *testing.T) {
		tokenstest.TestSealedStore(t, sealed)
	})

	for _, test := range []struct {
		promise string
		run     func(t *testing.T, s store.Store)
	}{
		{"its chains keep the promises of a ChainStore", chainStore},
		{"chains are listed by tenant, client and host", chainsAreListed},
		{"a removed chain is gone with its seeds, its version counts on", chainIsRemoved},
		{"another key changes every chain, once", chainsAreRekeyed},
		{"after Close every call fails, and Close does nothing", closedStore},
	} {
		t.Run(test.promise, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() { _ = s.Close() })
			test.run(t, s)
		})
	}
}

func chainStore(t *testing.T, s store.Store) {
	tokenstest.TestChainStore(t, func() tokens.ChainStore { return s.Tokens() })
}

func chainKey(host, tenant, client string) tokens.ChainKey {
	return tokens.ChainKey{LoginHost: host, TenantID: tenant, ClientID: client}
}

func save(t *testing.T, s store.Store, key tokens.ChainKey, refresh string, seeds ...[32]byte) {
	t.Helper()

	if err := s.Tokens().Save(t.Context(), key, tokens.Chain{Refresh: secret.New(refresh)}, seeds...); err != nil {
		t.Fatal(err)
	}
}

func listed(t *testing.T, s store.Store) (keys []tokens.ChainKey) {
	t.Helper()

	list, err := s.Tokens().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	for _, i := range list {
		if i.Err != nil || i.Chain.Refresh.Reveal() != i.Key.TenantID {
			t.Errorf("%v: %q, %v", i.Key, i.Chain.Refresh.Reveal(), i.Err)
		}

		keys = append(keys, i.Key)
	}

	return keys
}

func chainsAreListed(t *testing.T, s store.Store) {
	want := []tokens.ChainKey{
		chainKey("h2", "a", "1"),
		chainKey("h1", "a", "2"),
		chainKey("h2", "a", "2"),
		chainKey("h1", "b", "1"),
	}
	for _, key := range slices.Backward(want) {
		save(t, s, key, key.TenantID)
	}

	if got := listed(t, s); !slices.Equal(got, want) {
		t.Errorf("listed: %v; want %v", got, want)
	}
}

func chainIsRemoved(t *testing.T, s store.Store) {
	key, seed := chainKey("h", "a", "1"), [32]byte{1}
	save(t, s, key, "a", seed)

	before, _, err := s.Tokens().Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	for _, want := range []bool{true, false} {
		if removed, err := s.Tokens().Remove(t.Context(), key); err != nil || removed != want {
			t.Errorf("Remove = %t, %v; want %t", removed, err, want)
		}
	}

	if _, ok, err := s.Tokens().Load(t.Context(), key); ok || err != nil {
		t.Errorf("Load = %t, %v", ok, err)
	}

	if seen, err := s.Tokens().SeedSeen(t.Context(), key, seed); seen || err != nil {
		t.Errorf("SeedSeen = %t, %v", seen, err)
	}

	if got := listed(t, s); len(got) != 0 {
		t.Errorf("listed: %v", got)
	}

	save(t, s, key, "a")

	if c, _, err := s.Tokens().Load(t.Context(), key); err != nil || c.Version <= before.Version {
		t.Errorf("the version went from %d to %d, %v", before.Version, c.Version, err)
	}
}

func chainsAreRekeyed(t *testing.T, s store.Store) {
	keys := []tokens.ChainKey{chainKey("h", "a", "1"), chainKey("h", "b", "1")}
	for _, key := range keys {
		save(t, s, key, key.TenantID)
	}

	newKey := make([]byte, 32)
	for _, step := range []struct {
		key  []byte
		want int
	}{{newKey, 2}, {newKey, 0}, {nil, 2}} {
		if n, err := s.Tokens().Rekey(t.Context(), step.key); err != nil || n != step.want {
			t.Errorf("Rekey = %d, %v; want %d", n, err, step.want)
		}

		if got := listed(t, s); !slices.Equal(got, keys) {
			t.Errorf("listed: %v", got)
		}
	}

	if _, err := s.Tokens().Rekey(t.Context(), newKey[:16]); err == nil {
		t.Error("a key of 16 bytes was accepted")
	}
}

func closedStore(t *testing.T, s store.Store) {
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}

	_, _, _, load := s.Load(t.Context(), Key(1))
	_, _, chain := s.Tokens().Load(t.Context(), chainKey("h", "a", "1"))

	for call, err := range map[string]error{
		"Load":        load,
		"Commit":      s.Commit(t.Context(), []store.Commit{{Key: Key(1)}}),
		"Tokens.Load": chain,
		"Tokens.Save": s.Tokens().Save(t.Context(), chainKey("h", "a", "1"), tokens.Chain{}),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v", call, err)
		}
	}
}
