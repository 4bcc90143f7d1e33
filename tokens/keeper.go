package tokens

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/logs"
)

// Keeper is a ChainStore in front of another one that may fail: it keeps a chain that
// cannot be written in memory, uses it from there, and writes it at the next chance.
// Wrap the store of a process once and use the same Keeper for every Source, since only
// the Keeper knows what is not stored yet. It is safe for concurrent use.
type Keeper struct {
	store ChainStore
	log   *slog.Logger

	// logEnds is set by LogEnds.
	logEnds atomic.Bool
	// mustLock is set by RequireLocks.
	mustLock atomic.Bool
	// redemptions spreads the redemptions of Sources without Redemptions of their own.
	redemptions Redemptions

	mu     sync.Mutex // guards the fields below
	chains map[ChainKey]*keptChain
	slots  map[AccessKey]*slot
	// faultLogged says that a fault of the store was logged, and its end not yet.
	faultLogged bool
}

// keptChain is what a Keeper knows of one chain. Keeper.mu guards its fields but inUse
// and writing.
type keptChain struct {
	// inUse holds one value while a goroutine of this process has the chain's lock.
	inUse chan struct{}
	// writing is held during a write to the store and the update of the fields below
	// after it, since a Swap needs no lock of the chain. It is taken before Keeper.mu.
	writing sync.Mutex
	// newest is the newest state. known says that there is one, unsaved that it is
	// newer than the stored one.
	newest  Chain
	known   bool
	unsaved bool
	// anyway says that newest replaces whatever is stored. Otherwise it replaces only
	// the stored state with its Version.
	anyway bool
	// unsavedSeeds are fingerprints that the store does not have yet.
	unsavedSeeds [][32]byte
	// saves counts the Saves that began.
	saves int
	// faultLogged says that a fault was logged that this chain met.
	faultLogged bool
	home        homeState
}

// UnsavedError says that a chain is in memory only, and why. Sign-ins go on with it. It
// is lost if the process ends before the store works again.
type UnsavedError struct{ Err error }

// Error returns one line.
func (e *UnsavedError) Error() string { return fmt.Sprintf("refresh token not saved yet: %v", e.Err) }

// Unwrap returns the store's error.
func (e *UnsavedError) Unwrap() error { return e.Err }

// NewKeeper returns a Keeper in front of store. log gets one line when the store
// fails and one when it works again; nil for none.
func NewKeeper(store ChainStore, log *slog.Logger) *Keeper {
	if log == nil {
		log = logs.Discard()
	}

	return &Keeper{
		store:  store,
		log:    log,
		chains: map[ChainKey]*keptChain{},
		slots:  map[AccessKey]*slot{},
	}
}

// LogEnds makes the Keeper log, once for each sign-in that many tenants share, that it
// has ended. A command that prints this very error itself does not call it.
func (k *Keeper) LogEnds() { k.logEnds.Store(true) }

// RequireLocks makes Lock fail if the store cannot lock. It is for a store that other
// machines use too: they must learn of a new refresh token, and this process may die
// before the store works again.
func (k *Keeper) RequireLocks() { k.mustLock.Store(true) }

// of returns what is known of a chain. The caller holds k.mu.
func (k *Keeper) of(key ChainKey) *keptChain {
	c, ok := k.chains[key]
	if !ok {
		c = &keptChain{inUse: make(chan struct{}, 1)}
		k.chains[key] = c
	}

	return c
}

// logFault logs a fault of the store, once until the store works again: while a
// database cannot be reached, all chains meet the same fault. A fault of one chain
// alone is logged once too.
func (k *Keeper) logFault(key ChainKey, what string, err error) {
	k.mu.Lock()
	c := k.of(key)
	first := !c.faultLogged && !k.faultLogged

	if first {
		c.faultLogged = true
		k.faultLogged = true
	}
	k.mu.Unlock()

	if !first {
		return
	}

	remedy := "check data_dir and its disk"
	if k.mustLock.Load() {
		remedy = "check the database"
	}

	k.log.Error(plain.Line(fmt.Sprintf(
		"the token store %s (%v); tenant %s goes on with what is in memory, which is lost if the process ends; "+
			"others are not reported; %s", what, err, key.TenantID, remedy), 600))
}

