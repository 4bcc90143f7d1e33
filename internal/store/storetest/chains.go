package storetest

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

// TestStore tests that an implementation keeps the promises in the comments of
// store.Store and store.Chains. For each test, open opens an empty store without a key
// and without inputs, and sealed makes one for tokenstest.TestSealedStore. TestUnits
// tests the rest.
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
		{"access tokens are kept with a key only", accessIsKept},
		{"access tokens go with their chain, and with another key", accessIsDropped},
		{"access tokens that have ended go", endedAccessGoes},
		{"documents replace each other, and nil removes one", documents},
		{"documents are listed by name", documentsAreListed},
		{"seeds are listed by chain, and go with it", seedsAreListed},
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

func access(token string) tokens.Access {
	// Whatever the clock of the store: it has not ended.
	expiry := time.Date(2200, 1, 1, 12, 0, 0, 0, time.UTC)

	return tokens.Access{
		Token:    secret.New(token),
		Obtained: expiry.Add(-time.Hour),
		Expiry:   expiry,
		SignedIn: expiry.Add(-24 * time.Hour),
		Scope:    "SecurityAlert.Read.All",
	}
}

func accessKey(chain tokens.ChainKey, tenant string) tokens.AccessKey {
	return tokens.AccessKey{Chain: chain, TenantID: tenant, Resource: "https://graph.test"}
}

func keepAccess(t *testing.T, s store.Store, at tokens.AccessKey, a tokens.Access) {
	t.Helper()

	if err := s.Tokens().KeepAccess(t.Context(), at, a); err != nil {
		t.Fatal(err)
	}
}

// expectAccess expects an access token, or none for "".
func expectAccess(t *testing.T, s store.Store, at tokens.AccessKey, want string) {
	t.Helper()

	a, ok, err := s.Tokens().KeptAccess(t.Context(), at)
	if err != nil || ok != (want != "") || a.Token.Reveal() != want {
		t.Errorf("%v: %q, %v, %v; want %q", at, a.Token.Reveal(), ok, err, want)
	}
}

// rekey changes the key of a store: none for 0.
func rekey(t *testing.T, s store.Store, fill byte) {
	t.Helper()

	var key []byte
	if fill != 0 {
		key = bytes.Repeat([]byte{fill}, 32)
	}

	if _, err := s.Tokens().Rekey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

func accessIsKept(t *testing.T, s store.Store) {
	chain := chainKey("h", "home", "1")
	at := accessKey(chain, "contoso")

	keepAccess(t, s, at, access("plain"))
	expectAccess(t, s, at, "")

	rekey(t, s, 1)
	expectAccess(t, s, at, "")

	want := access("first")
	keepAccess(t, s, at, access("before"))
	keepAccess(t, s, at, want)
	keepAccess(t, s, accessKey(chain, "fabrikam"), access("second"))
	expectAccess(t, s, at, "first")
	expectAccess(t, s, accessKey(chain, "fabrikam"), "second")
	expectAccess(t, s, accessKey(chainKey("h", "home", "2"), "contoso"), "")

	other := at

	other.Resource = "https://other.test"
	expectAccess(t, s, other, "")

	got, _, err := s.Tokens().KeptAccess(t.Context(), at)
	if err != nil || got.Scope != want.Scope || !got.Obtained.Equal(want.Obtained) ||
		!got.Expiry.Equal(want.Expiry) || !got.SignedIn.Equal(want.SignedIn) {
		t.Errorf("kept %+v, %v; want %+v", got, err, want)
	}

	keepAccess(t, s, at, tokens.Access{})
	expectAccess(t, s, at, "")
	expectAccess(t, s, accessKey(chain, "fabrikam"), "second")
}

func accessIsDropped(t *testing.T, s store.Store) {
	rekey(t, s, 1)

	a, b := chainKey("h", "a", "1"), chainKey("h", "b", "1")
	for _, chain := range []tokens.ChainKey{a, b} {
		save(t, s, chain, chain.TenantID)
		keepAccess(t, s, accessKey(chain, "contoso"), access(chain.TenantID))
	}

	if _, err := s.Tokens().Remove(t.Context(), a); err != nil {
		t.Fatal(err)
	}

	expectAccess(t, s, accessKey(a, "contoso"), "")
	expectAccess(t, s, accessKey(b, "contoso"), "b")

	rekey(t, s, 2)
	expectAccess(t, s, accessKey(b, "contoso"), "")
}

// endedAccessGoes shows that tokens do not pile up: those that have ended are deleted
// when another one is kept.
func endedAccessGoes(t *testing.T, s store.Store) {
	rekey(t, s, 1)

	chain := chainKey("h", "home", "1")
	ended := access("ended")
	ended.Expiry = time.Date(2000, 1, 1, 12, 0, 0, 0, time.UTC)

	keepAccess(t, s, accessKey(chain, "contoso"), ended)
	keepAccess(t, s, accessKey(chain, "fabrikam"), access("lives"))
	expectAccess(t, s, accessKey(chain, "contoso"), "")
	expectAccess(t, s, accessKey(chain, "fabrikam"), "lives")
}

func documents(t *testing.T, s store.Store) {
	expect := func(name, want string, wantOK bool) {
		t.Helper()

		body, ok, err := s.Document(t.Context(), name)
		if err != nil || ok != wantOK || string(body) != want {
			t.Errorf("%s: %q, %v, %v; want %q, %v", name, body, ok, err, want, wantOK)
		}
	}
	set := func(name string, body []byte) {
		t.Helper()

		if err := s.SetDocument(t.Context(), name, body); err != nil {
			t.Fatal(err)
		}
	}

	expect("customers", "", false)
	set("customers", []byte("first"))
	set("customers", []byte("second\x00\xff"))
	set("other", []byte{})
	expect("customers", "second\x00\xff", true)
	expect("other", "", true)
	set("customers", nil)
	set("customers", nil)
	expect("customers", "", false)
	expect("other", "", true)

	if err := s.SetDocument(t.Context(), "other", make([]byte, store.MaxDocument+1)); err == nil {
		t.Error("a document that is too large was kept")
	}

	expect("other", "", true)
}

func documentsAreListed(t *testing.T, s store.Store) {
	for _, name := range []string{"b", "Z", "a"} {
		if err := s.SetDocument(t.Context(), name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}

	if err := s.SetDocument(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}

	if names, err := s.DocumentNames(t.Context()); err != nil || !slices.Equal(names, []string{"Z", "b"}) {
		t.Errorf("%q, %v", names, err)
	}
}

func seedsAreListed(t *testing.T, s store.Store) {
	a, b := chainKey("h", "a", "1"), chainKey("h", "b", "1")
	save(t, s, a, "a", [32]byte{1}, [32]byte{2})
	save(t, s, a, "a", [32]byte{2})
	save(t, s, b, "b", [32]byte{3})

	if _, err := s.Tokens().Remove(t.Context(), b); err != nil {
		t.Fatal(err)
	}

	seeds, err := s.Tokens().Seeds(t.Context())
	if err != nil || len(seeds) != 1 || len(seeds[a]) != 2 || !slices.Contains(seeds[a], [32]byte{1}) {
		t.Errorf("%v, %v", seeds, err)
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
		"SetDocument": s.SetDocument(t.Context(), "a", nil),
		"Tokens.Swap": s.Tokens().Swap(t.Context(), chainKey("h", "a", "1"), tokens.Chain{}),
		"Tokens.Save": s.Tokens().Save(t.Context(), chainKey("h", "a", "1"), tokens.Chain{}),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v", call, err)
		}
	}
}
