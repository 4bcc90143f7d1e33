package storetest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

var takeoverPromises = []promise{
	{"a takeover forgets what was delivered lately", forgetsDelivered},
	{"it goes by delivery and not by the age of an alert", goesByDelivery},
	{"it counts from the last renewal of the owner", countsFromRenewal},
	{"the checkpoint goes back, and never below the floor", checkpointGoesBack},
	{"of many commits it goes back by no more than needed", goesBackNoFurther},
	{"deferred work that was done lately comes back", deferredComesBack},
	{"a commit clears the mark, or keeps it", markIsCleared},
	{"the mark lasts over a hand-over", markOutlivesHandOver},
	{"the mark lasts over a rewind", markOutlivesRewind},
	{"a second takeover undoes what the second owner did", takenOverTwice},
	{"a unit without a checkpoint is marked, too", markedWithoutCheckpoint},
	{"a replay of 0 undoes nothing, and marks", replayZero},
	{"units of one node that were not taken are as they were", othersStay},
	{"what a dead node gave away lately is undone, too", givenIsUndone},
	{"what it gave away is undone when its new owner dies, too", recalledFromTheDead},
	{"it is undone although nothing else is to be claimed", givenAll},
	{"what it gave away longer ago is not", givenLongAgo},
	{"what a node gave away before it died and joined again, too", givenBeforeJoin},
	{"the clocks of the nodes make no difference", clocksOff},
	{"times that are kept are on the clock of the place", timesKept},
}

// at returns a checkpoint for these tests.
func at(watermark tick.Tick) store.Checkpoint {
	return store.Checkpoint{Floor: 100, Watermark: watermark, SeenSince: 50}
}

// marked returns a checkpoint as it is after a takeover.
func marked(c store.Checkpoint) store.Checkpoint {
	c.Replay = true
	return c
}

func forgetsDelivered(t *testing.T, f *fleet) {
	a, b := f.join("a", keys(1, 2)...), f.join("b")
	commit(t, a,
		store.Commit{Key: Key(1), Checkpoint: at(1000), Seen: Entries(900, 100)},
		store.Commit{Key: Key(2), Checkpoint: at(1000), Seen: Entries(900, 100)})
	f.Advance(replay + 2*time.Hour)
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(2000), Seen: Entries(1900, 100)})
	a.renew()
	b.renew()
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(2100), Seen: Entries(2000, 100)})
	f.expire(b)
	b.takeOver(keys(1, 2)...)
	Expect(t, b, Key(1), marked(at(1000)), Entries(900, 100))
	Expect(t, b, Key(2), marked(at(1000)), Entries(900, 100))
}

func goesByDelivery(t *testing.T, f *fleet) {
	a, b := f.join("a", Key(1)), f.join("b")
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(5000), Seen: Entries(4000, 10)})
	f.Advance(replay + 2*time.Hour)
	// An alert that is older than all others is listed, and delivered, now.
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(5000), Seen: Entries(200, 3)})
	a.renew()
	f.expire(b)
	b.takeOver(Key(1))
	Expect(t, b, Key(1), marked(at(5000)), Entries(4000, 10))
}

func countsFromRenewal(t *testing.T, f *fleet) {
	a, b := f.join("a", Key(1)), f.join("b")
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1000), Seen: Entries(900, 1)})
	f.Advance(replay + time.Hour)
	a.renew()

	// The node is dead for long before anybody claims: the span begins at its end.
	f.Advance(5 * time.Minute)
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1100), Seen: Entries(1000, 1)})
	f.Advance(10 * replay)
	b.renew()
	b.takeOver(Key(1))
	Expect(t, b, Key(1), marked(at(1000)), Entries(900, 1))
}

func checkpointGoesBack(t *testing.T, f *fleet) {
	a, b := f.join("a", Key(1)), f.join("b")
	first := at(1000)
	first.Floor, first.Lateness = 700, time.Second
	last := first
	last.Watermark, last.SeenSince, last.Lateness = 2000, 1500, time.Minute

	commit(t, a, store.Commit{Key: Key(1), Checkpoint: first, Seen: Entries(900, 50)})
	f.Advance(time.Minute)
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: last, Seen: Entries(1600, 50)})
	f.expire(b)
	b.takeOver(Key(1))

	// All of the unit is younger than the span. What was learned of the API stays.
	Expect(t, b, Key(1), store.Checkpoint{
		Floor:     700,
		Watermark: 700,
		SeenSince: 700,
		Lateness:  time.Minute,
		Replay:    true,
	}, nil)
}