// errLockedElsewhere says that another process holds a chain's lock.
var errLockedElsewhere = errors.New("another process holds it")

// Lock implements ChainStore. If the store cannot lock for another reason than ctx, the
// chain is locked within this process only, unless RequireLocks was called.
func (k *Keeper) Lock(ctx context.Context, key ChainKey) (func(), error) {
	k.mu.Lock()
	c := k.of(key)
	k.mu.Unlock()

	select {
	case c.inUse <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	unlock, err := k.store.Lock(ctx, key)
	if err != nil && ctx.Err() != nil {
		<-c.inUse
		return nil, fmt.Errorf("%w: %w", errLockedElsewhere, ctx.Err())
	}

	if err != nil && k.mustLock.Load() {
		<-c.inUse
		return nil, err
	}

	if err != nil {
		k.logFault(key, "cannot be locked", err)

		unlock = func() {}
	}

	_ = k.flush(ctx, key) // a failure was logged; the next call tries again

	return sync.OnceFunc(func() {
		unlock()
		<-c.inUse
	}), nil
}

// Load implements ChainStore. A chain in memory only is newer than the stored one,
// unless another process wrote meanwhile: that one wins, since it may come from a
// person who signed in.
func (k *Keeper) Load(ctx context.Context, key ChainKey) (Chain, bool, error) {
	savesBefore := k.saves(key)

	stored, ok, err := k.store.Load(ctx, key)
	if err != nil && ctx.Err() != nil {
		return Chain{}, false, err
	}

	k.mu.Lock()

	if k.chains[key] == nil && !ok { // nothing is kept of a tenant without a chain
		k.mu.Unlock()
		return Chain{}, false, err
	}

	c := k.of(key)

	// A Save that began meanwhile may be newer than what was read here.
	overtaken := c.saves != savesBefore
	if overtaken || err != nil && c.known {
		newest := c.newest
		k.mu.Unlock()

		if !overtaken {
			k.logFault(key, "cannot be read", err)
		}

		return newest, true, nil
	}

	defer k.mu.Unlock()

	if err != nil {
		return Chain{}, false, err
	}

	if c.unsaved && c.isNewerThan(stored, ok) {
		return c.newest, true, nil
	}

	c.unsaved = false
	c.anyway = false

	// A Load that began later may have been quicker; its state stays.
	if !ok || stored.Version >= c.newest.Version {
		c.newest = stored
		c.known = ok
	}

	return stored, ok, nil
}

// saves returns how many Saves of a chain have begun.
func (k *Keeper) saves(key ChainKey) int {
	k.mu.Lock()
	defer k.mu.Unlock()

	if c := k.chains[key]; c != nil {
		return c.saves
	}

	return 0
}

// isNewerThan reports whether the state in memory follows the stored one; ok is false
// if nothing is stored.
func (c *keptChain) isNewerThan(stored Chain, ok bool) bool {
	if !ok {
		return c.newest.Version == 0
	}

	return stored.Version <= c.newest.Version
}

// Save implements ChainStore. An *UnsavedError says that the chain is in memory only,
// which was logged.
func (k *Keeper) Save(ctx context.Context, key ChainKey, chain Chain, seeds ...[32]byte) error {
	defer k.beginWrite(key)()

	k.mu.Lock()
	c := k.of(key)
	chain.Version = c.newest.Version // of the stored state that this one follows
	c.keep(chain, true, seeds)
	k.mu.Unlock()

	return k.write(ctx, key)
}

// Swap implements ChainStore. An *UnsavedError says that the chain is in memory only
// until the store works again. If another state is stored by then, that one wins.
func (k *Keeper) Swap(ctx context.Context, key ChainKey, chain Chain, seeds ...[32]byte) error {
	defer k.beginWrite(key)()

	k.mu.Lock()
	c := k.of(key)
	before := keptChain{
		newest:       c.newest,
		known:        c.known,
		unsaved:      c.unsaved,
		anyway:       c.anyway,
		unsavedSeeds: c.unsavedSeeds,
	}
	c.keep(chain, false, seeds)
	saves := c.saves
	k.mu.Unlock()

	err := k.write(ctx, key)
	if !errors.Is(err, ErrOvertaken) {
		return err
	}

	k.mu.Lock()
	defer k.mu.Unlock()

	if c.saves == saves { // else somebody saved meanwhile, who knows more
		c.newest = before.newest
		c.known = before.known
		c.unsaved = before.unsaved
		c.anyway = before.anyway
		c.unsavedSeeds = before.unsavedSeeds
	}

	return err
}

// beginWrite waits until no other goroutine writes the chain. The caller calls end
// after its write.
func (k *Keeper) beginWrite(key ChainKey) (end func()) {
	k.mu.Lock()
	c := k.of(key)
	k.mu.Unlock()

	c.writing.Lock()

	return c.writing.Unlock
}

// keep makes a chain the newest state, in memory only. The caller holds Keeper.mu.
func (c *keptChain) keep(chain Chain, anyway bool, seeds [][32]byte) {
	c.newest = chain
	c.known = true
	c.unsaved = true
	c.anyway = anyway
	c.saves++
	c.unsavedSeeds = slices.Concat(c.unsavedSeeds, seeds)
}

// write stores what is in memory only. The caller has called beginWrite.
func (k *Keeper) write(ctx context.Context, key ChainKey) error {
	k.mu.Lock()
	c := k.of(key)
	chain := c.newest
	seeds := slices.Clone(c.unsavedSeeds)

	write := k.store.Swap
	if c.anyway {
		write = k.store.Save
	}
	k.mu.Unlock()

	err := write(ctx, key, chain, seeds...)

	switch {
	case errors.Is(err, ErrOvertaken):
		return err
	case err != nil:
		k.logFault(key, "cannot be written", err)
		return &UnsavedError{err}
	}

	stored, ok, err := k.store.Load(ctx, key)

	k.mu.Lock()
	c.unsaved = false
	c.anyway = false
	c.unsavedSeeds = c.unsavedSeeds[len(seeds):]

	if err == nil && ok {
		c.newest = stored
	}

	faultWasLogged := k.faultLogged
	c.faultLogged = false
	k.faultLogged = false
	k.mu.Unlock()

	if faultWasLogged {
		k.log.Info(
			plain.Line("the token store works again; the refresh token of tenant "+key.TenantID+" is saved", 300),
		)
	}

	return nil
}

// SeedSeen implements ChainStore. If the store cannot be asked, a chain in memory
// counts as started with the seed: it must not be replaced on a guess.
func (k *Keeper) SeedSeen(ctx context.Context, key ChainKey, fingerprint [32]byte) (bool, error) {
	k.mu.Lock()
	c := k.of(key)
	unsaved := slices.Contains(c.unsavedSeeds, fingerprint)
	known := c.known
	k.mu.Unlock()

	if unsaved {
		return true, nil
	}

	seen, err := k.store.SeedSeen(ctx, key, fingerprint)
	if err != nil && ctx.Err() == nil && known {
		k.logFault(key, "cannot be read", err)
		return true, nil
	}

	return seen, err
}

// KeepAccess implements ChainStore. The Keeper keeps no access token in memory: one
// that is not stored costs one more redemption after a restart.
func (k *Keeper) KeepAccess(ctx context.Context, at AccessKey, a Access) error {
	return k.store.KeepAccess(ctx, at, a)
}

// KeptAccess implements ChainStore.
func (k *Keeper) KeptAccess(ctx context.Context, at AccessKey) (a Access, ok bool, err error) {
	return k.store.KeptAccess(ctx, at)
}

// Busy reports whether a goroutine of this process uses a chain: a redemption may be
// under way, whose answer holds the only good refresh token.
func (k *Keeper) Busy() bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	for _, c := range k.chains {
		if len(c.inUse) > 0 {
			return true
		}
	}

	return false
}
