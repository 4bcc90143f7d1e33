package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// run renews the lease and balances the units until ctx ends.
func (n *Node) run(ctx context.Context) {
	defer close(n.ended)

	for {
		if n.begin(ctx) {
			n.step(ctx)
			n.end()
		}

		timer := time.NewTimer(every)
		select {
		case <-timer.C:
		case <-n.cfg.Leases.Changed():
		case <-n.wake:
		case <-ctx.Done():
		}

		timer.Stop()

		if ctx.Err() != nil {
			return
		}
	}
}

// step renews the lease, and does what is due then.
func (n *Node) step(ctx context.Context) {
	standing, ok := n.renew(ctx)
	if !ok {
		n.noteDistrust()
		return
	}

	n.giveBack(ctx, standing)
	n.adopt(ctx, standing)
	n.release(ctx)
	n.giveAway(ctx, standing)
	n.claim(ctx, standing)
}

// renew renews the lease, or joins if that was not possible yet. When it returns true
// the lease is trusted, and what was lost is abandoned.
func (n *Node) renew(ctx context.Context) (s store.Standing, ok bool) {
	start := n.cfg.Now()

	if !n.joined {
		if err := n.join(ctx); err != nil {
			n.failed(ctx, err)
			return s, false
		}

		n.cfg.Log.Info("the store answers, and this process has joined as node " + n.cfg.Node.ID)
	}

	call, cancel := context.WithTimeout(ctx, n.callLimit())
	defer cancel()

	s, err := n.cfg.Leases.Renew(call)
	if err != nil {
		n.failed(ctx, err)
		return s, false
	}

	held := make(map[alert.UnitKey]bool, len(s.Held))
	for _, h := range s.Held {
		held[h.Key] = true
	}

	n.lose(func(u *unit) bool { return !held[u.key] }) // before the lease is trusted again

	if start-n.renewed > n.cfg.Node.TTL {
		n.working = 0 // this process, or its machine, stood still: so may have the others
	}

	if n.working == 0 {
		n.working = start
		n.expired = false
	}

	n.trustFrom(start)
	n.noteTrust()
	n.follow(s, start)

	return s, true
}

// follow notes who shares the units, and what that changes.
func (n *Node) follow(s store.Standing, now time.Duration) {
	expired := now-n.working >= n.cfg.Node.TTL

	n.mu.Lock()
	others := !slices.Equal(n.live, s.Live)
	n.live, n.free = s.Live, s.Free
	n.mu.Unlock()

	if others { // what nobody wanted before, one of these may want
		clear(n.gave)
		clear(n.stay)
	}

	if others || expired != n.expired {
		n.eager = now + eagerFor
	}

	n.expired = expired
}

// failed notes that the store did not renew the lease.
func (n *Node) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}

	n.working = 0
	n.reason = err

	if !errors.Is(err, store.ErrNodeInUse) {
		n.cfg.Log.Debug(fmt.Sprintf("the lease cannot be renewed, it is tried again: %v", err))
		return
	}

	n.joined = false
	n.until.Store(0)
	n.lose(func(*unit) bool { return true })

	if !n.inUse {
		n.inUse = true
		n.cfg.Log.Error(fmt.Sprintf("node_id: another process uses %s, and this one polls nothing until that has "+
			"ended; give each process on the same store another node_id", n.cfg.Node.ID))
	}
}

// noteDistrust logs once that the lease is not trusted any more.
func (n *Node) noteDistrust() {
	if n.distrust || n.inUse || n.Trusted() || n.until.Load() == 0 {
		return
	}

	n.distrust = true
	n.cfg.Log.Error(fmt.Sprintf("the store has not answered for too long, and the lease of this node has ended: "+
		"nothing is polled or delivered until it answers again (%v)", n.reason))
}

// noteTrust logs once that the lease is trusted again.
func (n *Node) noteTrust() {
	if n.distrust {
		n.distrust = false
		n.cfg.Log.Info("the store answers again, and the lease of this node goes on")
	}
}

// release gives up the units whose hand-over has ended, and those that members which have
// ended left behind.
func (n *Node) release(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, n.callLimit())
	defer cancel()

	if err := n.releaseUncommitted(call); err != nil {
		n.cfg.Log.Debug(fmt.Sprintf("units cannot be released, it is tried again: %v", err))
	}

	for _, away := range []bool{false, true} {
		n.mu.Lock()

		var keys []alert.UnitKey

		for key, u := range n.units {
			if u.phase == handed && u.away == away {
				keys = append(keys, key)
			}
		}
		n.mu.Unlock()

		if len(keys) == 0 || !n.releaseUnits(ctx, away, keys) {
			continue
		}

		n.mu.Lock()
		for _, key := range keys {
			if u := n.units[key]; u != nil && u.phase == handed {
				n.gave[key] = given{n.cfg.Now(), u.epoch}
				delete(n.units, key)
			}
		}
		n.mu.Unlock()

		n.cfg.Log.Info(fmt.Sprintf("gave %s to other nodes (%s)", count(len(keys)), names(keys)))
	}
}

