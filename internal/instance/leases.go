package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/lease"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/version"
)

// join makes the process a node on a store that several machines share, or joins the
// inputs that are one already. While the row of a process that died has the node's ID it
// waits, for lease_ttl at most. With files there is no node, and it returns nil.
func (d *dataDir) join() (*lease.Node, error) {
	if !d.settings.Store.Shared() {
		return nil, nil
	}

	d.joining.Lock()
	defer d.joining.Unlock()

	if d.node == nil {
		leases, ok := d.store.(store.Leases)
		if !ok {
			return nil, errors.New("store: it cannot be shared by several machines")
		}

		node := lease.New(lease.Config{
			Leases: leases,
			Log:    d.logs.Logger(),
			Node: store.Node{
				ID:             d.settings.Store.NodeID,
				TTL:            d.settings.Store.LeaseTTL,
				TakeoverReplay: d.settings.Store.TakeoverReplay,
				Version:        version.This().Version,
			},
		})

		if err := node.Join(context.Background()); err != nil {
			return nil, err
		}

		d.node = node
	}

	d.members++

	return d.node, nil
}

// leaveNode ends the use of the node by a tenant set. The last one ends the lease.
// committed says that everything that the set had delivered is committed: otherwise
// whoever polls its units next marks what may come again.
func (d *dataDir) leaveNode(ctx context.Context, s *tenantSet, committed bool) error {
	d.joining.Lock()
	defer d.joining.Unlock()

	if !committed {
		d.node.Uncommitted(s)
	}

	d.members--
	if d.members > 0 {
		return d.node.Remove(ctx, s)
	}

	node := d.node
	d.node = nil

	return node.Leave(ctx)
}

// skew returns a new Skew, which learns how far the clock of an API's host is from
// ours. Where several machines share the store, the clock of the database is its
// witness.
func (d *dataDir) skew() *collect.Skew {
	skew := new(collect.Skew)

	if shared, ok := d.store.(store.Clocked); ok {
		skew.Witness = shared.ClockAhead
	}

	return skew
}

// leaveTime is how long the end of an input waits for its lease to end.
const leaveTime = time.Second

// lease returns what the input asks before it polls or delivers; nil with files.
func (s *tenantSet) lease() collect.Lease {
	if s.node == nil {
		return nil
	}

	return s.node
}

// begin is called when the input has started: from now on the node may give units to
// it.
func (s *tenantSet) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.begun = true
	s.want()
}

// want tells the node which units the input is configured for. s.mu must be held.
func (s *tenantSet) want() {
	if s.node == nil || !s.begun || s.closed {
		return
	}

	keys := make([]alert.UnitKey, 0, len(s.entries))

	for key, e := range s.entries {
		if !e.leaving {
			keys = append(keys, key)
		}
	}

	s.node.Want(s, keys)
}

// stopping is called when the input is about to end: no more units start.
func (s *tenantSet) stopping() {
	if s.node == nil {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.closed = true
}

// leaveNode ends the lease after the input was stopped. committed says that everything
// that was delivered is committed.
func (s *tenantSet) leaveNode(committed bool) {
	if s.node == nil {
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()

	// A transaction of a database goes on when ctx has ended.
	left := make(chan error, 1)

	go func() { left <- s.dir.leaveNode(ctx, s, committed) }()

	var err error
	select {
	case err = <-left:
	case <-ctx.Done():
		err = errors.New("the store does not answer in time")
	}

	if err != nil {
		s.log.Warn(fmt.Sprintf("the lease could not be ended; other nodes take the tenants of this one over "+
			"after %v: %v", s.dir.settings.Store.LeaseTTL, err))
	}
}

// Start implements lease.Member.
func (s *tenantSet) Start(key alert.UnitKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.entries[key]
	if s.closed || e == nil || e.leaving {
		return false
	}

	e.held = true

	parts, err := s.unitConfig(e.tenant)
	if err != nil {
		s.pending[key] = &pendingEntry{tenant: *e.tenant, logged: err.Error()}
		logs.Tenant(s.log, e.tenant.TenantName).Warn(err.Error() + "; it is tried again every few seconds")

		return true
	}

	s.add(e, parts)

	return true
}

// HandOver implements lease.Member.
func (s *tenantSet) HandOver(key alert.UnitKey, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()

	e := s.entries[key]
	gone := func() { go s.unitGone(key, e, done) }

	if e == nil {
		gone()
		return
	}

	polled := e.polled
	e.held, e.polled = false, false

	if !polled || !s.input.HandOver(key, gone) {
		gone()
	}
}

// Abandon implements lease.Member.
func (s *tenantSet) Abandon(keys []alert.UnitKey, done func(alert.UnitKey)) {
	entries := make(map[alert.UnitKey]*entry, len(keys))

	s.mu.Lock()
	for _, key := range keys {
		if e := s.entries[key]; e != nil {
			e.held, e.polled = false, false
			entries[key] = e
		}
	}
	s.mu.Unlock()

	gone := func(key alert.UnitKey) { go s.unitGone(key, entries[key], func() { done(key) }) }

	for _, key := range s.input.Abandon(keys, gone) {
		gone(key)
	}
}

// Blocked implements lease.Member.
func (s *tenantSet) Blocked() bool { return s.input.Blocked() }

// unitGone is called when a unit that the node does not hold any more has nothing left
// to deliver or to commit.
func (s *tenantSet) unitGone(key alert.UnitKey, e *entry, done func()) {
	s.mu.Lock()
	if e != nil && e.leaving {
		s.forget(key, e)
	}
	s.mu.Unlock()

	done()
}

// nodes returns what is shown of this process as a node; nothing with files.
func (s *tenantSet) nodes() []measure.Node {
	if s.node == nil {
		return nil
	}

	state := s.node.State()
	shown := measure.Node{
		ID:        state.ID,
		Held:      state.Held,
		Wanted:    state.Wanted,
		Unowned:   state.Unowned,
		Live:      len(state.Live),
		LeaseAge:  state.Age,
		TTL:       state.TTL,
		Takeovers: state.Takeovers,
		Lost:      state.Lost,
		Fenced:    state.Fenced,
	}

	if measured, ok := s.dir.store.(store.Measured); ok {
		shown.Calls = measured.CallStats()
	}

	return []measure.Node{shown}
}
