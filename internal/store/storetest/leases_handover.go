package storetest

import (
	"maps"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

var handOverPromises = []promise{
	{"a unit that was released is free at once, and unmarked", releasedIsFree},
	{"a node that has left leaves nothing to replay", leftIsUnmarked},
	{"what was released away has no home any more", releasedAway},
	{"what a node had when it ended goes back to it", homeIsKept},
	{"what a node had when it died does not go back to it", homeOfTheDead},
	{"a release of what was lost changes nothing", releaseOfLost},
	{"what was released is not held any more", releasedIsFenced},
	{"what was released uncommitted is marked and complete", releasedUncommitted},
}

// expectProgress compares the progress of a unit with what was committed last.
func expectProgress(t *testing.T, m *member, key alert.UnitKey, want store.Checkpoint, seen []store.Seen) {
	t.Helper()

	if _, _, ok, err := m.Load(t.Context(), key); err != nil || !ok {
		t.Fatalf("Load = %t, %v", ok, err)
	}

	Expect(t, m, key, want, seen)
}

func releasedIsFree(t *testing.T, f *fleet) {
	a, b := f.join("a", keys(1, 2)...), f.join("b")
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: sample, Seen: Entries(10, 3)})
	a.release(true, Key(1))

	got := b.claim(store.Claim{Units: keys(1, 2)}, Key(1))
	if got[0].Takeover {
		t.Error("it was taken over")
	}

	expectProgress(t, b, Key(1), sample, Entries(10, 3))
	a.holds(Key(2))
	b.holds(Key(1))
}

func leftIsUnmarked(t *testing.T, f *fleet) {
	a, b := f.join("a", keys(1, 2)...), f.join("b")

	window := store.Deferred{Kind: store.UnreadableWindow, From: 5, To: 6}
	commit(t, a, store.Commit{
		Key:        Key(1),
		Checkpoint: sample,
		Seen:       Entries(10, 3),
		Deferred:   []store.Deferred{window},
	})
	a.leave()

	for _, h := range b.claim(store.Claim{Units: keys(1, 2)}, keys(1, 2)...) {
		if h.Takeover {
			t.Errorf("%v was taken over", h.Key)
		}
	}

	expectProgress(t, b, Key(1), sample, Entries(10, 3))

	if list := deferred(t, b, Key(1)); len(list) != 1 || list[0].Replay {
		t.Errorf("deferred: %+v", list)
	}

	if s := a.leaveTwice(); s != nil {
		t.Errorf("a second Leave: %v", s)
	}

	// The claim of another is not undone by one that left.
	expectFenced(t, a.Commit(t.Context(), []store.Commit{{Key: Key(1), Checkpoint: sample}}), Key(1))
}

// leaveTwice leaves once more.
func (m *member) leaveTwice() error { return m.Leave(m.t.Context()) }

func releasedAway(t *testing.T, f *fleet) {
	a, b := f.join("a", keys(1, 2)...), f.join("b")
	a.release(true, Key(1))
	a.release(false, Key(2))
	b.claim(store.Claim{Units: keys(1, 2)}, keys(1, 2)...)

	want := map[alert.UnitKey]string{Key(2): "a"}
	if got := b.renew().Homes; !maps.Equal(got, want) {
		t.Errorf("homes: %v, want %v", got, want)
	}

	b.release(false, Key(2))
	a.claim(store.Claim{Units: keys(2)}, Key(2))

	if got := a.renew().Homes; len(got) != 0 {
		t.Errorf("what is at home has the home %v", got)
	}
}

func homeIsKept(t *testing.T, f *fleet) {
	a, b, c := f.join("a", keys(1, 2)...), f.join("b", Key(3)), f.join("c")
	a.leave()
	b.claim(store.Claim{Units: keys(1, 2)}, keys(1, 2)...)

	if got := b.renew().Homes; len(got) != 0 {
		t.Errorf("the home of units is a node that has left: %v", got)
	}

	b.release(true, Key(2)) // balance: it goes to a third node, and its home stays
	c.claim(store.Claim{Units: keys(2)}, Key(2))

	a = f.join("a")

	for _, test := range []struct {
		m    *member
		want map[alert.UnitKey]string
	}{
		{b, map[alert.UnitKey]string{Key(1): "a"}},
		{c, map[alert.UnitKey]string{Key(2): "a"}},
	} {
		if got := test.m.renew().Homes; !maps.Equal(got, test.want) {
			t.Errorf("homes of what %s holds: %v, want %v", test.m.id, got, test.want)
		}
	}

	a.drained(b, true)

	if got := b.renew().Homes; len(got) != 0 {
		t.Errorf("units go back to a node that drains: %v", got)
	}
}

func homeOfTheDead(t *testing.T, f *fleet) {
	f.join("a", Key(1))
	b := f.join("b")
	f.expire(b)
	b.takeOver(Key(1))
	f.join("a")

	if got := b.renew().Homes; len(got) != 0 {
		t.Errorf("homes: %v", got)
	}
}

func releaseOfLost(_ *testing.T, f *fleet) {
	a, b := f.join("a", keys(1, 2)...), f.join("b")
	f.expire(b)
	b.takeOver(Key(1))
	a.release(true, keys(1, 3)...)
	a.release(true)
	a.leave()
	b.holds(Key(1))
	b.claim(store.Claim{Units: keys(1, 2)}, Key(2))
}

func releasedUncommitted(t *testing.T, f *fleet) {
	a, b := f.join("a", keys(1, 2, 3)...), f.join("b")
	window := store.Deferred{Kind: store.UnreadableWindow, From: 5, To: 6}
	commit(t, a, store.Commit{
		Key:        Key(1),
		Checkpoint: sample,
		Seen:       Entries(10, 3),
		Deferred:   []store.Deferred{window},
	})

	if err := a.ReleaseUncommitted(t.Context(), keys(1, 2, 4)...); err != nil {
		t.Fatal(err)
	}

	a.holds(Key(3))
	a.leave()

	for _, h := range b.claim(store.Claim{Units: keys(1, 2, 3)}, keys(1, 2, 3)...) {
		if want := h.Key != Key(3); h.Takeover != want {
			t.Errorf("%v was taken over: %t, want %t", h.Key, h.Takeover, want)
		}
	}

	marked := sample
	marked.Replay = true
	expectProgress(t, b, Key(1), marked, Entries(10, 3))

	if list := deferred(t, b, Key(1)); len(list) != 1 || !list[0].Replay {
		t.Errorf("deferred: %+v", list)
	}

	for key, want := range map[alert.UnitKey]bool{Key(2): true, Key(3): false} {
		if c, _, _, err := b.Load(t.Context(), key); err != nil || c.Replay != want {
			t.Errorf("%v loads with replay %t, %v", key, c.Replay, err)
		}
	}
}

func releasedIsFenced(t *testing.T, f *fleet) {
	a := f.join("a", keys(1, 2)...)
	a.release(false, Key(1))
	expectFenced(t, a.Commit(t.Context(), []store.Commit{
		{Key: Key(1), Checkpoint: sample},
		{Key: Key(2), Checkpoint: sample},
	}), Key(1))

	if _, _, ok, err := a.Load(t.Context(), Key(1)); ok || err != nil {
		t.Errorf("it was committed: %t, %v", ok, err)
	}

	f.Advance(time.Minute)
	a.claim(store.Claim{Units: keys(1)}, Key(1))
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: sample})
}
