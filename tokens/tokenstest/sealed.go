package tokenstest

import (
	"bytes"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// Tamperer lets a test play somebody who can write the files or tables of a ChainStore
// that encrypts, but has no key. A row is whatever the store keeps of a chain, with
// correct checksums.
type Tamperer interface {
	// Open opens the store with a key, or without one for nil. What was opened before is
	// closed.
	Open(key []byte) tokens.ChainStore
	// Row returns what is kept of a chain; nil if nothing is.
	Row(key tokens.ChainKey) any
	// Put writes row for a chain, in place of what is there; a nil row removes it. The
	// store may be open.
	Put(key tokens.ChainKey, row any)
	// Rekey encrypts everything with another key, by the store's own means. It accepts
	// what is there without a check.
	Rekey(to []byte) error
}

// TestSealedStore tests that a ChainStore that encrypts keeps the promise of key_file:
// whoever can write the store without the key can make it unusable, but cannot make it
// use a token that is not the newest. fresh returns an empty store.
func TestSealedStore(t *testing.T, fresh func(*testing.T) Tamperer) {
	t.Run("a row that was put there", func(t *testing.T) { foreignRow(t, fresh) })

	for _, test := range []struct {
		promise string
		run     func(t *testing.T, fresh func(*testing.T) Tamperer)
	}{
		{"what is not encrypted is refused with a key, except to encrypt it", plainIsRefused},
		{"without the key, or with another, nothing is read or written", wrongKey},
		{"after a new key the rows of the old one are refused", oldRowsAreRefused},
		{"encrypting again accepts what is there", rekeyAccepts},
	} {
		t.Run(test.promise, func(t *testing.T) { test.run(t, fresh) })
	}
}

var (
	key, other        = bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{9}, 32)
	contoso, fabrikam = chainKey("contoso"), chainKey("fabrikam")
)

// savedThrice returns a store with two chains, each saved three times, and the first
// and second row of contoso.
func savedThrice(t *testing.T, fresh func(*testing.T) Tamperer, key []byte) (s Tamperer, first, second any) {
	s = fresh(t)

	chains := s.Open(key)
	for i, name := range []string{"first", "second", "third"} {
		save(t, chains, contoso, "contoso-"+name)
		save(t, chains, fabrikam, "fabrikam-"+name)

		switch i {
		case 0:
			first = s.Row(contoso)
		case 1:
			second = s.Row(contoso)
		}
	}

	return s, first, second
}

func foreignRow(t *testing.T, fresh func(*testing.T) Tamperer) {
	for name, tamper := range map[string]func(t *testing.T, s Tamperer, first, second any){
		"the row before the newest": func(_ *testing.T, s Tamperer, _, second any) { s.Put(contoso, second) },
		"the oldest row":            func(_ *testing.T, s Tamperer, first, _ any) { s.Put(contoso, first) },
		"the row of another chain":  func(_ *testing.T, s Tamperer, _, _ any) { s.Put(contoso, s.Row(fabrikam)) },
		"no row":                    func(_ *testing.T, s Tamperer, _, _ any) { s.Put(contoso, nil) },
		"a row of a chain without any": func(_ *testing.T, s Tamperer, first, _ any) {
			s.Put(chainKey("third"), first)
		},
		"a row that is not encrypted": func(t *testing.T, s Tamperer, _, _ any) {
			plain := fresh(t)
			save(t, plain.Open(nil), contoso, "of-the-attacker")
			s.Put(contoso, plain.Row(contoso))
		},
	} {
		for when, reopen := range map[string]bool{"while it is open": false, "while it is closed": true} {
			t.Run(name+", put there "+when, func(t *testing.T) {
				s, first, second := savedThrice(t, fresh, key)
				chains := s.Open(key)
				expect(t, chains, contoso, "contoso-third")
				tamper(t, s, first, second)

				if reopen {
					chains = s.Open(key)
				}

				for _, k := range []tokens.ChainKey{contoso, chainKey("third")} {
					c, ok, err := chains.Load(t.Context(), k)
					if err == nil && ok && (k != contoso || c.Refresh.Reveal() != "contoso-third") {
						t.Errorf("%s: %q is used", k.TenantID, c.Refresh.Reveal())
					}
				}
			})
		}
	}
}

func plainIsRefused(t *testing.T, fresh func(*testing.T) Tamperer) {
	s, _, _ := savedThrice(t, fresh, nil)

	chains := s.Open(key)
	if _, ok, err := chains.Load(t.Context(), contoso); ok || err == nil {
		t.Errorf("Load: %v, %v", ok, err)
	}

	if err := chains.Save(t.Context(), chainKey("third"), tokens.Chain{Refresh: secret.New("x")}); err == nil {
		t.Error("a token was saved beside those that are refused")
	}

	if err := s.Rekey(key); err != nil {
		t.Fatal(err)
	}

	expect(t, s.Open(key), contoso, "contoso-third")
}

func wrongKey(t *testing.T, fresh func(*testing.T) Tamperer) {
	s, _, _ := savedThrice(t, fresh, key)
	for _, wrong := range [][]byte{nil, other} {
		chains := s.Open(wrong)
		if _, ok, err := chains.Load(t.Context(), contoso); ok || err == nil {
			t.Errorf("Load: %v, %v", ok, err)
		}

		if _, ok, err := chains.Load(t.Context(), chainKey("third")); ok || err == nil {
			t.Errorf("Load of what is not there: %v, %v; a token redeemed now could not be saved", ok, err)
		}

		if err := chains.Save(t.Context(), contoso, tokens.Chain{Refresh: secret.New("x")}); err == nil {
			t.Error("a token was saved")
		}
	}

	expect(t, s.Open(key), contoso, "contoso-third")
}

func oldRowsAreRefused(t *testing.T, fresh func(*testing.T) Tamperer) {
	s, _, _ := savedThrice(t, fresh, key)
	old := s.Row(contoso)
	s.Open(key)

	if err := s.Rekey(other); err != nil {
		t.Fatal(err)
	}

	expect(t, s.Open(other), contoso, "contoso-third")
	s.Put(contoso, old)

	if _, ok, err := s.Open(other).Load(t.Context(), contoso); ok || err == nil {
		t.Errorf("Load: %v, %v", ok, err)
	}
}

func rekeyAccepts(t *testing.T, fresh func(*testing.T) Tamperer) {
	s, _, second := savedThrice(t, fresh, key)
	s.Put(contoso, second)
	s.Open(key)

	if err := s.Rekey(key); err != nil {
		t.Fatal(err)
	}

	chains := s.Open(key)
	expect(t, chains, contoso, "contoso-second")
	save(t, chains, contoso, "contoso-fourth")
	expect(t, s.Open(key), contoso, "contoso-fourth")
}

func chainKey(tenant string) tokens.ChainKey {
	return tokens.ChainKey{
		LoginHost: "login.example.test",
		TenantID:  tenant,
		ClientID:  "11111111-2222-3333-4444-555555555555",
	}
}

func save(t *testing.T, s tokens.ChainStore, key tokens.ChainKey, refresh string) {
	t.Helper()

	chain := tokens.Chain{
		Refresh:  secret.New(refresh),
		Obtained: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC),
	}
	if err := s.Save(t.Context(), key, chain); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, s tokens.ChainStore, key tokens.ChainKey, refresh string) {
	t.Helper()

	if c, ok, err := s.Load(t.Context(), key); err != nil || !ok || c.Refresh.Reveal() != refresh {
		t.Errorf("%s: %q, %v, %v; want %q", key.TenantID, c.Refresh.Reveal(), ok, err, refresh)
	}
}
