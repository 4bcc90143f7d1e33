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

// SharedBackend is an implementation of store.Shared under test: a store that several
// openings use at the same time.
type SharedBackend struct {
	// Open opens the store once more, as another process would whose clock is now. With
	// poll the opening polls; otherwise it only reads and makes requests. The test
	// closes it.
	Open func(t *testing.T, poll bool, now func() time.Time) store.Shared
	// Advance moves the clock of the store forward.
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

// TestLeases tests that an implementation keeps the promises in the comments of
// store.Leases. open returns a fresh store for each test.
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

// open opens the store without being a node.
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

// node returns the node with an ID as which a test joins.
func node(id string) store.Node {
	return store.Node{
		ID:             id,
		TTL:            ttl,
		TakeoverReplay: replay,
		Version:        "1.2.3",
	}
}

// join opens the store, joins as a node, and claims units, all of which must be free.
func (f *fleet) join(id string, keys ...alert.UnitKey) *member {
	f.t.Helper()

	return f.joinAs(node(id), keys...)
}

// joinAs is join with any node.
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

// expire lets the leases of all nodes expire except those of others.
func (f *fleet) expire(others ...*member) {
	f.t.Helper()
	f.Advance(ttl + time.Minute)

	for _, m := range others {
		m.renew()
	}
}

// claim claims units, all if Claim.Most is 0, and compares what it got.
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

// holds renews the lease, and compares which units are held.
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

// drained asks a node to give everything away, or with on false not to do so any more.
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

// expectFenced compares the units for which a write was refused.
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
