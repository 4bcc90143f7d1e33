package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/testbed/loglines"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

var errDisk = errors.New("no space left on device")

func TestAKeeperIsAChainStore(t *testing.T) {
	s := tokenstest.New()
	k := tokens.NewKeeper(s, nil)

	tokenstest.TestChainStore(t, func() tokens.ChainStore { return k })
}

func TestKeepersOverOneStoreAreAChainStoreAsProcessesAre(t *testing.T) {
	s := tokenstest.New()

	tokenstest.TestChainStore(t, func() tokens.ChainStore { return tokens.NewKeeper(s, nil) })
}

func TestAFullDiskStopsNoTenantAndIsReportedOnce(t *testing.T) {
	f, c, store, j := &fake{}, newClock(), stored(t, "rt0", ""), &loglines.Lines{}
	keeper := tokens.NewKeeper(store, j.Logger())
	cfg := tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: keeper,
		HTTP:  f.client(),
		Now:   c.Now,
	}
	a, b := newSource(t, cfg), newSource(t, cfg)

	store.Fail("Save", errDisk)

	for i, s := range []*tokens.Source{a, b, a, b} { // each goes on with the token the other got
		token(t, s)

		if want := "rt0 rt1 rt2 rt3"[:4*(i+1)-1]; f.refreshes() != want {
			t.Fatalf("sent %s, want %s", f.refreshes(), want)
		}

		c.Advance(time.Hour)
	}

	if load(t, store).Refresh.Reveal() != "rt0" || !keeper.Pending(cfg.App.ChainKey()) {
		t.Fatal("the disk was not full after all")
	}

	if errs := j.With("ERROR"); len(errs) != 1 || !strings.Contains(errs[0], "no space left") ||
		!strings.Contains(errs[0], tenant) {
		t.Errorf("error lines: %q", errs)
	}

	c.Advance(-time.Hour) // the last token lives: calls that need no sign-in save as well
	token(t, b)
	store.Fail("Save", nil)
	token(t, b)

	if got := load(t, store); got.Refresh.Reveal() != "rt4" || got.Previous.Reveal() != "rt3" ||
		keeper.Pending(cfg.App.ChainKey()) {
		t.Errorf("stored %s after the disk was repaired", got.Refresh.Reveal())
	}

	if len(j.With("ERROR")) != 1 || len(j.With("INFO")) != 1 {
		t.Errorf("lines: %q", j.String())
	}

	if err := keeper.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAStoreThatIsAwayIsReportedOnceForAllChains(t *testing.T) {
	store, j := tokenstest.New(), &loglines.Lines{}
	keeper := tokens.NewKeeper(store, j.Logger())
	keeper.RequireLocks()

	keys := make([]tokens.ChainKey, 3)
	for i := range keys {
		keys[i] = app(tokens.V2).ChainKey()
		keys[i].ClientID = fmt.Sprint(i)

		if err := keeper.Save(t.Context(), keys[i], tokens.Chain{Refresh: secret.New("rt0")}); err != nil {
			t.Fatal(err)
		}
	}

	store.Fail("Load", errDisk)

	for range 2 {
		for _, key := range keys {
			if c, ok, err := keeper.Load(t.Context(), key); err != nil || !ok || c.Refresh.Reveal() != "rt0" {
				t.Fatalf("%v, %t, %v", c, ok, err)
			}
		}
	}

	errs := j.With("ERROR")
	if len(errs) != 1 || strings.Contains(errs[0], "data_dir") || !strings.Contains(errs[0], "check the database") {
		t.Errorf("error lines: %q", errs)
	}

	store.Fail("Load", nil)

	for _, key := range keys {
		if err := keeper.Save(t.Context(), key, tokens.Chain{Refresh: secret.New("rt1")}); err != nil {
			t.Fatal(err)
		}
	}

	if lines := j.With("INFO"); len(lines) != 1 {
		t.Errorf("lines after the fault: %q", lines)
	}
}

