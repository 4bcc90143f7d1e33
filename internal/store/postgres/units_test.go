package postgres

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/storetest"
)

// claiming is an opening with inputs that claims each unit before it writes to it.
type claiming struct {
	*Store
	t *testing.T
}

func (c claiming) claim(keys ...alert.UnitKey) {
	c.t.Helper()

	if _, err := c.Claim(c.t.Context(), store.Claim{Units: keys, Most: len(keys)}); err != nil {
		c.t.Fatal(err)
	}
}

func (c claiming) Commit(ctx context.Context, commits []store.Commit) error {
	for i := range commits {
		if ctx.Err() == nil {
			c.claim(commits[i].Key)
		}
	}

	return c.Store.Commit(ctx, commits)
}

func (c claiming) SetStatus(ctx context.Context, statuses map[alert.UnitKey]store.Status) error {
	c.claim(slices.Collect(maps.Keys(statuses))...)

	return c.Store.SetStatus(ctx, statuses)
}

func (c claiming) PutDeferred(ctx context.Context, key alert.UnitKey, d store.Deferred) (int64, error) {
	c.claim(key)

	return c.Store.PutDeferred(ctx, key, d)
}

func (c claiming) DropDeferred(ctx context.Context, key alert.UnitKey, id int64) error {
	c.claim(key)

	return c.Store.DropDeferred(ctx, key, id)
}

func (c claiming) ApplyRewind(ctx context.Context, key alert.UnitKey) (store.Checkpoint, bool, error) {
	c.claim(key)

	return c.Store.ApplyRewind(ctx, key)
}

// Forget is what another process does when nobody polls the unit.
func (c claiming) Forget(ctx context.Context, key alert.UnitKey) (bool, error) {
	if err := c.Release(ctx, true, key); err != nil {
		return false, err
	}

	return c.Store.Forget(ctx, key)
}

// unitsBackend opens a database whose clock a test moves, with inputs or without.
func unitsBackend(t *testing.T, inputs bool) storetest.Backend {
	d := pgtest.New(t)

	var (
		ahead atomic.Int64
		s     *Store
	)

	open := func() store.Units {
		if s != nil {
			if err := s.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
		}

		s = openOn(t, d, func(o *Options) {
			o.Inputs = inputs
			o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			o.Uptime = func() time.Duration { return uptime() + time.Duration(ahead.Load()) }
		})

		if !inputs {
			return s
		}

		n := testNode("a")
		n.TTL, n.TakeoverReplay = 1000*time.Hour, store.CrashWindow

		if err := s.Join(t.Context(), n); err != nil {
			t.Fatal(err)
		}

		return claiming{s, t}
	}

	b := storetest.Backend{
		Units:  open(),
		Reopen: open,
		Advance: func(by time.Duration) {
			ahead.Add(int64(by))
			d.Advance(t, by)
		},
	}

	if inputs {
		b.Crash = func() store.Units { return takenOver(t, b, s, d) }
	}

	return b
}

// takenOver lets the node of a store die, and returns that of another one that has taken
// its units over.
func takenOver(t *testing.T, b storetest.Backend, dead *Store, d *pgtest.Database) store.Units {
	t.Helper()

	if _, err := dead.Renew(t.Context()); err != nil { // its last sign of life
		t.Fatal(err)
	}

	keys, err := dead.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	b.Advance(1001 * time.Hour)

	n := testNode("other")
	n.TakeoverReplay = store.CrashWindow

	other := openOn(t, d, func(o *Options) { o.Inputs = true })
	if err := other.Join(t.Context(), n); err != nil {
		t.Fatal(err)
	}

	claim(t, other, true, keys...)

	return other
}

func TestANodeKeepsThePromisesOfUnits(t *testing.T) {
	t.Parallel()
	storetest.TestUnits(t, func(t *testing.T) storetest.Backend { return unitsBackend(t, true) })
}

func TestAnOpeningWithoutInputsKeepsThePromisesOfUnits(t *testing.T) {
	t.Parallel()
	storetest.TestUnits(t, func(t *testing.T) storetest.Backend { return unitsBackend(t, false) })
}