func goesBackNoFurther(t *testing.T, f *fleet) {
	const (
		step  = 10 * time.Minute
		count = 200
	)

	a, b := f.join("a", Key(1)), f.join("b")

	for i := range count {
		c := at(tick.Tick(1000 + 10*i))
		c.SeenSince = tick.Tick(1000 + 10*max(0, i-80)) // what is undone needs some that has fallen out
		commit(t, a, store.Commit{Key: Key(1), Checkpoint: c, Seen: Entries(c.Watermark, 10)})
		f.Advance(step)
		a.renew()
		b.renew()
	}

	f.expire(b)
	b.takeOver(Key(1))

	c, seen, ok, err := b.Load(t.Context(), Key(1))
	if err != nil || !ok || !c.Replay {
		t.Fatalf("Load = %+v, %t, %v", c, ok, err)
	}

	// The last renewal came a step after the last commit. The time that the test itself
	// takes decides whether one commit more is old enough.
	last := count - int(replay/step)
	earliest, latest := tick.Tick(1000+10*(last-1)), tick.Tick(1000+10*last)

	if c.Watermark < earliest || c.Watermark > latest {
		t.Errorf("the watermark is %d, want %d to %d", c.Watermark, earliest, latest)
	}

	if want := int(c.Watermark+10-c.SeenSince) / 10 * 10; len(seen) != want {
		t.Errorf("%d seen entries with %+v, want %d", len(seen), c, want)
	}
}

// put adds a rejected event, and returns it with the mark that it has after a takeover.
func (m *member) put(key alert.UnitKey, event string) store.Deferred {
	m.t.Helper()

	d := store.Deferred{Kind: store.RejectedEvent, Events: []byte(event), Reason: event}

	id, err := m.PutDeferred(m.t.Context(), key, d)
	if err != nil {
		m.t.Fatal(err)
	}

	d.ID, d.Replay = id, true

	return d
}

// drop removes an event.
func (m *member) drop(key alert.UnitKey, d store.Deferred) {
	m.t.Helper()

	if err := m.DropDeferred(m.t.Context(), key, d.ID); err != nil {
		m.t.Fatal(err)
	}
}

// expectDeferred compares the deferred work of a unit.
func (m *member) expectDeferred(key alert.UnitKey, want ...store.Deferred) {
	m.t.Helper()

	if got := deferred(m.t, m, key); !reflect.DeepEqual(got, want) {
		m.t.Errorf("deferred:\n%+v\nwant\n%+v", got, want)
	}
}

func deferredComesBack(t *testing.T, f *fleet) {
	a, b := f.join("a", keys(1, 2)...), f.join("b")
	long, late, inCommit := a.put(Key(1), "long"), a.put(Key(1), "late"), a.put(Key(1), "in a commit")
	left, other := a.put(Key(1), "left"), a.put(Key(2), "other")

	a.drop(Key(1), long)
	f.Advance(replay + 2*time.Hour)
	a.drop(Key(1), late)
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1000), Dropped: []int64{inCommit.ID}})
	a.renew()

	since := a.put(Key(1), "since")

	f.expire(b)
	b.takeOver(Key(1))
	b.expectDeferred(Key(1), late, inCommit, left, since)

	other.Replay = false // its unit was not taken over
	b.expectDeferred(Key(2), other)

	left.Tries = 3
	if _, err := b.PutDeferred(t.Context(), Key(1), left); err != nil {
		t.Fatal(err)
	}

	fresh := b.put(Key(1), "fresh")
	fresh.Replay = false
	b.expectDeferred(Key(1), late, inCommit, left, since, fresh)
	b.drop(Key(1), late)
	b.expectDeferred(Key(1), inCommit, left, since, fresh)
}

func markIsCleared(t *testing.T, f *fleet) {
	a, b := f.join("a", Key(1)), f.join("b")
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1000)})
	f.Advance(replay + time.Hour)
	a.renew()
	f.expire(b)
	b.takeOver(Key(1))

	for _, c := range []store.Checkpoint{marked(at(1000)), marked(at(1500)), at(2000), at(2100)} {
		commit(t, b, store.Commit{Key: Key(1), Checkpoint: c})
		Expect(t, b, Key(1), c, nil)
	}
}

func markOutlivesHandOver(t *testing.T, f *fleet) {
	a, b, c := f.join("a", Key(1)), f.join("b"), f.join("c")
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1000)})
	f.Advance(replay + time.Hour)
	a.renew()
	f.expire(b, c)
	b.takeOver(Key(1))
	commit(t, b, store.Commit{Key: Key(1), Checkpoint: marked(at(1500))})
	b.release(true, Key(1))

	if got := c.claim(store.Claim{Units: keys(1)}, Key(1)); got[0].Takeover {
		t.Error("a hand-over is no takeover")
	}

	Expect(t, c, Key(1), marked(at(1500)), nil)
}

