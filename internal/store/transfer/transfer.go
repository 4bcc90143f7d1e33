package transfer

import (
	"context"
	"errors"
	"fmt"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// ErrNotEmpty is returned when the target holds something already.
var ErrNotEmpty = errors.New("not empty")

// ErrInterrupted is returned when the target holds part of a copy that was interrupted.
var ErrInterrupted = errors.New("holds part of a copy that was interrupted")

// Copy copies a store into an empty one, and returns what was copied.
func Copy(ctx context.Context, from, to store.Store) (Counts, error) {
	if err := idle(ctx, from, to); err != nil {
		return Counts{}, err
	}

	if err := empty(ctx, to); err != nil {
		return Counts{}, fmt.Errorf("the target %w", err)
	}

	if _, marked, err := from.Document(ctx, store.CopyMark); err != nil || marked {
		return Counts{}, errors.Join(err, markedError("the source", marked))
	}

	if err := readable(ctx, from); err != nil {
		return Counts{}, err
	}

	if err := to.SetDocument(ctx, store.CopyMark, []byte("{}")); err != nil {
		return Counts{}, err
	}

	c := copying{from: from, to: to}

	for _, step := range []func(context.Context) error{
		c.chains,
		c.units,
		c.statuses,
		c.rewinds,
		c.documents,
	} {
		if err := step(ctx); err != nil {
			return c.done, err
		}
	}

	if err := c.verify(ctx); err != nil {
		return c.done, err
	}

	if err := idle(ctx, from, to); err != nil {
		return c.done, err
	}

	return c.done, to.SetDocument(ctx, store.CopyMark, nil)
}

// readable returns why a refresh token of the source cannot be used, if there is one.
func readable(ctx context.Context, from store.Store) error {
	chains, err := from.Tokens().List(ctx)
	if err != nil {
		return err
	}

	for _, i := range chains {
		if i.Err != nil {
			return fmt.Errorf("the refresh token of tenant %s: %w", i.Key.TenantID, i.Err)
		}
	}

	return nil
}

func markedError(which string, marked bool) error {
	if !marked {
		return nil
	}

	return fmt.Errorf("%s %w", which, ErrInterrupted)
}

// idle returns store.ErrInUse while a node uses one of the stores, and if a node died
// while it polled: what it delivered last has to be undone first, when another node
// takes over.
func idle(ctx context.Context, stores ...store.Store) error {
	for _, s := range stores {
		shared, ok := s.(store.Shared)
		if !ok {
			continue
		}

		nodes, err := shared.Nodes(ctx)
		if err != nil {
			return err
		}

		for _, n := range nodes {
			switch {
			case n.Live:
				return fmt.Errorf("the database is %w by node %s: stop every node first", store.ErrInUse, n.ID)
			case n.Units > 0:
				return fmt.Errorf("the database is %w: node %s died while it polled %d unit(s), and another node "+
					"has to take these over first; start it, or another node, and stop it properly",
					store.ErrInUse, n.ID, n.Units)
			}
		}
	}

	return nil
}

// empty returns an error unless a store has nothing in it.
func empty(ctx context.Context, s store.Store) error {
	if _, marked, err := s.Document(ctx, store.CopyMark); err != nil || marked {
		return errors.Join(err, wrapIf(ErrInterrupted, marked))
	}

	n, err := Count(ctx, s)
	if err != nil || n == (Counts{}) {
		return err
	}

	return fmt.Errorf("is %w: it has %s", ErrNotEmpty, n)
}

func wrapIf(err error, when bool) error {
	if when {
		return err
	}

	return nil
}

// copying is one copy.
type copying struct {
	from, to store.Store
	done     Counts
}

func (c *copying) chains(ctx context.Context) error {
	chains, err := c.from.Tokens().List(ctx)
	if err != nil {
		return err
	}

	seeds, err := c.from.Tokens().Seeds(ctx)
	if err != nil {
		return err
	}

	for _, i := range chains {
		if err := c.to.Tokens().Save(ctx, i.Key, i.Chain, seeds[i.Key]...); err != nil {
			return err
		}

		c.done.Tokens++
		c.done.Seeds += len(seeds[i.Key])
	}

	return nil
}

func (c *copying) units(ctx context.Context) error {
	keys, err := c.from.Keys(ctx)
	if err != nil {
		return err
	}

	for _, key := range keys {
		if err := c.unit(ctx, key); err != nil {
			return fmt.Errorf("tenant %s, api %s: %w", key.TenantID, key.API, err)
		}
	}

	return nil
}

// unit copies progress and deferred work of a unit.
func (c *copying) unit(ctx context.Context, key alert.UnitKey) error {
	checkpoint, seen, ok, err := c.from.Load(ctx, key)
	if err != nil {
		return err
	}

	if ok {
		err = c.to.Commit(ctx, []store.Commit{{
			Key:        key,
			Checkpoint: checkpoint,
			Seen:       seen,
		}})
		if err != nil {
			return err
		}

		c.done.Units++
		c.done.Seen += len(seen)
	}

	deferred, err := c.from.ListDeferred(ctx, key)
	if err != nil {
		return err
	}

	for _, d := range deferred {
		if d.Events, _, err = c.from.DeferredEvents(ctx, key, d.ID); err != nil {
			return err
		}

		d.ID = 0
		if _, err := c.to.PutDeferred(ctx, key, d); err != nil {
			return err
		}

		c.done.Deferred++
	}

	return nil
}

func (c *copying) statuses(ctx context.Context) error {
	statuses, err := c.from.Statuses(ctx)
	if err != nil || len(statuses) == 0 {
		return err
	}

	c.done.Statuses = len(statuses)

	return c.to.SetStatus(ctx, statuses)
}

func (c *copying) rewinds(ctx context.Context) error {
	pending, err := c.from.PendingRewind(ctx)
	if err != nil {
		return err
	}

	for key, since := range pending {
		if err := c.to.Rewind(ctx, key, since); err != nil {
			return err
		}

		c.done.Rewinds++
	}

	return nil
}

func (c *copying) documents(ctx context.Context) error {
	names, err := c.from.DocumentNames(ctx)
	if err != nil {
		return err
	}

	for _, name := range names {
		body, ok, err := c.from.Document(ctx, name)
		if err != nil {
			return err
		}

		if !ok {
			continue
		}

		if body == nil {
			body = []byte{} // nil would remove it
		}

		if err := c.to.SetDocument(ctx, name, body); err != nil {
			return err
		}

		c.done.Documents++
	}

	return nil
}
