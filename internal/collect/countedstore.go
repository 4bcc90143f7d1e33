package collect

import (
	"context"
	"sync/atomic"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// countedStore wraps a store, and counts the calls that fail. A call that fails because
// its context has ended does not count.
type countedStore struct {
	store  Store
	failed *atomic.Uint64
	lease  Lease // its Lost is called for units that another node has; may be nil
}

// note counts an error, and returns it. If a write was refused since another node has the
// unit, that is no failure of the store, and is passed on to the lease instead.
func (s countedStore) note(ctx context.Context, err error) error {
	if keys, ok := fenced(err); ok && s.lease != nil {
		s.lease.Lost(keys)
		return err
	}

	if err != nil && ctx.Err() == nil {
		s.failed.Add(1)
	}

	return err
}

// Load implements Store.
func (s countedStore) Load(ctx context.Context, key alert.UnitKey) (
	cp store.Checkpoint, seen []store.Seen, ok bool, err error,
) {
	cp, seen, ok, err = s.store.Load(ctx, key)
	return cp, seen, ok, s.note(ctx, err)
}

// Commit implements Store.
func (s countedStore) Commit(ctx context.Context, commits []store.Commit) error {
	return s.note(ctx, s.store.Commit(ctx, commits))
}

// PendingRewind implements Store.
func (s countedStore) PendingRewind(
	ctx context.Context, keys ...alert.UnitKey,
) (map[alert.UnitKey]tick.Tick, error) {
	if len(keys) == 0 {
		return nil, nil // the store would return those of all units
	}

	pending, err := s.store.PendingRewind(ctx, keys...)

	return pending, s.note(ctx, err)
}

// ApplyRewind implements Store.
func (s countedStore) ApplyRewind(ctx context.Context, key alert.UnitKey) (
	cp store.Checkpoint, ok bool, err error,
) {
	cp, ok, err = s.store.ApplyRewind(ctx, key)
	return cp, ok, s.note(ctx, err)
}

// PutDeferred implements Store.
func (s countedStore) PutDeferred(ctx context.Context, key alert.UnitKey, d store.Deferred) (int64, error) {
	id, err := s.store.PutDeferred(ctx, key, d)
	return id, s.note(ctx, err)
}

// ListDeferred implements Store.
func (s countedStore) ListDeferred(ctx context.Context, key alert.UnitKey) ([]store.Deferred, error) {
	list, err := s.store.ListDeferred(ctx, key)
	return list, s.note(ctx, err)
}

// DeferredEvents implements Store.
func (s countedStore) DeferredEvents(ctx context.Context, key alert.UnitKey, id int64) ([]byte, bool, error) {
	events, ok, err := s.store.DeferredEvents(ctx, key, id)
	return events, ok, s.note(ctx, err)
}

// DropDeferred implements Store.
func (s countedStore) DropDeferred(ctx context.Context, key alert.UnitKey, id int64) error {
	return s.note(ctx, s.store.DropDeferred(ctx, key, id))
}

// Status implements Store.
func (s countedStore) Status(ctx context.Context, key alert.UnitKey) (store.Status, bool, error) {
	status, ok, err := s.store.Status(ctx, key)
	return status, ok, s.note(ctx, err)
}

// SetStatus implements Store.
func (s countedStore) SetStatus(ctx context.Context, statuses map[alert.UnitKey]store.Status) error {
	if len(statuses) == 0 {
		return nil
	}

	return s.note(ctx, s.store.SetStatus(ctx, statuses))
}
