package lease

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// memory is a store of leases in memory, with a clock of its own.
type memory struct {
	mu    sync.Mutex
	away  bool // calls are not answered
	newer bool // a newer version has converted the store
	nodes map[string]*nodeRow
	units map[alert.UnitKey]*unitRow
	calls int
	// changes of hands of each unit, in its order.
	owners  map[alert.UnitKey][]string
	clients []*client
}

type nodeRow struct {
	node             store.Node
	session          int
	joined, renewed  time.Time
	expires          time.Time
	draining, exists bool
}

type unitRow struct {
	owner     string // empty: free
	session   int    // of the owner
	epoch     int64
	home      string
	since     time.Time
	freeSince time.Time
	given     map[string]time.Time // when each node gave it away
	recalled  bool
}

func newMemory() *memory {
	return &memory{
		nodes:  map[string]*nodeRow{},
		units:  map[alert.UnitKey]*unitRow{},
		owners: map[alert.UnitKey][]string{},
	}
}

// client is one process's way to a memory.
type client struct {
	m       *memory
	id      string
	session int
	stopped bool // the process does nothing, guarded by m.mu
	changed chan struct{}
}

func (m *memory) client() *client {
	m.mu.Lock()
	defer m.mu.Unlock()

	c := &client{m: m, changed: make(chan struct{}, 1)}
	m.clients = append(m.clients, c)

	return c
}

var errAway = errors.New("the database does not answer")

