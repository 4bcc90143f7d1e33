package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/seal"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

func chainKey(n int) tokens.ChainKey {
	return tokens.ChainKey{LoginHost: "login.example", TenantID: fmt.Sprintf("tenant-%d", n), ClientID: "client"}
}

func chainOf(token string) tokens.Chain {
	return tokens.Chain{
		Refresh:    secret.New(token),
		Previous:   secret.New(token + "-previous"),
		Account:    "soc@contoso",
		TenantName: "contoso",
		Obtained:   time.Unix(1, 2).UTC(),
		Refreshed:  time.Unix(3, 4).UTC(),
	}
}

func save(t *testing.T, s *Store, n int, token string) {
	t.Helper()

	if err := s.Tokens().Save(t.Context(), chainKey(n), chainOf(token)); err != nil {
		t.Fatal(err)
	}
}

func expectToken(t *testing.T, s *Store, n int, want string) {
	t.Helper()

	c, ok, err := s.Tokens().Load(t.Context(), chainKey(n))
	if err != nil || ok != (want != "") || c.Refresh.Reveal() != want {
		t.Errorf("Load(%d) = %q, %v, %v; want %q", n, c.Refresh.Reveal(), ok, err, want)
	}
}

var testKey = bytes.Repeat([]byte{7}, 32)

func withKey(key []byte) func(*Options) { return func(o *Options) { o.Key = key } }

func TestSQLiteKeepsThePromisesOfAChainStore(t *testing.T) {
	for name, key := range map[string][]byte{"plain": nil, "encrypted": testKey} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tokenstest.TestChainStore(t, func() tokens.ChainStore { return w.open(noInputs, withKey(key)).Tokens() })
		})
	}
}

func TestSaveSurvivesACancelledContext(t *testing.T) {
	s := newWorld(t).open()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if err := s.Tokens().Save(ctx, chainKey(1), chainOf("rotated")); err != nil {
		t.Fatal(err)
	}

	expectToken(t, s, 1, "rotated")
}

func TestListRemoveAndVersions(t *testing.T) {
	w := newWorld(t)
	s := w.open(noInputs)
	save(t, s, 2, "b")
	save(t, s, 1, "a")

	if err := s.Tokens().Save(t.Context(), chainKey(1), chainOf("a2"), [32]byte{9}); err != nil {
		t.Fatal(err)
	}

	list, err := s.Tokens().List(t.Context())
	if err != nil || len(list) != 2 || list[0].Key != chainKey(1) || list[0].Chain.Refresh.Reveal() != "a2" ||
		list[0].Chain.Version != 2 ||
		list[1].Key != chainKey(2) {
		t.Fatalf("List = %+v, %v", list, err)
	}

	for _, want := range []bool{true, false} {
		if removed, err := s.Tokens().Remove(t.Context(), chainKey(1)); err != nil || removed != want {
			t.Errorf("Remove = %v, %v", removed, err)
		}
	}

	expectToken(t, s, 1, "")

	if seen, err := s.Tokens().SeedSeen(t.Context(), chainKey(1), [32]byte{9}); err != nil || seen {
		t.Errorf("the seed of a removed chain is remembered: %v, %v", seen, err)
	}

	save(t, s, 1, "a3")

	if c, _, _ := s.Tokens().Load(t.Context(), chainKey(1)); c.Version <= 2 {
		t.Errorf("version is %d after removal and a new chain: a holder of the old one would not notice", c.Version)
	}
}

func TestTokensAreUnreadableOnDiskWithAKey(t *testing.T) {
	for name, key := range map[string][]byte{"plain": nil, "encrypted": testKey} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.open(withKey(key))
			save(t, s, 1, "the-very-secret-token")
			s.Close()

			for _, name := range []string{tokensFile, copyFile} {
				b, err := os.ReadFile(filepath.Join(w.dir, name))
				if err != nil {
					t.Fatal(err)
				}

				if found := bytes.Contains(b, []byte("the-very-secret-token")); found != (key == nil) {
					t.Errorf("%s: token found in the file: %v", name, found)
				}
			}
		})
	}
}

func TestAWrongKeyIsSaidAndDamagesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.open(noInputs, withKey(testKey))
	save(t, s, 1, "secret")
	s.Close()

	for name, key := range map[string][]byte{"no key": nil, "another key": bytes.Repeat([]byte{8}, 32)} {
		s := w.open(noInputs, withKey(key))
		if _, ok, err := s.Tokens().Load(t.Context(), chainKey(1)); ok || !errors.Is(err, store.ErrKey) ||
			!strings.Contains(err.Error(), "key_file") {
			t.Errorf("%s: Load = %v, %v", name, ok, err)
		}

		list, err := s.Tokens().List(t.Context())
		if err != nil || len(list) != 1 || !errors.Is(list[0].Err, store.ErrKey) ||
			list[0].Chain.Account != "soc@contoso" ||
			!list[0].Chain.Refresh.IsZero() {
			t.Errorf("%s: List = %+v, %v", name, list, err)
		}

		s.Close()
	}

	if _, err := w.tryOpen(withKey([]byte("short"))); err == nil || !strings.Contains(err.Error(), "key_file") {
		t.Errorf("a short key: %v", err)
	}

	expectToken(t, w.open(withKey(testKey)), 1, "secret")

	if names := list(t, w.dir); strings.Contains(names, "damaged") {
		t.Errorf("something was renamed: %s", names)
	}
}

func TestATokenCannotBeMovedToAnotherTenantInTheFile(t *testing.T) {
	w := newWorld(t)
	s := w.open(noInputs, withKey(testKey))
	save(t, s, 1, "one")
	save(t, s, 2, "two")

	err := s.sh.tokens.update(t.Context(), func(tx tx) error {
		one, _, err := chainTable{tx}.Find(chainKey(1))
		if err != nil {
			return err
		}

		one.Key = chainKey(2)

		return chainTable{tx}.write(&one)
	})
	if err != nil {
		t.Fatal(err)
	}

	if c, ok, err := s.Tokens().Load(t.Context(), chainKey(2)); ok || !errors.Is(err, store.ErrTampered) {
		t.Errorf("Load = %q, %v, %v", c.Refresh.Reveal(), ok, err)
	}
}

func TestRekey(t *testing.T) {
	other := bytes.Repeat([]byte{8}, 32)
	w := newWorld(t)

	s := w.open(noInputs)
	for n := range 5 {
		save(t, s, n, fmt.Sprint("token-", n))
	}

	for _, step := range []struct {
		name    string
		key     []byte
		changed int
	}{{"encrypt", testKey, 5}, {"again", testKey, 0}, {"another key", other, 5}, {"back to plain", nil, 5}} {
		if changed, err := s.Tokens().Rekey(t.Context(), step.key); err != nil || changed != step.changed {
			t.Errorf("%s: Rekey = %d, %v", step.name, changed, err)
		}

		expectToken(t, s, 3, "token-3")
		s.Close()
		s = w.open(noInputs, withKey(step.key))
		expectToken(t, s, 4, "token-4")
	}

	s.Close()

	s = w.open()
	if _, err := s.Tokens().Rekey(t.Context(), testKey); !errors.Is(err, store.ErrInUse) {
		t.Errorf("Rekey while inputs run: %v", err)
	}
}

func TestNothingPlainIsLeftOfRemovedAndRekeyedTokens(t *testing.T) {
	w := newWorld(t)
	s := w.open(noInputs)
	save(t, s, 1, "removed-token")
	save(t, s, 2, "rekeyed-token")

	if _, err := s.Tokens().Remove(t.Context(), chainKey(1)); err != nil {
		t.Fatal(err)
	}

	if _, err := s.Tokens().Rekey(t.Context(), testKey); err != nil {
		t.Fatal(err)
	}

	entries, err := os.ReadDir(
		w.dir,
	) // while it is open: opening and closing the files here is harmless, nothing else uses them now
	if err != nil {
		t.Fatal(err)
	}

	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(w.dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}

		for _, token := range []string{"removed-token", "rekeyed-token"} {
			if bytes.Contains(b, []byte(token)) {
				t.Errorf("%s is still in %s", token, e.Name())
			}
		}
	}
}

func TestTokensInAnotherFormThanConfiguredAreAWarning(t *testing.T) {
	w := newWorld(t)
	s := w.open(noInputs)
	save(t, s, 1, "x")
	s.Close()

	s = w.open(noInputs, withKey(testKey))
	if text := strings.Join(s.Warnings(), "\n"); !strings.Contains(text, "tokens rekey") {
		t.Errorf("plain tokens, a key: %q", text)
	}

	if _, err := s.Tokens().Rekey(t.Context(), testKey); err != nil {
		t.Fatal(err)
	}

	s.Close()

	s = w.open(noInputs, withKey(testKey))
	if len(s.Warnings()) != 0 {
		t.Errorf("all is well: %q", s.Warnings())
	}

	s.Close()

	if text := strings.Join(w.open(noInputs).Warnings(), "\n"); !strings.Contains(text, "key_file") {
		t.Errorf("encrypted tokens, no key: %q", text)
	}
}

