package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// SharedBackend is an implementation of store.Shared under test: a place that several
// openings use at the same time.
type SharedBackend struct {
	// Open opens the place once more, as another process would whose clock is now: to
	// poll, or only to look and to ask. The test closes it.
	Open func(t *testing.T, poll bool, now func() time.Time) store.Shared
	// Advance moves the clock of the place forward.
	Advance func(time.Duration)
}

// The times of the nodes in these tests are long: only Advance lets a lease expire,
// however slow the machine is.
const (
	ttl    = time.Hour
	replay = 10 * time.Hour
)

// promise is one thing that an implementation promises, with its test.
type promise struct {
	text string
	run  func(t *testing.T, f *fleet)
}

// TestLeases holds an implementation against the promises in the comments of
// store.Leases. open gives a fresh place for each test.
func TestLeases(t *testing.T, open func(t *testing.T) SharedBackend) {
	for _, p := range slices.Concat(nodePromises, claimPromises, handOverPromises, fencePromises, takeoverPromises) {
		t.Run(p.text, func(t *testing.T) {
			t.Parallel()
			p.run(t, &fleet{t: t, SharedBackend: open(t)})
		})
	}
}

// fleet are the nodes of one test.
type fleet struct {
	SharedBackend
	t *testing.T
}

// member is an opening that is, or was, a node.
type member struct {
	store.Shared
	t  *testing.T
	id string
}

// open opens the place without being a node.
func (f *fleet) open(poll bool) store.Shared {
	f.t.Helper()

	s := f.Open(f.t, poll, time.Now)
	f.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.t.Error(err)
		}
	})

	return s
}

// node returns what the tests join with.
func node(id string) store.Node {
	return store.Node{
		ID:             id,
		TTL:            ttl,
		TakeoverReplay: replay,
		Version:        "1.2.3",
	}
}

// join opens the place, joins as a node, and claims units, all of which must be there.
func (f *fleet) join(id string, keys ...alert.UnitKey) *member {
	f.t.Helper()

	return f.joinAs(node(id), keys...)
}

// joinAs is as join.
func (f *fleet) joinAs(n store.Node, keys ...alert.UnitKey) *member {
	f.t.Helper()

	m := &member{
		Shared: f.open(true),
		t:      f.t,
		id:     n.ID,
	}
	if err := m.Join(f.t.Context(), n); err != nil {
		f.t.Fatal(err)
	}

	m.claim(store.Claim{Units: keys}, keys...)

	return m
}

// expire lets the leases of all nodes expire but those of others.
func (f *fleet) expire(others ...*member) {
	f.t.Helper()
	f.Advance(ttl + time.Minute)

	for _, m := range others {
		m.renew()
	}
}

// claim claims and compares what it got; without Claim.Most all that there are.
func (m *member) claim(c store.Claim, want ...alert.UnitKey) []store.Holding {
	m.t.Helper()

	if c.Most == 0 {
		c.Most = len(c.Units)
	}

	got, err := m.Claim(m.t.Context(), c)
	if err != nil {
		m.t.Fatal(err)
	}

	if keys := keysOf(got); !sameKeys(keys, want) {
		m.t.Fatalf("%s claimed %v, want %v", m.id, keys, want)
	}

	return got
}

// takeOver claims units whose owner has expired.
func (m *member) takeOver(keys ...alert.UnitKey) []store.Holding {
	m.t.Helper()

	got := m.claim(store.Claim{Units: keys, Expired: true}, keys...)
	for _, h := range got {
		if !h.Takeover {
			m.t.Errorf("%s claimed %v, and it was no takeover", m.id, h.Key)
		}
	}

	return got
}

// renew renews the lease.
func (m *member) renew() store.Standing {
	m.t.Helper()

	standing, err := m.Renew(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}

	return standing
}

// holds renews, and compares what is held then.
func (m *member) holds(want ...alert.UnitKey) store.Standing {
	m.t.Helper()

	standing := m.renew()
	if got := keysOf(standing.Held); !sameKeys(got, want) {
		m.t.Errorf("%s holds %v, want %v", m.id, got, want)
	}

	return standing
}

// release gives units up.
func (m *member) release(away bool, keys ...alert.UnitKey) {
	m.t.Helper()

	if err := m.Release(m.t.Context(), away, keys...); err != nil {
		m.t.Fatal(err)
	}
}

// leave ends the lease.
func (m *member) leave() {
	m.t.Helper()

	if err := m.Leave(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// nodes returns the list of nodes.
func (m *member) nodes() []store.NodeStatus {
	m.t.Helper()

	list, err := m.Nodes(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}

	return list
}

// holders returns who holds what.
func (m *member) holders() map[alert.UnitKey]store.Holder {
	m.t.Helper()

	all, err := m.Holders(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}

	return all
}

// drained asks a node to give everything away, or not any more.
func (m *member) drained(by store.Leases, on bool) {
	m.t.Helper()

	if known, err := by.Drain(m.t.Context(), m.id, on); err != nil || !known {
		m.t.Fatalf("Drain(%s) = %t, %v", m.id, known, err)
	}
}

// keys makes the keys of units.
func keys(numbers ...int) []alert.UnitKey {
	list := make([]alert.UnitKey, len(numbers))
	for i, n := range numbers {
		list[i] = Key(n)
	}

	return list
}

// keysOf returns the units of holdings.
func keysOf(holdings []store.Holding) []alert.UnitKey {
	list := make([]alert.UnitKey, len(holdings))
	for i, h := range holdings {
		list[i] = h.Key
	}

	return list
}

// sameKeys reports whether two lists have the same units, in any order.
func sameKeys(a, b []alert.UnitKey) bool {
	set := func(list []alert.UnitKey) map[alert.UnitKey]int {
		n := map[alert.UnitKey]int{}
		for _, key := range list {
			n[key]++
		}

		return n
	}

	return maps.Equal(set(a), set(b))
}

// expectFenced compares the units that a write was refused for.
func expectFenced(t *testing.T, err error, want ...alert.UnitKey) {
	t.Helper()

	var fenced *store.FencedError
	if !errors.As(err, &fenced) || !errors.Is(err, store.ErrFenced) {
		t.Errorf("the write ended with %v, and not with a FencedError", err)
		return
	}

	if !sameKeys(fenced.Units, want) {
		t.Errorf("fenced are %v, want %v", fenced.Units, want)
	}
}

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

// epochs returns the epochs of holdings by unit.
func epochs(holdings []store.Holding) map[alert.UnitKey]int64 {
	all := map[alert.UnitKey]int64{}
	for _, h := range holdings {
		all[h.Key] = h.Epoch
	}

	return all
}

// tenants makes many keys.
func tenants(n int) []alert.UnitKey {
	list := make([]alert.UnitKey, n)
	for i := range list {
		list[i] = Key(i)
	}

	return list
}

// nodeID names the nth node.
func nodeID(n int) string { return fmt.Sprintf("node-%d", n) }
