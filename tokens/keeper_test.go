package tokens_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

var errDisk = errors.New("no space left on device")

// journal collects log lines by level.
type journal struct{ errors, infos []string }

func (j *journal) log(l slog.Level, s string) {
	if l >= slog.LevelError {
		j.errors = append(j.errors, s)
	} else {
		j.infos = append(j.infos, s)
	}
}

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
	f, c, store, j := &fake{}, newClock(), stored(t, "rt0", ""), &journal{}
	keeper := tokens.NewKeeper(store, j.log)
	cfg := tokens.SourceConfig{App: app(tokens.V2), Store: keeper, HTTP: f.client(), Now: c.Now}
	a, b := newSource(t, cfg), newSource(t, cfg)
	store.Fail("Save", errDisk)
	for i, s := range []*tokens.Source{a, b, a, b} { // each goes on with the token the other got
		token(t, s)
		if want := "rt0 rt1 rt2 rt3"[:4*(i+1)-1]; f.refreshes() != want {
			t.Fatalf("sent %s, want %s", f.refreshes(), want)
		}
		c.add(time.Hour)
	}
	if load(t, store).Refresh.Reveal() != "rt0" || !keeper.Pending(cfg.App.ChainKey()) {
		t.Fatal("the disk was not full after all")
	}
	if len(j.errors) != 1 || !strings.Contains(j.errors[0], "no space left") || !strings.Contains(j.errors[0], tenant) {
		t.Errorf("error lines: %q", j.errors)
	}
	c.add(-time.Hour) // the last token lives: calls that need no sign-in save as well
	token(t, b)
	store.Fail("Save", nil)
	token(t, b)
	if got := load(t, store); got.Refresh.Reveal() != "rt4" || got.Previous.Reveal() != "rt3" || keeper.Pending(cfg.App.ChainKey()) {
		t.Errorf("stored %s after the disk was mended", got.Refresh.Reveal())
	}
	if len(j.errors) != 1 || len(j.infos) != 1 {
		t.Errorf("lines: %q %q", j.errors, j.infos)
	}
	if err := keeper.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestASeedIsRememberedThoughItCannotBeWritten(t *testing.T) {
	f, c, store := &fake{}, newClock(), tokenstest.New()
	keeper := tokens.NewKeeper(store, nil)
	cfg := tokens.SourceConfig{App: app(tokens.V2), Seed: seed("rt0"), Store: keeper, HTTP: f.client(), Now: c.Now}
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
	s := newSource(t, tokens.SourceConfig{App: app(tokens.V2), Store: keeper, HTTP: f.client(), Now: c.Now})
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
	s := newSource(t, tokens.SourceConfig{App: app(tokens.V2), Store: keeper, HTTP: f.client(), Now: c.Now})
	store.Fail("Save", errDisk)
	token(t, s)
	store.Fail("Save", nil)
	f.newest = 30
	if err := tokens.Adopt(t.Context(), store, key, secret.New("rt30"), "", "", c.Now()); err != nil { // a person signed in
		t.Fatal(err)
	}
	c.add(time.Hour)
	token(t, s)
	if f.refreshes() != "rt0 rt30" || load(t, store).Refresh.Reveal() != "rt31" {
		t.Errorf("sent %s, stored %s", f.refreshes(), load(t, store).Refresh.Reveal())
	}
}

func TestAStoreThatCannotBeReadOrLockedIsBridgedOnlyWithWhatIsKnown(t *testing.T) {
	f, c, store, j := &fake{}, newClock(), stored(t, "rt0", ""), &journal{}
	keeper := tokens.NewKeeper(store, j.log)
	s := newSource(t, tokens.SourceConfig{App: app(tokens.V2), Grant: tokens.GrantRefreshToken, Store: keeper, HTTP: f.client(), Now: c.Now})
	for _, m := range []string{"Load", "Lock", "SeedSeen"} {
		store.Fail(m, errDisk)
	}
	if e := fails(t, s); e.Fate != tokens.Transient || !errors.Is(e, errDisk) || len(f.sent()) != 0 {
		t.Fatalf("%v", e)
	}
	store.Fail("Load", nil)
	token(t, s)
	store.Fail("Load", errDisk)
	c.add(time.Hour)
	token(t, s)
	if f.refreshes() != "rt0 rt1" {
		t.Errorf("sent %s", f.refreshes())
	}
	if len(j.errors) == 0 {
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