// enter begins a call; the lock is held when it returns nil.
func (c *client) enter(ctx context.Context) error {
	for {
		c.m.mu.Lock()
		if !c.m.away && !c.stopped && ctx.Err() == nil {
			c.m.calls++
			return nil
		}
		c.m.mu.Unlock()

		select {
		case <-ctx.Done():
			return errors.Join(errAway, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// notify tells all others that something has changed; m.mu must be held.
func (c *client) notify() {
	for _, other := range c.m.clients {
		if other == c {
			continue
		}

		select {
		case other.changed <- struct{}{}:
		default:
		}
	}
}

func (c *client) Changed() <-chan struct{} { return c.changed }

func (c *client) Join(ctx context.Context, n store.Node) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.m.mu.Unlock()

	now := time.Now()
	row := c.m.nodes[n.ID]

	switch {
	case row == nil:
		row = &nodeRow{}
		c.m.nodes[n.ID] = row
	case row.exists && now.Before(row.expires) && (c.session == 0 || row.session != c.session):
		return store.ErrNodeInUse
	case row.exists && !now.Before(row.expires):
		c.m.recall(n.ID, row, true)
	}

	*row = nodeRow{
		node:    n,
		session: row.session + 1,
		joined:  now,
		renewed: now,
		expires: now.Add(n.TTL),
		exists:  true,
	}
	c.id, c.session = n.ID, row.session
	c.notify()

	return nil
}

// own returns the client's own row; m.mu must be held.
func (c *client) own() (*nodeRow, error) {
	row := c.m.nodes[c.id]
	if row == nil || !row.exists || row.session != c.session {
		return nil, store.ErrNodeInUse
	}

	return row, nil
}

// live reports whether a unit's owner is live; m.mu must be held.
func (m *memory) live(u *unitRow) bool {
	row := m.nodes[u.owner]
	return row != nil && row.exists && row.session == u.session && time.Now().Before(row.expires)
}

func (c *client) Renew(ctx context.Context) (s store.Standing, err error) {
	if err := c.enter(ctx); err != nil {
		return s, err
	}
	defer c.m.mu.Unlock()

	row, err := c.own()
	if err != nil {
		return s, err
	}

	if c.m.newer {
		return s, store.ErrNewer
	}

	now := time.Now()
	row.renewed, row.expires = now, now.Add(row.node.TTL)
	s.Draining = row.draining

	for id, other := range c.m.nodes {
		switch {
		case !other.exists:
		case !now.Before(other.expires):
			s.ToRecall = s.ToRecall || c.m.recall(id, other, false)
		case !other.draining:
			s.Live = append(s.Live, id)
		}
	}

	slices.Sort(s.Live)

	s.Homes = map[alert.UnitKey]string{}

	for key, u := range c.m.units {
		switch {
		case u.owner == c.id && u.session == c.session:
			s.Held = append(s.Held, store.Holding{Key: key, Epoch: u.epoch})

			if u.recalled {
				s.Recalled = append(s.Recalled, key)
			}

			if u.home != c.id && slices.Contains(s.Live, u.home) {
				s.Homes[key] = u.home
			}
		case u.owner == "" || !c.m.live(u):
			s.Free = append(s.Free, key)
		}
	}

	return s, nil
}

func (c *client) Claim(ctx context.Context, claim store.Claim) (got []store.Holding, err error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.m.mu.Unlock()

	row, err := c.own()
	if err != nil {
		return nil, err
	}

	now := time.Now()
	if !now.Before(row.expires) || row.draining {
		return nil, nil
	}

	for id, other := range c.m.nodes {
		if claim.Expired && other.exists && !now.Before(other.expires) {
			c.m.recall(id, other, true)
		}
	}

	var able []alert.UnitKey

	for _, key := range claim.Units {
		u := c.m.units[key]
		if u == nil {
			u = &unitRow{freeSince: now, given: map[string]time.Time{}}
			c.m.units[key] = u
		}

		if c.m.mayClaim(c, u, claim) {
			able = append(able, key)
		}
	}

	slices.SortStableFunc(able, func(a, b alert.UnitKey) int {
		return cmp.Or(c.order(a)-c.order(b), a.Compare(b))
	})

	for _, key := range able[:min(len(able), claim.Most)] {
		u := c.m.units[key]
		takeover := u.owner != "" || u.recalled
		u.owner, u.session, u.since, u.recalled = c.id, c.session, now, false
		u.epoch++

		if u.home == "" || takeover {
			u.home = c.id
		}

		c.m.owners[key] = append(c.m.owners[key], c.id)
		got = append(got, store.Holding{Key: key, Epoch: u.epoch, Takeover: takeover})
	}

	return got, nil
}

// recall reports whether a dead node gave units away lately, and notes that if it is to;
// m.mu must be held.
func (m *memory) recall(id string, row *nodeRow, note bool) (found bool) {
	for _, u := range m.units {
		if at, gave := u.given[id]; gave && at.After(row.renewed.Add(-row.node.TakeoverReplay)) {
			found = true
			u.recalled = u.recalled || note
		}

		if note {
			delete(u.given, id)
		}
	}

	return found
}

// order is by whose home a unit is: this node's own first, another live one's last.
func (c *client) order(key alert.UnitKey) int {
	home := c.m.units[key].home
	row := c.m.nodes[home]

	switch {
	case home == c.id:
		return 0
	case row != nil && row.exists && time.Now().Before(row.expires):
		return 2
	}

	return 1
}

// mayClaim reports whether a client may claim a unit; m.mu must be held.
func (m *memory) mayClaim(c *client, u *unitRow, claim store.Claim) bool {
	switch {
	case u.owner == "":
		return time.Since(u.freeSince) >= claim.FreeFor
	case u.owner == c.id:
		return u.session != c.session
	case m.live(u) || !claim.Expired:
		return false
	}

	return time.Since(m.nodes[u.owner].expires) >= claim.FreeFor
}

func (c *client) Release(ctx context.Context, away bool, keys ...alert.UnitKey) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.m.mu.Unlock()

	c.release(away, keys)
	c.notify()

	return nil
}

func (c *client) ReleaseUncommitted(ctx context.Context, keys ...alert.UnitKey) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.m.mu.Unlock()

	for _, key := range keys {
		if u := c.m.units[key]; u != nil && u.owner == c.id && u.session == c.session {
			u.recalled = true
		}
	}

	c.release(false, keys)
	c.notify()

	return nil
}

func (c *client) release(away bool, keys []alert.UnitKey) {
	for _, key := range keys {
		u := c.m.units[key]
		if u == nil || u.owner != c.id || u.session != c.session {
			continue
		}

		u.owner, u.freeSince = "", time.Now()
		u.given[c.id] = u.freeSince

		if away && u.home == c.id {
			u.home = ""
		}
	}
}

func (c *client) Leave(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.m.mu.Unlock()

	row, err := c.own()
	if err != nil {
		return nil
	}

	for key := range c.m.units {
		c.release(false, []alert.UnitKey{key})
	}

	row.exists = false

	c.notify()

	return nil
}

func (c *client) Nodes(ctx context.Context) (list []store.NodeStatus, err error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.m.mu.Unlock()

	for id, row := range c.m.nodes {
		if !row.exists {
			continue
		}

		status := store.NodeStatus{
			ID:       id,
			Live:     time.Now().Before(row.expires),
			Draining: row.draining,
		}

		for _, u := range c.m.units {
			if u.owner == id {
				status.Units++
			}
		}

		list = append(list, status)
	}

	slices.SortFunc(list, func(a, b store.NodeStatus) int { return cmp.Compare(a.ID, b.ID) })

	return list, nil
}

func (c *client) Drain(ctx context.Context, id string, on bool) (bool, error) {
	if err := c.enter(ctx); err != nil {
		return false, err
	}
	defer c.m.mu.Unlock()

	row := c.m.nodes[id]
	if row == nil || !row.exists {
		return false, nil
	}

	row.draining = on

	c.notify()

	return true, nil
}

func (c *client) Holders(context.Context) (map[alert.UnitKey]store.Holder, error) { return nil, nil }

// setAway lets calls go unanswered, or not any more.
func (m *memory) setAway(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.away = away
}

// moves returns how often each unit has changed hands, at most.
func (m *memory) moves() (most, all int) {
	m.mu.Lock()
	defer m.mu.Unlock()

	for _, owners := range m.owners {
		most = max(most, len(owners))
		all += len(owners)
	}

	return most, all
}

// forgetMoves counts changes of hands from now on.
func (m *memory) forgetMoves() {
	m.mu.Lock()
	defer m.mu.Unlock()

	clear(m.owners)
}
