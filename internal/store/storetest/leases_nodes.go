package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

var nodePromises = []promise{
	{"a node that joins is listed, live and without units", joinedIsListed},
	{"an ID is refused while another process has it", idInUse},
	{"an ID is free when its lease has expired", expiredIDIsFree},
	{"an ID is free when its node has left", leftIDIsFree},
	{"joining again keeps what is held", joinedAgain},
	{"a node whose ID was taken holds nothing", takenID},
	{"a lease that is renewed lasts", renewedLasts},
	{"what has expired is listed so, until it leaves", expiredIsListed},
	{"standing names the live nodes and the free units", standing},
	{"a draining node is told so, and claims nothing", draining},
	{"a node that joins anew does not drain any more", drainingEnds},
	{"holders are listed with the age of their lease", holders},
}

func joinedIsListed(t *testing.T, f *fleet) {
	b := f.join("b", keys(1, 2)...)
	before := time.Now()
	a := f.join("a")

	list := a.nodes()
	if len(list) != 2 || list[0].ID != "a" || list[1].ID != "b" {
		t.Fatalf("nodes: %+v", list)
	}

	n := list[0]
	if n.Version != "1.2.3" || !n.Live || n.Draining || n.Units != 0 || list[1].Units != 2 {
		t.Errorf("nodes: %+v", list)
	}

	const slack = time.Minute // both times come out of an age, and the machine may be slow
	if n.Joined.Before(before.Add(-slack)) || n.Joined.After(time.Now().Add(slack)) || n.Renewed.Before(n.Joined) ||
		n.Expires.Sub(n.Renewed).Round(time.Second) != ttl {
		t.Errorf("joined %s, renewed %s, expires %s", n.Joined, n.Renewed, n.Expires)
	}

	b.leave()

	if list := a.nodes(); len(list) != 1 || list[0].ID != "a" {
		t.Errorf("after b left: %+v", list)
	}
}

func idInUse(t *testing.T, f *fleet) {
	a := f.join("a", Key(1))

	if err := f.open(true).Join(t.Context(), node("a")); !errors.Is(err, store.ErrNodeInUse) {
		t.Errorf("a second process joined: %v", err)
	}

	f.Advance(ttl - time.Minute)

	if err := f.open(true).Join(t.Context(), node("a")); !errors.Is(err, store.ErrNodeInUse) {
		t.Errorf("a second process joined before the lease expired: %v", err)
	}

	a.holds(Key(1))
}

func expiredIDIsFree(_ *testing.T, f *fleet) {
	f.join("a", Key(1))
	f.expire()

	again := f.join("a")
	again.holds()
}

func leftIDIsFree(t *testing.T, f *fleet) {
	a := f.join("a", keys(1, 2)...)
	a.leave()

	again := f.join("a")
	again.holds()

	for _, h := range again.claim(store.Claim{Units: keys(1, 2)}, keys(1, 2)...) {
		if h.Takeover {
			t.Errorf("%v was taken over, although its node had left", h.Key)
		}
	}
}

func joinedAgain(t *testing.T, f *fleet) {
	a := f.join("a", Key(1))

	for range 2 {
		if err := a.Join(t.Context(), node("a")); err != nil {
			t.Fatal(err)
		}

		a.holds(Key(1))
		commit(t, a, store.Commit{Key: Key(1), Checkpoint: sample})
		f.expire() // the second time after an outage
	}
}

func takenID(t *testing.T, f *fleet) {
	zombie := f.join("a", keys(1, 2)...)
	f.expire()
	again := f.join("a", keys(1, 2)...)

	// It has the same ID, and does not know yet that another process has it.
	expectFenced(t, zombie.Commit(t.Context(), []store.Commit{{Key: Key(1), Checkpoint: sample}}), Key(1))

	if standing, err := zombie.Renew(t.Context()); !errors.Is(err, store.ErrNodeInUse) || len(standing.Held) != 0 {
		t.Errorf("Renew = %+v, %v", standing, err)
	}

	expectFenced(t, zombie.Commit(t.Context(), []store.Commit{{Key: Key(1), Checkpoint: sample}}), Key(1))
	again.holds(keys(1, 2)...)
	zombie.release(false, Key(1))
	zombie.leave()
	again.holds(keys(1, 2)...)
}

func renewedLasts(_ *testing.T, f *fleet) {
	a, b := f.join("a", Key(1)), f.join("b")

	for range 5 {
		f.Advance(ttl * 2 / 3)
		b.renew()
		b.claim(store.Claim{Units: keys(1), Expired: true})
		a.holds(Key(1))
	}
}

