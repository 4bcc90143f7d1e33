package transfer

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// verify reads what was written, and compares it with the source.
func (c *copying) verify(ctx context.Context) error {
	n, err := Count(ctx, c.to)
	if err != nil {
		return err
	}

	if n != c.done {
		return fmt.Errorf("the copy is not what was copied: it has %s instead of %s", n, c.done)
	}

	for _, check := range []func(context.Context) error{c.sameChains, c.sameUnits, c.sameDocuments} {
		if err := check(ctx); err != nil {
			return err
		}
	}

	return nil
}

func (c *copying) sameChains(ctx context.Context) error {
	want, err := c.from.Tokens().List(ctx)
	if err != nil {
		return err
	}

	for _, i := range want {
		got, ok, err := c.to.Tokens().Load(ctx, i.Key)
		if err != nil {
			return err
		}

		if !ok || !got.Refresh.Equal(i.Chain.Refresh) || !got.Previous.Equal(i.Chain.Previous) {
			return differs("the refresh token of tenant " + i.Key.TenantID)
		}
	}

	return nil
}

func (c *copying) sameUnits(ctx context.Context) error {
	keys, err := c.from.Keys(ctx)
	if err != nil {
		return err
	}

	for _, key := range keys {
		want, wantSeen, _, err := c.from.Load(ctx, key)
		if err != nil {
			return err
		}

		got, gotSeen, _, err := c.to.Load(ctx, key)
		if err != nil {
			return err
		}

		got.Replay = want.Replay // only a shared store has it
		if got != want || !maps.Equal(seenSet(wantSeen), seenSet(gotSeen)) {
			return differs("the progress of tenant " + string(key.TenantID))
		}
	}

	return nil
}

func seenSet(list []store.Seen) map[store.Seen]bool {
	set := make(map[store.Seen]bool, len(list))
	for _, s := range list {
		set[s] = true
	}

	return set
}

func (c *copying) sameDocuments(ctx context.Context) error {
	names, err := c.from.DocumentNames(ctx)
	if err != nil {
		return err
	}

	for _, name := range names {
		want, _, err := c.from.Document(ctx, name)
		if err != nil {
			return err
		}

		got, _, err := c.to.Document(ctx, name)
		if err != nil {
			return err
		}

		if !bytes.Equal(got, want) {
			return differs("the document " + name)
		}
	}

	wantRewinds, err := c.from.PendingRewind(ctx)
	if err != nil {
		return err
	}

	gotRewinds, err := c.to.PendingRewind(ctx)
	if err != nil {
		return err
	}

	if !maps.EqualFunc(wantRewinds, gotRewinds, func(a, b tick.Tick) bool { return a == b }) {
		return differs("a request to rewind")
	}

	return nil
}

func differs(what string) error {
	return fmt.Errorf("%s in the copy is not what was copied; copy again, to an empty target", what)
}
