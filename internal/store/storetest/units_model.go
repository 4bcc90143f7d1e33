package storetest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// fill writes one of everything to a unit.
func fill(t *testing.T, u store.Units, key alert.UnitKey) {
	t.Helper()

	_, err := u.PutDeferred(t.Context(), key, store.Deferred{Kind: store.ParkedBatch})

	err = errors.Join(
		err,
		u.Commit(t.Context(), []store.Commit{{
			Key:        key,
			Checkpoint: store.Checkpoint{Floor: 1, Watermark: 100, SeenSince: 1},
			Seen:       Entries(10, 5),
		}}),
		u.SetStatus(t.Context(), map[alert.UnitKey]store.Status{key: {State: health.OK}}),
		u.Rewind(t.Context(), key, 5),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// expectThere compares whether anything is known of a unit with what is expected.
func expectThere(t *testing.T, u store.Units, key alert.UnitKey, there bool) {
	t.Helper()

	_, seen, ok, loadErr := u.Load(t.Context(), key)
	_, status, statusErr := u.Status(t.Context(), key)
	list, listErr := u.ListDeferred(t.Context(), key)
	pending, pendingErr := u.PendingRewind(t.Context(), key)

	if err := errors.Join(loadErr, statusErr, listErr, pendingErr); err != nil {
		t.Error(err)
	}

	for what, got := range map[string]bool{
		"checkpoint":     ok,
		"seen-set":       len(seen) > 0,
		"status":         status,
		"deferred work":  len(list) > 0,
		"pending rewind": len(pending) > 0,
	} {
		if got != there {
			t.Errorf("%s of %s is there: %t", what, key.TenantID, got)
		}
	}
}

// model is what a store is to the caller.
type model struct {
	checkpoint store.Checkpoint
	has        bool
	seen       []store.Seen
}

// rewind takes the store and the model back to since.
func (m *model) rewind(t *testing.T, b Backend, key alert.UnitKey, since tick.Tick) {
	t.Helper()

	if err := b.Units.Rewind(t.Context(), key, since); err != nil {
		t.Fatal(err)
	}

	if _, ok, err := b.Units.ApplyRewind(t.Context(), key); err != nil || ok != m.has {
		t.Fatal(ok, err)
	}

	if !m.has {
		return
	}

	c := &m.checkpoint
	c.Floor = min(c.Floor, since)
	c.Watermark = min(c.Watermark, since)
	c.SeenSince = min(c.SeenSince, since)
	m.seen = slices.DeleteFunc(m.seen, func(e store.Seen) bool { return e.Time >= since })
}

func againstModel(t *testing.T, b Backend) {
	const units = 4

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	models := make([]model, units)

	var next tick.Tick = 1000

	for range 400 {
		n := rnd.IntN(units)
		m, key := &models[n], Key(n)

		switch rnd.IntN(12) {
		case 0:
			b.Units = b.Reopen()
		case 1:
			b.Advance(time.Duration(rnd.IntN(300)) * time.Second)
		case 2:
			m.rewind(t, b, key, next-tick.Tick(rnd.IntN(200)))
		default:
			c := store.Commit{Key: key, Seen: Entries(next, rnd.IntN(30))}
			next += tick.Tick(len(c.Seen))

			c.Checkpoint = store.Checkpoint{Floor: 1, Watermark: next, SeenSince: m.checkpoint.SeenSince}
			if rnd.IntN(3) == 0 {
				c.Checkpoint.SeenSince = max(c.Checkpoint.SeenSince, next-tick.Tick(rnd.IntN(500)))
			}

			m.checkpoint, m.has = c.Checkpoint, true
			m.seen = append(m.seen, c.Seen...)
			m.seen = slices.DeleteFunc(m.seen, func(e store.Seen) bool { return e.Time < m.checkpoint.SeenSince })

			commit(t, b.Units, c)
			b.Advance(time.Duration(rnd.IntN(20)) * time.Second)
		}

		if m.has {
			Expect(t, b.Units, key, m.checkpoint, m.seen)
		}

		if t.Failed() {
			return
		}
	}
}