func expiredIsListed(t *testing.T, f *fleet) {
	a, b := f.join("a", Key(1)), f.join("b")
	f.expire(b)

	list := b.nodes()
	if len(list) != 2 || list[0].Live || !list[1].Live || list[0].Units != 1 || !list[0].Expires.Before(time.Now()) {
		t.Errorf("after a expired: %+v", list)
	}

	if h := b.holders()[Key(1)]; h.Node != "a" || h.Live {
		t.Errorf("holder of its unit: %+v", h)
	}

	b.takeOver(Key(1))
	a.leave()

	if list := b.nodes(); len(list) != 1 {
		t.Errorf("after a left: %+v", list)
	}
}

func standing(t *testing.T, f *fleet) {
	c, a, b := f.join("c", keys(1, 2, 3)...), f.join("a"), f.join("b", Key(4))
	check := func(step string, free []alert.UnitKey, live ...string) {
		t.Helper()

		if s := a.renew(); !slices.Equal(s.Live, live) || !sameKeys(s.Free, free) {
			t.Errorf("%s: live %v, free %v; want %v and %v", step, s.Live, s.Free, live, free)
		}
	}

	check("all work", nil, "a", "b", "c")
	c.release(true, Key(3))
	check("one unit was released", keys(3), "a", "b", "c")
	f.expire(a, c)
	check("b has expired", keys(3, 4), "a", "c")
	c.leave()
	check("c has left", keys(1, 2, 3, 4), "a")
	a.takeOver(Key(4))
	check("a has taken a unit over", keys(1, 2, 3), "a")
	b.renew()
	check("b is back", keys(1, 2, 3), "a", "b")
}

func draining(t *testing.T, f *fleet) {
	a, b := f.join("a", Key(1)), f.join("b")

	if known, err := b.Drain(t.Context(), "nobody", true); known || err != nil {
		t.Errorf("Drain of a node that is none = %t, %v", known, err)
	}

	a.drained(b, true)

	if s := a.holds(Key(1)); !s.Draining || !slices.Equal(s.Live, []string{"b"}) {
		t.Errorf("standing of the node that drains: %+v", s)
	}

	if s := b.renew(); s.Draining || !slices.Equal(s.Live, []string{"b"}) {
		t.Errorf("standing of the other: %+v", s)
	}

	if list := b.nodes(); !list[0].Draining || list[1].Draining || !list[0].Live {
		t.Errorf("nodes: %+v", list)
	}

	a.claim(store.Claim{Units: keys(2)})
	commit(t, a, store.Commit{Key: Key(1), Checkpoint: sample}) // it delivers what it has
	a.drained(b, false)

	if s := a.holds(Key(1)); s.Draining || !slices.Equal(s.Live, []string{"a", "b"}) {
		t.Errorf("standing when it drains no more: %+v", s)
	}

	a.claim(store.Claim{Units: keys(2)}, Key(2))
}

func drainingEnds(t *testing.T, f *fleet) {
	for _, test := range []struct {
		end string
		do  func(a *member)
	}{
		{"it left", func(a *member) { a.leave() }},
		{"it died", func(*member) { f.expire() }},
	} {
		a := f.join("a")
		a.drained(a, true)
		test.do(a)

		again := f.join("a")
		if s := again.renew(); s.Draining || !slices.Equal(s.Live, []string{"a"}) {
			t.Errorf("%s, and joined again: %+v", test.end, s)
		}

		again.leave()
	}
}

func holders(t *testing.T, f *fleet) {
	a := f.join("a", keys(1, 2)...)
	f.Advance(10 * time.Minute)
	b := f.join("b", Key(3))
	f.Advance(20 * time.Minute)
	b.renew()

	reader := f.open(false)

	got, err := reader.Holders(t.Context())
	if err != nil || len(got) != 3 {
		t.Fatalf("Holders = %v, %v", got, err)
	}

	minutes := func(at time.Time) int { return int(time.Since(at).Minutes() + 0.5) }

	for _, want := range []struct {
		key            alert.UnitKey
		node           string
		since, renewed int // minutes ago
	}{
		{Key(1), "a", 30, 30},
		{Key(2), "a", 30, 30},
		{Key(3), "b", 20, 0},
	} {
		h := got[want.key]
		if h.Node != want.node || !h.Live || h.Epoch == 0 ||
			minutes(h.Since)-want.since > 1 || minutes(h.Since) < want.since ||
			minutes(h.Renewed)-want.renewed > 1 || minutes(h.Renewed) < want.renewed {
			t.Errorf("holder of %v: %s since %d min, renewed %d min ago; live %t, epoch %d",
				want.key, h.Node, minutes(h.Since), minutes(h.Renewed), h.Live, h.Epoch)
		}
	}

	a.release(false, Key(1))

	if h, held := a.holders()[Key(1)]; held {
		t.Errorf("holder of a unit that was released: %+v", h)
	}
}