func markOutlivesRewind(t *testing.T, f *fleet) {
	a, b := f.join("a", Key(1)), f.join("b")
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1000)})
	f.Advance(replay + time.Hour)
	a.renew()
	f.expire(b)
	b.takeOver(Key(1))

	if err := b.Rewind(t.Context(), Key(1), 500); err != nil {
		t.Fatal(err)
	}

	want := marked(at(500))
	if c, ok, err := b.ApplyRewind(t.Context(), Key(1)); err != nil || !ok || c != want {
		t.Errorf("ApplyRewind = %+v, %t, %v; want %+v", c, ok, err, want)
	}

	Expect(t, b, Key(1), want, nil)
}

func takenOverTwice(t *testing.T, f *fleet) {
	a, b, c := f.join("a", Key(1)), f.join("b"), f.join("c")
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1000), Seen: Entries(900, 10)})
	f.Advance(replay + time.Hour)
	a.renew()
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: at(1500), Seen: Entries(1400, 10)})
	f.expire(b, c)
	b.takeOver(Key(1))
	commit(t, b, store.Commit{Key: Key(1), Checkpoint: at(1600), Seen: Entries(1400, 20)})
	Expect(t, b, Key(1), at(1600), append(Entries(900, 10), Entries(1400, 20)...))

	f.expire(c)
	c.takeOver(Key(1))
	Expect(t, c, Key(1), marked(at(1000)), Entries(900, 10))

	// What the third did is older than the span when it dies.
	commit(t, c, store.Commit{Key: Key(1), Checkpoint: at(1700), Seen: Entries(1400, 30)})
	f.Advance(2 * replay)
	c.renew()

	b = f.join("b")
	f.expire(b)
	b.takeOver(Key(1))
	Expect(t, b, Key(1), marked(at(1700)), append(Entries(900, 10), Entries(1400, 30)...))
}

func markedWithoutCheckpoint(t *testing.T, f *fleet) {
	f.join("a", Key(1))
	b := f.join("b")
	f.expire(b)
	b.takeOver(Key(1))

	c, seen, ok, err := b.Load(t.Context(), Key(1))
	if c != marked(store.Checkpoint{}) || ok || len(seen) != 0 || err != nil {
		t.Errorf("Load = %+v, %d seen, %t, %v", c, len(seen), ok, err)
	}

	commit(t, b, store.Commit{Key: Key(1), Checkpoint: at(1000)})
	Expect(t, b, Key(1), at(1000), nil)
}

func replayZero(t *testing.T, f *fleet) {
	n := node("a")
	n.TakeoverReplay = 0
	a := f.joinAs(n, Key(1))
	n.ID = "b"
	b := f.joinAs(n)

	event := store.Deferred{Kind: store.RejectedEvent, Events: []byte("event")}
	done := store.Deferred{Kind: store.RejectedEvent, Events: []byte("done")}
	commit(t, a, store.Commit{
		Key:        Key(1),
		Checkpoint: at(1000),
		Seen:       Entries(900, 10),
		Deferred:   []store.Deferred{event, done},
	})

	list := deferred(t, a, Key(1))

	f.Advance(time.Minute)

	if err := a.DropDeferred(t.Context(), Key(1), list[1].ID); err != nil {
		t.Fatal(err)
	}

	f.expire(b)
	b.takeOver(Key(1))
	Expect(t, b, Key(1), marked(at(1000)), Entries(900, 10))

	if got := deferred(t, b, Key(1)); len(got) != 1 || got[0].ID != list[0].ID || !got[0].Replay {
		t.Errorf("deferred: %+v", got)
	}
}

func othersStay(t *testing.T, f *fleet) {
	a, b := f.join("a", keys(1, 2)...), f.join("b")

	for _, key := range keys(1, 2) {
		commit(t, a, store.Commit{Key: key, Checkpoint: at(1000), Seen: Entries(900, 10)})
	}

	f.expire(b)

	got, err := b.Claim(t.Context(), store.Claim{Units: keys(1, 2), Most: 1, Expired: true})
	if err != nil || len(got) != 1 {
		t.Fatalf("Claim of 1 = %v, %v", got, err)
	}

	held := keysOf(got)
	other := slices.DeleteFunc(keys(1, 2), func(key alert.UnitKey) bool { return slices.Contains(held, key) })

	a.holds(other...) // expired is not dead
	Expect(t, a, other[0], at(1000), Entries(900, 10))
	commit(t, a, store.Commit{Key: other[0], Checkpoint: at(1100)})
}