// releaseUncommitted gives up the units of members that have ended without having
// committed everything.
func (n *Node) releaseUncommitted(ctx context.Context) error {
	n.mu.Lock()

	var keys []alert.UnitKey

	for key, u := range n.units {
		if u.phase == uncommitted {
			keys = append(keys, key)
		}
	}
	n.mu.Unlock()

	if len(keys) == 0 {
		return nil
	}

	if err := n.cfg.Leases.ReleaseUncommitted(ctx, keys...); err != nil {
		return err
	}

	n.mu.Lock()
	for _, key := range keys {
		delete(n.units, key)
	}
	n.mu.Unlock()

	return nil
}

// releaseUnits gives up units in the store. It reports whether that worked.
func (n *Node) releaseUnits(ctx context.Context, away bool, keys []alert.UnitKey) bool {
	call, cancel := context.WithTimeout(ctx, n.callLimit())
	defer cancel()

	if err := n.cfg.Leases.Release(call, away, keys...); err != nil {
		n.cfg.Log.Debug(fmt.Sprintf("units cannot be released, it is tried again: %v", err))
		return false
	}

	return true
}

// giveBack gives up the units that are recalled, and releases those of which nothing is
// left. Whoever claims them then, this node as well as any other, delivers again what the
// node that died had delivered.
func (n *Node) giveBack(ctx context.Context, s store.Standing) {
	given := n.abandon(func(u *unit) bool { return u.phase != handed && slices.Contains(s.Recalled, u.key) })
	if len(given) > 0 {
		n.cfg.Log.Warn(fmt.Sprintf("%s had been polled shortly before by a node that has died: what it may have "+
			"delivered lately comes again, with `replay` in `mssp` (%s)", count(len(given)), names(given)))
	}

	n.mu.Lock()

	var left []alert.UnitKey

	for _, key := range s.Recalled {
		if n.units[key] == nil {
			left = append(left, key)
		}
	}
	n.mu.Unlock()

	if len(left) > 0 {
		n.releaseUnits(ctx, false, left)
	}
}

// adopt starts what the store says that this node holds although it does not know of it:
// a claim whose answer was lost. What nobody wants is released.
func (n *Node) adopt(ctx context.Context, s store.Standing) {
	n.mu.Lock()
	wanted := n.wanted()

	var (
		unknown  []store.Holding
		unwanted []alert.UnitKey
	)

	for _, h := range s.Held {
		switch _, known := n.units[h.Key]; {
		case known, slices.Contains(s.Recalled, h.Key):
		case wanted[h.Key] == nil:
			unwanted = append(unwanted, h.Key)
		default:
			unknown = append(unknown, h)
		}
	}
	n.mu.Unlock()

	if len(unwanted) > 0 {
		n.releaseUnits(ctx, true, unwanted)
	}

	n.begins(unknown)
}

// begins starts units that this node holds from now on. One that it gave away, and that
// nobody else has held since, stays for a while.
func (n *Node) begins(holdings []store.Holding) {
	n.mu.Lock()
	wanted := n.wanted()

	var starting []*unit

	for _, h := range holdings {
		m := wanted[h.Key]
		if m == nil || n.units[h.Key] != nil {
			continue // released by the next step
		}

		u := &unit{key: h.Key, epoch: h.Epoch, member: m}
		n.units[h.Key] = u
		starting = append(starting, u)

		if g, gave := n.gave[h.Key]; gave && h.Epoch == g.epoch+1 {
			n.stay[h.Key] = n.cfg.Now() + staysFor
		}

		delete(n.gave, h.Key)
	}
	n.mu.Unlock()

	for _, u := range starting {
		if u.member.Start(u.key) {
			continue
		}

		n.mu.Lock()
		if n.units[u.key] == u {
			u.phase = handed
		}
		n.mu.Unlock()
	}
}

// claim claims units that are free.
func (n *Node) claim(ctx context.Context, s store.Standing) {
	if s.Draining {
		return
	}

	n.mu.Lock()
	wanted := n.wanted()
	held := 0

	var others []alert.UnitKey

	for key := range wanted {
		switch u := n.units[key]; {
		case u == nil:
			others = append(others, key)
		case !u.lost():
			held++
		}
	}
	n.mu.Unlock()

	free := slices.ContainsFunc(s.Free, func(key alert.UnitKey) bool { return wanted[key] != nil })
	recall := s.ToRecall && n.expired
	if !recall && (len(others) == 0 || !free && n.cfg.Now() >= n.eager) {
		return
	}

	slices.SortFunc(others, alert.UnitKey.Compare)

	c := store.Claim{Units: others, Expired: n.expired}

	if c.Most = share(len(wanted), s.Live, n.cfg.Node.ID) - held; c.Most <= 0 {
		c.Most, c.FreeFor = len(others), beyondShare
	}

	n.claimUnits(ctx, c, len(wanted))
}

