package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

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
		n.workingSince = 0 // this process or its machine stood still, and the others may have too
	}

	if n.workingSince == 0 {
		n.workingSince = start
		n.claimExpired = false
	}

	n.trustFrom(start)
	n.noteTrust()
	n.noteNodes(s, start)

	return s, true
}

// noteNodes notes which nodes share the units. If that has changed, claims are tried for
// a while, and any unit may be given away again.
func (n *Node) noteNodes(s store.Standing, now time.Duration) {
	expired := now-n.workingSince >= n.cfg.Node.TTL

	n.mu.Lock()
	changed := !slices.Equal(n.live, s.Live)
	n.live, n.free = s.Live, s.Free
	n.mu.Unlock()

	if changed { // a new node may be configured for units that came back from the others
		clear(n.former)
		clear(n.stayUntil)
	}

	if changed || expired != n.claimExpired {
		n.eagerUntil = now + eagerFor
	}

	n.claimExpired = expired
}

// failed notes that the store did not renew the lease.
func (n *Node) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}

	n.workingSince = 0
	n.renewError = err

	if errors.Is(err, store.ErrNewer) {
		n.stopAsOutdated(err)
		return
	}

	if !errors.Is(err, store.ErrNodeInUse) {
		n.cfg.Log.Debug(fmt.Sprintf("the lease cannot be renewed, it is tried again: %v", err))
		return
	}

	n.joined = false
	n.trustedUntil.Store(0)
	n.lose(func(*unit) bool { return true })

	if !n.inUseLogged {
		n.inUseLogged = true
		n.cfg.Log.Error(fmt.Sprintf("node_id: another process uses %s, and this one polls nothing until that has "+
			"ended; give each process on the same store another node_id", n.cfg.Node.ID))
	}
}

// stopAsOutdated ends the trust at once: a newer version of this program has converted
// the store, and its nodes take the units over when the lease has expired.
func (n *Node) stopAsOutdated(err error) {
	n.trustedUntil.Store(0)

	if !n.outdatedLogged {
		n.outdatedLogged = true
		n.cfg.Log.Error(fmt.Sprintf("nothing is polled or delivered any more, other nodes take the tenants over: %v",
			err))
	}
}

// noteDistrust logs once that the lease is not trusted any more.
func (n *Node) noteDistrust() {
	if n.distrustLogged || n.inUseLogged || n.Trusted() || n.trustedUntil.Load() == 0 {
		return
	}

	n.distrustLogged = true
	n.cfg.Log.Error(fmt.Sprintf("the store has not answered for too long, and the lease of this node has ended: "+
		"nothing is polled or delivered until it answers again (%v)", n.renewError))
}

// noteTrust logs once that the lease is trusted again.
func (n *Node) noteTrust() {
	if n.distrustLogged {
		n.distrustLogged = false
		n.cfg.Log.Info("the store answers again, and the lease of this node goes on")
	}

	n.outdatedLogged = false
}
