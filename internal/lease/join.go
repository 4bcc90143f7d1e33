package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/store"
)

// Join makes this process a node of the store, and starts to renew its lease until Leave.
// While another process has the same ID it waits: if that process has died, its lease
// ends within a TTL. If it still lives then, Join returns store.ErrNodeInUse. After any
// other error of the store Join succeeds, and joining is tried again every second.
func (n *Node) Join(ctx context.Context) error {
	deadline := n.cfg.Now() + n.cfg.Node.TTL + time.Second

	for {
		err := n.join(ctx)
		if !errors.Is(err, store.ErrNodeInUse) {
			if err != nil {
				n.cfg.Log.Warn(fmt.Sprintf("the store cannot be reached yet, nothing is polled; "+
					"it is tried again every second: %v", err))
			}

			break
		}

		if n.cfg.Now() >= deadline || pause.For(ctx, joinPause) != nil {
			return fmt.Errorf("node_id: %w: %s; give each process on the same store another node_id",
				store.ErrNodeInUse, n.cfg.Node.ID)
		}
	}

	running, cancel := context.WithCancel(context.Background())
	n.cancel = cancel

	go n.run(running)

	return nil
}

// join tries once to join.
func (n *Node) join(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.callLimit())
	defer cancel()

	start := n.cfg.Now()
	if err := n.cfg.Leases.Join(ctx, n.cfg.Node); err != nil {
		return err
	}

	n.joined = true
	n.inUseLogged = false
	n.workingSince = start
	n.eagerUntil = start + eagerFor
	n.trustFrom(start)

	return nil
}

// Uncommitted says that the input of a member has ended and may not have committed
// everything that it had delivered. Its units are released with a note of that, so that
// the node that claims them next marks what may be a repeat: by Remove, by Leave or, if
// the store does not answer there, as soon as it does.
func (n *Node) Uncommitted(m Member) {
	n.mu.Lock()
	defer n.mu.Unlock()

	for _, u := range n.units {
		if u.member == m && u.phase != abandoned {
			u.phase = uncommitted
		}
	}
}

// Remove removes a member whose input has ended, and releases its units, so that other
// nodes can claim them at once. It waits for its turn to call the store until ctx ends.
func (n *Node) Remove(ctx context.Context, m Member) error {
	if !n.takeTurn(ctx) {
		return ctx.Err()
	}
	defer n.endTurn()

	n.mu.Lock()
	delete(n.members, m)

	var keys []alert.UnitKey

	for key, u := range n.units {
		if u.member != m || u.phase == uncommitted {
			continue
		}

		if u.phase != abandoned {
			keys = append(keys, key)
		}

		delete(n.units, key)
	}
	n.mu.Unlock()

	if !n.joined {
		return nil
	}

	err := n.releaseUncommitted(ctx)
	if len(keys) == 0 {
		return err
	}

	return errors.Join(err, n.cfg.Leases.Release(ctx, false, keys...))
}

// Leave ends the node: its lease ends, and its units are free for others at once. If the
// store does not take the units that may be uncommitted, the lease expires by itself
// instead, and the nodes that take the units over mark what may be a repeat.
func (n *Node) Leave(ctx context.Context) error {
	n.cancel() // this ends a call that is under way
	n.trustedUntil.Store(0)

	select {
	case <-n.ended:
	case <-ctx.Done():
		return ctx.Err()
	}

	if !n.joined {
		return nil
	}

	if err := n.releaseUncommitted(ctx); err != nil {
		return err
	}

	n.joined = false

	return n.cfg.Leases.Leave(ctx)
}
