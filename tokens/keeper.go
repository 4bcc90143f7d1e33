package tokens

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fluent-bit-defender/internal/config/plain"
)

// Keeper is a ChainStore over another that survives a broken disk: a chain that cannot
// be written is kept in memory, used from there, and written at the next chance. Wrap a
// process's store once and give the same Keeper to every Source: they share chains, and
// what is not on disk is known to the Keeper only. Safe for concurrent use.
type Keeper struct {
	store ChainStore
	log   func(slog.Level, string)

	mu    sync.Mutex
	chain map[ChainKey]*kept
}

// kept is what a Keeper knows of one chain. Its fields are guarded by Keeper.mu; gate
// is the lock within this process.
type kept struct {
	gate    chan struct{}
	saves   int        // begun by this Keeper
	pending bool       // last is newer than what is on disk
	seeds   [][32]byte // not on disk yet
	last    Chain
	have    bool
	ailing  bool // the fault has been reported
}

// UnsavedError says that a chain is in memory only, and why. Emission goes on; it is
// lost if the process ends before the disk is mended.
type UnsavedError struct{ Err error }

// Error is one line.
func (e *UnsavedError) Error() string { return fmt.Sprintf("refresh token not saved yet: %v", e.Err) }

// Unwrap is the cause.
func (e *UnsavedError) Unwrap() error { return e.Err }

// NewKeeper wraps store. log, if not nil, gets one line when the store fails and one
// when it works again.
func NewKeeper(store ChainStore, log func(slog.Level, string)) *Keeper {
	if log == nil {
		log = func(slog.Level, string) {}
	}

	return &Keeper{store: store, log: log, chain: map[ChainKey]*kept{}}
}

// of gives the state of a chain; k.mu must be held.
func (k *Keeper) of(key ChainKey) *kept {
	c, ok := k.chain[key]
	if !ok {
		c = &kept{gate: make(chan struct{}, 1)}
		k.chain[key] = c
	}

	return c
}

// ailment reports a fault of the store once per chain, until recovered.
func (k *Keeper) ailment(key ChainKey, what string, err error) {
	k.mu.Lock()
	c := k.of(key)
	first := !c.ailing
	c.ailing = true
	k.mu.Unlock()

	if first {
		k.log(
			slog.LevelError,
			plain.Line(
				fmt.Sprintf(
					"the token store %s (%v); tenant %s goes on with what is in memory, which is lost if the process ends; check data_dir and its disk",
					what,
					err,
					key.TenantID,
				),
				600,
			),
		)
	}
}

// errElsewhere says that it is another process that holds a chain.
var errElsewhere = errors.New("another process holds it")

