package tokens

import (
	"context"
	"errors"
	"time"
)

func (c *keptChain) pending() bool { return c.unsaved || len(c.unsavedSeeds) > 0 }

// Pending reports whether something of a chain is in memory only.
func (k *Keeper) Pending(key ChainKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	c, ok := k.chains[key]

	return ok && c.pending()
}

// flushTimeout bounds one attempt of Flush to write a chain.
const flushTimeout = 5 * time.Second

// Flush tries to write everything that is in memory only. It is called every few
// seconds and before the process ends. It leaves out chains in use, which their users
// write. The error joins those of the chains that still cannot be written.
func (k *Keeper) Flush(ctx context.Context) error {
	var keys []ChainKey

	k.mu.Lock()
	for key, c := range k.chains {
		if c.pending() {
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
	case c.inUse <- struct{}{}:
	default:
		return nil
	}

	defer func() { <-c.inUse }()

	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()

	unlock, err := k.store.Lock(ctx, key)
	if err != nil {
		return &UnsavedError{err}
	}
	defer unlock()

	return k.flush(ctx, key)
}

// flush writes what is pending. The caller holds the chain's lock. What another process
// wrote meanwhile stays, but the seeds that are not stored yet are added: without them
// the chain would start again with an old seed after a restart.
func (k *Keeper) flush(ctx context.Context, key ChainKey) error {
	if !k.Pending(key) {
		return nil
	}

	_, stored, err := k.Load(ctx, key)
	if err != nil {
		return &UnsavedError{err}
	}

	if !stored { // a person removed the chain, and its seeds with it
		k.mu.Lock()
		defer k.mu.Unlock()

		k.of(key).unsavedSeeds = nil

		return nil
	}

	defer k.beginWrite(key)()

	return k.write(ctx, key)
}