func TestNothingIsRedeemedWhileASharedStoreIsAway(t *testing.T) {
	f, c, store := &fake{}, newClock(), stored(t, "rt0", "")
	keeper := tokens.NewKeeper(store, nil)
	keeper.RequireLocks()
	s := newSource(t, tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: keeper,
		HTTP:  f.client(),
		Now:   c.Now,
	})

	store.Fail("Lock", errDisk)

	if err := fails(t, s); err.Reason != advice.Store {
		t.Errorf("reason %s: %v", err.Reason, err)
	}

	if f.refreshes() != "" {
		t.Errorf("sent %s, which this process alone would know the successor of", f.refreshes())
	}

	store.Fail("Lock", nil)
	token(t, s)

	if f.refreshes() != "rt0" || load(t, store).Refresh.Reveal() != "rt1" {
		t.Errorf("sent %s, stored %s", f.refreshes(), load(t, store).Refresh.Reveal())
	}
}

func TestASeedIsRememberedThoughItCannotBeWritten(t *testing.T) {
	f, c, store := &fake{}, newClock(), tokenstest.New()
	keeper := tokens.NewKeeper(store, nil)
	cfg := tokens.SourceConfig{
		App:   app(tokens.V2),
		Seed:  seed("rt0"),
		Store: keeper,
		HTTP:  f.client(),
		Now:   c.Now,
	}

	store.Fail("Save", errDisk)
	token(t, newSource(t, cfg))
	token(t, newSource(t, cfg))

	if f.refreshes() != "rt0 rt1" {
		t.Errorf("sent %s", f.refreshes())
	}

	store.Fail("Save", nil)

	if err := keeper.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	if seen, _ := store.SeedSeen(t.Context(), cfg.App.ChainKey(), secret.New("rt0").Fingerprint()); !seen {
		t.Error("the fingerprint was lost")
	}
}

func TestADeadMarkHoldsThoughItCannotBeWritten(t *testing.T) {
	f, c, store := &fake{}, newClock(), stored(t, "x", "")
	keeper := tokens.NewKeeper(store, nil)
	s := newSource(t, tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: keeper,
		HTTP:  f.client(),
		Now:   c.Now,
	})

	store.Fail("Save", errDisk)
	fails(t, s)
	fails(t, s)

	if f.refreshes() != "x" {
		t.Errorf("sent %s", f.refreshes())
	}
}

func TestWhatAnotherProcessWroteMeanwhileWinsOverMemory(t *testing.T) {
	f, c, store := &fake{}, newClock(), stored(t, "rt0", "")
	keeper := tokens.NewKeeper(store, nil)
	key := app(tokens.V2).ChainKey()
	s := newSource(t, tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: keeper,
		HTTP:  f.client(),
		Now:   c.Now,
	})

	store.Fail("Save", errDisk)
	token(t, s)
	store.Fail("Save", nil)

	f.newest = 30

	if err := tokens.Adopt(t.Context(), store, key, tokens.SignIn{
		Refresh: secret.New("rt30"),
		At:      c.Now(),
	}); err != nil { // a person signed in
		t.Fatal(err)
	}

	c.Advance(time.Hour)
	token(t, s)

	if f.refreshes() != "rt0 rt30" || load(t, store).Refresh.Reveal() != "rt31" {
		t.Errorf("sent %s, stored %s", f.refreshes(), load(t, store).Refresh.Reveal())
	}
}

