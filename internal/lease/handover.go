package lease

import (
	"context"
	"fmt"
	"slices"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// giveAway begins to hand over the units that this node should not hold: all of them
// while it drains, those that it is not configured for any more, and those above its
// share.
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

	if surplus <= 0 || now >= n.eagerUntil && now-n.listedAt < listPause {
		return
	}

	n.listedAt = now
	home, rest := n.choose(own, s, min(surplus, n.wantedElsewhere(ctx, len(wanted), s)))
	n.handOver(home, false)
	n.handOver(rest, true)
}

// wantedElsewhere returns how many units the other nodes lack to their share. Units that
// are already on their way to them count as theirs.
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
		if u.phase == handingOver || u.phase == toRelease {
			onTheWay++
		}
	}
	n.mu.Unlock()

	return max(0, missing(units, s.Live, n.cfg.Node.ID, nodes)-onTheWay)
}

// choose returns which of the node's own units are given away, most of them in all: home
// are units whose home is another node, rest are others, if there are too few of these.
func (n *Node) choose(own []*unit, s store.Standing, most int) (home, rest []*unit) {
	now := n.cfg.Now()
	for key, until := range n.stayUntil {
		if now >= until {
			delete(n.stayUntil, key)
		}
	}

	for key, f := range n.former {
		if now-f.at >= staysFor {
			delete(n.former, key)
		}
	}

	slices.SortFunc(own, func(a, b *unit) int { return a.key.Compare(b.key) })

	for _, homes := range []bool{true, false} {
		for _, u := range own {
			_, elsewhere := s.Homes[u.key]
			_, stays := n.stayUntil[u.key]

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
			if n.units[u.key] == u && u.phase == handingOver {
				u.phase = toRelease
			}
			n.mu.Unlock()
			n.wakeUp()
		})
	}
}

// beginHandOver notes that a hand-over begins. It returns false if the unit was lost
// meanwhile.
func (n *Node) beginHandOver(u *unit, away bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()

	if n.units[u.key] != u || u.phase != polling {
		return false
	}

	u.phase, u.away = handingOver, away

	return true
}

// release releases the units whose hand-over has ended, and those of members that have
// ended.
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
			if u.phase == toRelease && u.away == away {
				keys = append(keys, key)
			}
		}
		n.mu.Unlock()

		if len(keys) == 0 || !n.releaseUnits(ctx, away, keys) {
			continue
		}

		n.mu.Lock()
		for _, key := range keys {
			if u := n.units[key]; u != nil && u.phase == toRelease {
				n.former[key] = formerUnit{n.cfg.Now(), u.epoch}
				delete(n.units, key)
			}
		}
		n.mu.Unlock()

		n.cfg.Log.Info(fmt.Sprintf("gave %s to other nodes (%s)", count(len(keys)), names(keys)))
	}
}

// releaseUncommitted releases the units of members that have ended without having
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

// releaseUnits releases units in the store, and reports whether that worked.
func (n *Node) releaseUnits(ctx context.Context, away bool, keys []alert.UnitKey) bool {
	call, cancel := context.WithTimeout(ctx, n.callLimit())
	defer cancel()

	if err := n.cfg.Leases.Release(call, away, keys...); err != nil {
		n.cfg.Log.Debug(fmt.Sprintf("units cannot be released, it is tried again: %v", err))
		return false
	}

	return true
}
