package storetest

import (
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// givenAway returns a node that has given unit 1 to b, and holds unit 2.
func givenAway(t *testing.T, f *fleet) (a, b *member) {
	t.Helper()

	a, b = f.join("a", keys(1, 2)...), f.join("b")
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1000), Seen: Entries(900, 100)})

	if err := a.Release(t.Context(), true, Key(1)); err != nil {
		t.Fatal(err)
	}

	b.claim(store.Claim{Units: keys(1)}, Key(1))
	commit(t, b, store.Commit{Key: Key(1), Checkpoint: at(1100), Seen: Entries(1000, 100)})

	return a, b
}

func givenIsUndone(t *testing.T, f *fleet) {
	_, b := givenAway(t, f)
	c := f.join("c")
	f.expire(b, c)
	c.takeOver(Key(2))

	// It may be delivering at this moment.
	c.claim(store.Claim{Units: keys(1), Expired: true})
	commit(t, b, store.Commit{Key: Key(1), Checkpoint: at(1150)})

	b.givesBack(Key(1))
	c.takeOver(Key(1))
	Expect(t, c, Key(1), marked(store.Checkpoint{Floor: 100, Watermark: 100, SeenSince: 100}), nil)

	if s := c.holds(keys(1, 2)...); len(s.Recalled) > 0 {
		t.Errorf("recalled again: %v", s.Recalled)
	}

	commit(t, c, store.Commit{Key: Key(1), Checkpoint: at(1300)})
}

// givesBack renews the lease, and releases the units that are recalled.
func (m *member) givesBack(want ...alert.UnitKey) {
	m.t.Helper()

	recalled := m.renew().Recalled
	if !sameKeys(recalled, want) {
		m.t.Errorf("recalled from %s: %v, want %v", m.id, recalled, want)
	}

	m.release(false, recalled...)
}

func givenAll(t *testing.T, f *fleet) {
	a, b := givenAway(t, f)
	a.release(true, Key(2))
	b.claim(store.Claim{Units: keys(2)}, Key(2))
	b.toRecall(false)
	f.expire(b)
	b.toRecall(true)
	b.claim(store.Claim{Expired: true})
	b.givesBack(keys(1, 2)...)
	b.toRecall(false)
	b.takeOver(keys(1, 2)...)
	Expect(t, b, Key(1), marked(store.Checkpoint{Floor: 100, Watermark: 100, SeenSince: 100}), nil)
}

// toRecall renews the lease, and compares whether something is to be recalled.
func (m *member) toRecall(want bool) {
	m.t.Helper()

	if got := m.renew().ToRecall; got != want {
		m.t.Errorf("ToRecall of %s = %t, want %t", m.id, got, want)
	}
}

func recalledFromTheDead(t *testing.T, f *fleet) {
	a, b, c := f.join("a", keys(1, 2)...), f.join("b"), f.join("c")

	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1000), Seen: Entries(900, 10)})
	f.Advance(3 * time.Hour)
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1050), Seen: Entries(1000, 10)})
	f.Advance(replay - time.Hour) // what came last is within takeover_replay, and the first is not

	for _, m := range []*member{a, b, c} {
		m.renew()
	}

	a.release(true, Key(1))
	b.claim(store.Claim{Units: keys(1)}, Key(1))
	f.expire(b, c)
	c.takeOver(Key(2))

	// The other node dies before it has given the unit back.
	f.Advance(ttl / 2)
	commit(t, b, store.Commit{Key: Key(1), Checkpoint: at(1200), Seen: Entries(1100, 10)})
	b.renew()
	c.renew()
	f.expire(c)
	c.takeOver(Key(1))
	Expect(t, c, Key(1), marked(at(1000)), Entries(900, 10))
}

func givenLongAgo(t *testing.T, f *fleet) {
	a, b := givenAway(t, f)
	f.Advance(replay + 2*time.Hour)
	a.renew()
	f.expire(b)
	b.takeOver(Key(2))
	commit(t, b, store.Commit{Key: Key(1), Checkpoint: at(1200)})
	Expect(t, b, Key(1), at(1200), append(Entries(900, 100), Entries(1000, 100)...))
}

func givenBeforeJoin(t *testing.T, f *fleet) {
	_, b := givenAway(t, f)
	f.expire(b)
	f.join("a")
	b.givesBack(Key(1))
	b.takeOver(keys(1, 2)...)
	Expect(t, b, Key(1), marked(store.Checkpoint{Floor: 100, Watermark: 100, SeenSince: 100}), nil)
}