func TestAnUnreadableStoreIsReplacedByWhatIsKnownOnly(t *testing.T) {
	f, c, store, j := &fake{}, newClock(), stored(t, "rt0", ""), &loglines.Lines{}
	keeper := tokens.NewKeeper(store, j.Logger())
	s := newSource(t, tokens.SourceConfig{
		App:   app(tokens.V2),
		Grant: grant.RefreshToken,
		Store: keeper,
		HTTP:  f.client(),
		Now:   c.Now,
	})

	for _, m := range []string{"Load", "Lock", "SeedSeen"} {
		store.Fail(m, errDisk)
	}

	if e := fails(t, s); e.Fate != advice.TryAgain || !errors.Is(e, errDisk) || len(f.sent()) != 0 {
		t.Fatalf("%v", e)
	}

	store.Fail("Load", nil)
	token(t, s)
	store.Fail("Load", errDisk)
	c.Advance(time.Hour)
	token(t, s)

	if f.refreshes() != "rt0 rt1" {
		t.Errorf("sent %s", f.refreshes())
	}

	if len(j.With("ERROR")) == 0 {
		t.Error("nothing was reported")
	}
}

func TestFlushLeavesAChainInUseAloneAndTellsWhatIsStillUnsaved(t *testing.T) {
	store := stored(t, "rt0", "")
	keeper := tokens.NewKeeper(store, nil)
	key := app(tokens.V2).ChainKey()
	unlock, err := keeper.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	chain, _, _ := keeper.Load(t.Context(), key)

	store.Fail("Save", errDisk)

	chain.Refresh = secret.New("rt1")

	var unsaved *tokens.UnsavedError
	if err := keeper.Save(t.Context(), key, chain); !errors.As(err, &unsaved) || !errors.Is(err, errDisk) {
		t.Fatalf("Save gave %v", err)
	}

	if err := keeper.Flush(t.Context()); err != nil {
		t.Errorf("Flush of a chain in use: %v", err)
	}

	unlock()

	if got, _, _ := keeper.Load(t.Context(), key); got.Refresh.Reveal() != "rt1" {
		t.Errorf("loaded %s", got.Refresh.Reveal())
	}

	if err := keeper.Flush(context.Background()); !errors.As(err, &unsaved) {
		t.Errorf("Flush gave %v", err)
	}

	store.Fail("Save", nil)

	if unlock, err = keeper.Lock(t.Context(), key); err != nil {
		t.Fatal(err)
	}

	defer unlock()

	if got := load(t, store).Refresh.Reveal(); got != "rt1" {
		t.Errorf("the next to lock the chain did not save it: %s is stored", got)
	}
}

// slowLoad holds one Load back, with what it read, until it is let go.
type slowLoad struct {
	tokens.ChainStore
	on         bool
	read, gone chan struct{}
}

func (s *slowLoad) Load(ctx context.Context, k tokens.ChainKey) (tokens.Chain, bool, error) {
	c, ok, err := s.ChainStore.Load(ctx, k)
	if s.on {
		s.on = false
		close(s.read)
		<-s.gone
	}

	return c, ok, err
}

func TestALoadSlowerThanASaveKeepsWhatIsInMemoryOnly(t *testing.T) {
	for name, before := range map[string]string{"a chain": "rt1", "no chain yet": ""} {
		inner := tokenstest.New()
		store := &slowLoad{ChainStore: inner, read: make(chan struct{}), gone: make(chan struct{})}
		k := tokens.NewKeeper(store, nil)

		key, ctx := app(tokens.V2).ChainKey(), t.Context()
		if before != "" {
			if err := k.Save(ctx, key, tokens.Chain{Refresh: secret.New(before)}); err != nil {
				t.Fatal(err)
			}
		}

		done := make(chan struct{})
		store.on = true

		go func() {
			defer close(done)

			k.Load(ctx, key) // as Source.Changed and the daily forecast do, without the chain's lock
		}()

		<-store.read

		if err := k.Save(ctx, key, tokens.Chain{Refresh: secret.New("rt2")}); err != nil {
			t.Fatal(err)
		}

		inner.Fail("Save", errDisk)

		if err := k.Save(ctx, key, tokens.Chain{Refresh: secret.New("rt3")}); err == nil {
			t.Fatal("saved on a full disk")
		}

		close(store.gone)
		<-done
		inner.Fail("Save", nil)

		if c, _, _ := k.Load(ctx, key); c.Refresh.Reveal() != "rt3" {
			t.Errorf("%s: the Keeper returns %q, want rt3, the newest", name, c.Refresh.Reveal())
		}
	}
}