// claimUnits claims, and starts what it gets.
func (n *Node) claimUnits(ctx context.Context, c store.Claim, wanted int) {
	call, cancel := context.WithTimeout(ctx, n.callLimit())
	defer cancel()

	got, err := n.cfg.Leases.Claim(call, c)
	if err != nil {
		n.cfg.Log.Debug(fmt.Sprintf("units cannot be claimed, it is tried again: %v", err))
		n.eager = n.cfg.Now() + eagerFor

		return
	}

	if len(got) == 0 {
		return
	}

	var keys, taken []alert.UnitKey

	for _, h := range got {
		keys = append(keys, h.Key)

		if h.Takeover {
			taken = append(taken, h.Key)
		}
	}

	n.begins(got)
	n.logClaimed(keys, taken, wanted)
}

// logClaimed logs what was claimed, and which units were taken over.
func (n *Node) logClaimed(keys, taken []alert.UnitKey, wanted int) {
	n.mu.Lock()
	n.counted.takeovers += uint64(len(taken))
	live := strings.Join(n.live, ", ")
	n.mu.Unlock()

	n.cfg.Log.Info(fmt.Sprintf("took %s; node %s polls %d of %d now (nodes: %s)",
		count(len(keys)), n.cfg.Node.ID, n.State().Held, wanted, live))

	if len(taken) > 0 {
		n.cfg.Log.Warn(fmt.Sprintf("%s of these belonged to a node that has died: what it may have delivered lately "+
			"comes again, with `replay` in `mssp` (%s)", count(len(taken)), names(taken)))
	}
}

// giveAway begins to hand over what this node is not to hold: everything while it
// drains, what it is not configured for any more, and what is above its share.
func (n *Node) giveAway(ctx context.Context, s store.Standing) {
	n.mu.Lock()
	wanted := n.wanted()

	var own, unwanted []*unit

	for key, u := range n.units {
		switch {
		case u.phase != polling:
		case wanted[key] != u.member:
			unwanted = append(unwanted, u)
		default:
			own = append(own, u)
		}
	}
	n.mu.Unlock()

	n.handOver(unwanted, true)

	if s.Draining {
		n.handOver(own, false)
		return
	}

	surplus := len(own) - share(len(wanted), s.Live, n.cfg.Node.ID)
	now := n.cfg.Now()

	if surplus <= 0 || now >= n.eager && now-n.listed < listPause {
		return
	}

	n.listed = now
	home, rest := n.choose(own, s, min(surplus, n.wantedElsewhere(ctx, len(wanted), s)))
	n.handOver(home, false)
	n.handOver(rest, true)
}

// wantedElsewhere returns how many units the other nodes hold less than their share. What
// is on its way to them already counts as theirs.
func (n *Node) wantedElsewhere(ctx context.Context, units int, s store.Standing) int {
	call, cancel := context.WithTimeout(ctx, n.callLimit())
	defer cancel()

	nodes, err := n.cfg.Leases.Nodes(call)
	if err != nil {
		n.cfg.Log.Debug(fmt.Sprintf("the other nodes cannot be listed, it is tried again: %v", err))
		return 0
	}

	onTheWay := 0

	n.mu.Lock()
	for _, u := range n.units {
		if u.phase == handing || u.phase == handed {
			onTheWay++
		}
	}
	n.mu.Unlock()

	return max(0, missing(units, s.Live, n.cfg.Node.ID, nodes)-onTheWay)
}

// choose returns which units are given away: first those whose home is another node.
func (n *Node) choose(own []*unit, s store.Standing, most int) (home, rest []*unit) {
	now := n.cfg.Now()
	for key, until := range n.stay {
		if now >= until {
			delete(n.stay, key)
		}
	}

	for key, g := range n.gave {
		if now-g.at >= staysFor {
			delete(n.gave, key)
		}
	}

	slices.SortFunc(own, func(a, b *unit) int { return a.key.Compare(b.key) })

	for _, homes := range []bool{true, false} {
		for _, u := range own {
			_, elsewhere := s.Homes[u.key]
			_, stays := n.stay[u.key]

			if elsewhere != homes || stays || u.member.Blocked() || len(home)+len(rest) >= most {
				continue
			}

			if homes {
				home = append(home, u)
			} else {
				rest = append(rest, u)
			}
		}
	}

	return home, rest
}

// handOver asks the members of units to hand them over.
func (n *Node) handOver(units []*unit, away bool) {
	for _, u := range units {
		if !n.beginHandOver(u, away) {
			continue
		}

		u.member.HandOver(u.key, func() {
			n.mu.Lock()
			if n.units[u.key] == u && u.phase == handing {
				u.phase = handed
			}
			n.mu.Unlock()
			n.hurry()
		})
	}
}

// beginHandOver notes that a hand-over begins, unless it was lost meanwhile.
func (n *Node) beginHandOver(u *unit, away bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()

	if n.units[u.key] != u || u.phase != polling {
		return false
	}

	u.phase, u.away = handing, away

	return true
}