// Lock implements ChainStore. When the store cannot lock for another reason than ctx,
// the chain is exclusive within this process only.
func (k *Keeper) Lock(ctx context.Context, key ChainKey) (func(), error) {
	k.mu.Lock()
	c := k.of(key)
	k.mu.Unlock()

	select {
	case c.gate <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	unlock, err := k.store.Lock(ctx, key)
	if err != nil && ctx.Err() != nil {
		<-c.gate
		return nil, fmt.Errorf("%w: %w", errElsewhere, ctx.Err())
	}

	if err != nil {
		k.ailment(key, "cannot be locked", err)

		unlock = func() {}
	}

	k.flush(ctx, key)

	return sync.OnceFunc(func() {
		unlock()
		<-c.gate
	}), nil
}

// Load implements ChainStore. A chain in memory only is newer than the one on disk,
// unless another process wrote meanwhile: that one wins, since it may come from a
// person who signed in.
func (k *Keeper) Load(ctx context.Context, key ChainKey) (Chain, bool, error) {
	k.mu.Lock()
	c := k.of(key)
	before := c.saves
	k.mu.Unlock()

	disk, ok, err := k.store.Load(ctx, key)
	if err != nil && ctx.Err() != nil {
		return Chain{}, false, err
	}

	k.mu.Lock()
	switch {
	case c.saves != before: // without the chain's lock, this was slower than a Save: what it read may be older
		last := c.last
		k.mu.Unlock()

		return last, true, nil
	case err != nil && c.have:
		last := c.last
		k.mu.Unlock()
		k.ailment(key, "cannot be read", err)

		return last, true, nil
	case err != nil:
		k.mu.Unlock()
		return Chain{}, false, err
	case c.pending && ok && disk.Version <= c.last.Version, c.pending && !ok && c.last.Version == 0:
		last := c.last
		k.mu.Unlock()

		return last, true, nil
	}

	defer k.mu.Unlock()

	c.pending = false
	if !ok || disk.Version >= c.last.Version { // else another Load, which began later, was quicker
		c.last, c.have = disk, ok
	}

	return disk, ok, nil
}

// Save implements ChainStore. An *UnsavedError tells that c is kept in memory; it has
// been reported to the log.
func (k *Keeper) Save(ctx context.Context, key ChainKey, chain Chain, seeds ...[32]byte) error {
	k.mu.Lock()
	c := k.of(key)
	chain.Version = c.last.Version // of the state on disk that this one follows
	c.last, c.have, c.pending = chain, true, true
	c.saves++
	c.seeds = append(c.seeds, seeds...)
	k.mu.Unlock()

	return k.write(ctx, key)
}

// write brings what is pending to disk.
func (k *Keeper) write(ctx context.Context, key ChainKey) error {
	k.mu.Lock()
	c := k.of(key)
	chain, seeds := c.last, c.seeds[:len(c.seeds):len(c.seeds)]
	k.mu.Unlock()

	if err := k.store.Save(ctx, key, chain, seeds...); err != nil {
		k.ailment(key, "cannot be written", err)
		return &UnsavedError{err}
	}

	disk, ok, err := k.store.Load(ctx, key)
	k.mu.Lock()

	c.pending, c.seeds = false, c.seeds[len(seeds):]
	if err == nil && ok {
		c.last = disk
	}

	ailing := c.ailing
	c.ailing = false
	k.mu.Unlock()

	if ailing {
		k.log(
			slog.LevelInfo,
			plain.Line("the token store works again; the refresh token of tenant "+key.TenantID+" is saved", 300),
		)
	}

	return nil
}

// SeedSeen implements ChainStore. When the store cannot tell, a chain in memory
// decides: it must not be replaced on a guess.
func (k *Keeper) SeedSeen(ctx context.Context, key ChainKey, f [32]byte) (bool, error) {
	k.mu.Lock()

	c := k.of(key)
	for _, s := range c.seeds {
		if s == f {
			k.mu.Unlock()
			return true, nil
		}
	}

	have := c.have
	k.mu.Unlock()

	seen, err := k.store.SeedSeen(ctx, key, f)
	if err != nil && ctx.Err() == nil && have {
		k.ailment(key, "cannot be read", err)
		return true, nil
	}

	return seen, err
}

// Pending tells whether something of a chain is in memory only.
func (k *Keeper) Pending(key ChainKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	c, ok := k.chain[key]

	return ok && c.unsaved()
}

func (c *kept) unsaved() bool { return c.pending || len(c.seeds) > 0 }

// Busy tells whether a chain is in use in this process: a redemption may be on its way,
// whose answer holds the only good refresh token.
func (k *Keeper) Busy() bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	for _, c := range k.chain {
		if len(c.gate) > 0 {
			return true
		}
	}

	return false
}

// flushTime bounds an attempt to write what is pending when nobody waits for it.
const flushTime = 5 * time.Second

// Flush tries to write all that is in memory only: for every tick, and before the
// process ends. Chains in use are left to their users. The error joins what still
// cannot be written.
func (k *Keeper) Flush(ctx context.Context) error {
	k.mu.Lock()

	var keys []ChainKey

	for key, c := range k.chain {
		if c.unsaved() {
			keys = append(keys, key)
		}
	}
	k.mu.Unlock()

	var errs []error
	for _, key := range keys {
		errs = append(errs, k.flushKey(ctx, key))
	}

	return errors.Join(errs...)
}

// flushKey writes one pending chain, unless it is in use.
func (k *Keeper) flushKey(ctx context.Context, key ChainKey) error {
	k.mu.Lock()
	c := k.of(key)
	k.mu.Unlock()

	select {
	case c.gate <- struct{}{}:
	default:
		return nil
	}

	defer func() { <-c.gate }()

	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()

	unlock, err := k.store.Lock(ctx, key)
	if err != nil {
		return &UnsavedError{err}
	}
	defer unlock()

	return k.flush(ctx, key)
}

// flush writes what is pending, with the chain locked. What another process wrote
// meanwhile is left as it is, but for the seeds that are not on disk yet: without them
// the chain would begin anew with an old one after a restart.
func (k *Keeper) flush(ctx context.Context, key ChainKey) error {
	if !k.Pending(key) {
		return nil
	}

	if _, ok, err := k.Load(ctx, key); err != nil {
		return &UnsavedError{err}
	} else if !ok { // somebody removed it, and with it what it began with
		k.mu.Lock()
		defer k.mu.Unlock()

		k.of(key).seeds = nil

		return nil
	}

	return k.write(ctx, key)
}