func TestTheCopyFollowsEachSave(t *testing.T) {
	w := newWorld(t)

	s := w.open()
	for n := range 3 {
		save(t, s, 1, fmt.Sprint("token-", n))

		if err := s.Tokens().Save(t.Context(), chainKey(2), chainOf("x"), [32]byte{byte(n + 1)}); err != nil {
			t.Fatal(err)
		}

		if n == 1 { // a copy that is gone is made anew
			if err := os.Remove(filepath.Join(w.dir, copyFile)); err != nil {
				t.Fatal(err)
			}
		}
	}

	die(t, s)

	if err := os.WriteFile(filepath.Join(w.dir, tokensFile), []byte("garbage, garbage, garbage"), 0o600); err != nil {
		t.Fatal(err)
	}

	s = w.open()
	expectToken(t, s, 1, "token-2")

	for n := range 3 {
		if seen, err := s.Tokens().SeedSeen(t.Context(), chainKey(2), [32]byte{byte(n + 1)}); err != nil || !seen {
			t.Errorf("seed %d: %v, %v", n, seen, err)
		}
	}

	if !w.logged("came back from its copy") {
		t.Errorf("log: %q", w.logs.String())
	}
}

func TestACopyThatMissedAChangeIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	save(t, s, 1, "a")

	path := filepath.Join(w.dir, copyFile)

	stale, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	save(t, s, 2, "missed")

	if err := os.WriteFile(path, stale, 0o600); err != nil {
		t.Fatal(err)
	}

	save(t, s, 1, "b")
	die(t, s)

	if err := os.Truncate(filepath.Join(w.dir, tokensFile), 0); err != nil {
		t.Fatal(err)
	}

	s = w.open()
	expectToken(t, s, 1, "b")
	expectToken(t, s, 2, "missed")
}

func TestAFailingCopyIsLoggedOnceAndDoesNotStopSave(t *testing.T) {
	w := newWorld(t)
	s := w.open()
	// A directory that is not empty under the name of the new copy cannot be removed.
	if err := os.MkdirAll(filepath.Join(w.dir, freshFile, "x"), 0o700); err != nil {
		t.Fatal(err)
	}

	save(t, s, 1, "a")
	save(t, s, 1, "b")
	expectToken(t, s, 1, "b")

	if n := strings.Count(w.logs.String(), "cannot be written"); n != 1 {
		t.Errorf("%d lines in the log: %q", n, w.logs.String())
	}

	if err := os.RemoveAll(filepath.Join(w.dir, freshFile)); err != nil {
		t.Fatal(err)
	}

	save(t, s, 1, "c")

	if !w.logged("is written again") {
		t.Errorf("log: %q", w.logs.String())
	}
}

func TestAChainIsLockedOnceInTheProcess(t *testing.T) {
	w := newWorld(t)
	a, b := w.open(noInputs).chains(), w.open(noInputs).chains()
	unlock, err := a.Lock(t.Context(), chainKey(1))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()

	if _, err := b.Lock(ctx, chainKey(1)); !errors.Is(err, store.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked twice: %v", err)
	}
	if other, err := b.Lock(t.Context(), chainKey(2)); err != nil {
		t.Error(err)
	} else {
		other()
	}

	unlock()
	unlock() // a second call does nothing

	again, err := b.Lock(t.Context(), chainKey(1))
	if err != nil {
		t.Fatal(err)
	}

	again()
}

func TestAMarkOfAnOlderVersionIsReadOrDropped(t *testing.T) {
	w := newWorld(t)
	s := w.open(noInputs)
	save(t, s, 1, "token")
	a := &attacked{w: w, s: s}

	for mark, dead := range map[string]bool{"AADSTS700082": true, "AADSTS700003": false, "invalid_grant": false} {
		row := a.Row(chainKey(1)).(seal.Row)
		row.Dead = mark
		row.Rejected = 1
		a.Put(chainKey(1), row)

		c, ok, err := s.Tokens().Load(t.Context(), chainKey(1))
		if err != nil || !ok || c.Dead.IsZero() == dead || c.Rejected.IsZero() == dead ||
			c.Refresh.Reveal() != "token" {
			t.Errorf("%s: %+v, %v, %v", mark, c, ok, err)
		}
	}
}