func TestAnUnsavedSeedIsAddedToWhatAnotherProcessWrote(t *testing.T) {
	store := tokenstest.New()
	k := tokens.NewKeeper(store, nil)
	key, ctx, f := app(tokens.V2).ChainKey(), t.Context(), secret.New("seed").Fingerprint()

	store.Fail("Save", errDisk)

	if err := k.Save(ctx, key, tokens.Chain{Refresh: secret.New("rt1")}, f); err == nil {
		t.Fatal("saved on a full disk")
	}

	store.Fail("Save", nil)

	if err := store.Save(ctx, key, tokens.Chain{Refresh: secret.New("another process's")}); err != nil {
		t.Fatal(err)
	}

	if c, _, err := k.Load(ctx, key); err != nil || c.Refresh.Reveal() != "another process's" {
		t.Fatalf("%v", err)
	}

	if err := k.Flush(ctx); err != nil {
		t.Fatal(err)
	}

	if seen, _ := store.SeedSeen(ctx, key, f); !seen {
		t.Error("the store does not know the seed: a restart begins the chain anew with it")
	}

	if c := load(t, store); c.Refresh.Reveal() != "another process's" || k.Pending(key) {
		t.Errorf("stored %q, pending %v", c.Refresh.Reveal(), k.Pending(key))
	}
}

func TestTokensThatMayNotBeUsedNeedAPerson(t *testing.T) {
	f, store := &fake{}, stored(t, "rt0", "")
	store.Fail("Load", fmt.Errorf("tokens.db: %w: run `defenderctl tokens rekey`", tokens.ErrBarred))
	s := newSource(t, tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: store,
		HTTP:  f.client(),
		Seed:  seed("rt-seed"),
	})

	e := fails(t, s)
	if e.Fate != advice.NeedsFix || !strings.Contains(e.Error(), "tokens rekey") || len(f.sent()) != 0 {
		t.Errorf("%v (fate %v), %d requests", e, e.Fate, len(f.sent()))
	}
}

// TestASwapThatCannotBeWrittenYieldsToAnother: it is kept in memory, and written only if
// nothing else was stored meanwhile.
func TestASwapThatCannotBeWrittenYieldsToAnother(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile string
		want      string
	}{
		"nothing is stored meanwhile": {"", "rotated"},
		"a person signs in":           {"of a person", "of a person"},
	} {
		t.Run(name, func(t *testing.T) {
			store := stored(t, "first", "")
			key := app(tokens.V2).ChainKey()
			k := tokens.NewKeeper(store, nil)

			chain, _, err := k.Load(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}

			store.Fail("Save", errors.New("disk full"))

			chain.Refresh = secret.New("rotated")

			var unsaved *tokens.UnsavedError
			if err := k.Swap(t.Context(), key, chain, [32]byte{1}); !errors.As(err, &unsaved) {
				t.Fatalf("got %v", err)
			}

			if got, _, err := k.Load(t.Context(), key); err != nil || got.Refresh.Reveal() != "rotated" {
				t.Errorf("in memory is %q, %v", got.Refresh.Reveal(), err)
			}

			store.Fail("Save", nil)

			if c.meanwhile != "" {
				if err := store.Save(t.Context(), key, tokens.Chain{Refresh: secret.New(c.meanwhile)}); err != nil {
					t.Fatal(err)
				}
			}

			if err := k.Flush(t.Context()); err != nil {
				t.Error(err)
			}

			seen, err := store.SeedSeen(t.Context(), key, [32]byte{1})
			if got := load(t, store); got.Refresh.Reveal() != c.want || !seen || err != nil || k.Pending(key) {
				t.Errorf("stored is %q, seed seen %v, %v, pending %v", got.Refresh.Reveal(), seen, err, k.Pending(key))
			}
		})
	}
}
