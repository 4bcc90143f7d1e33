package collect

import (
	"context"
	"errors"
	"sync"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// Lease is what an input asks before it polls or delivers, where several machines share
// the store. *lease.Node is one.
type Lease interface {
	// Trusted reports whether this process certainly has its units at this moment.
	Trusted() bool
	// Lost is called with the units for which the store refused a write, since another
	// node has them. It calls Input.Abandon for those that this node had not given up.
	Lost(keys []alert.UnitKey)
}

// trustCheck is how long a unit rests before it looks again whether the lease is trusted.
const trustCheck = 500 * time.Millisecond

// errUntrusted ends a poll because the lease is not trusted. When it is trusted again,
// the poll goes on from where it was.
var errUntrusted = errors.New("the lease of this node has ended")

// trusted reports whether the input may poll and deliver.
func (in *Input) trusted() bool { return in.cfg.Lease == nil || in.cfg.Lease.Trusted() }

// fenced returns the units for which the store refused a write, since another node has
// them; ok is false if err is not such a refusal.
func fenced(err error) (keys []alert.UnitKey, ok bool) {
	var f *store.FencedError
	if !errors.As(err, &f) {
		return nil, false
	}

	return f.Units, true
}

// longestHandOver is how long a hand-over waits for the end of a poll. Then the poll is
// cancelled: the node that claims the unit goes on from what was read to the end.
const longestHandOver = 30 * time.Second

// HandOver ends the polling of a unit as soon as no poll is under way. What the unit has
// queued is delivered and committed; then gone is called. HandOver reports whether there
// is such a unit.
func (in *Input) HandOver(key alert.UnitKey, gone func()) bool {
	in.mu.Lock()
	defer in.mu.Unlock()

	for _, u := range in.units {
		if u.cfg.Key == key && u.running() {
			u.onGone = append(u.onGone, gone)
			u.leaving.end(u.cancel)

			return true
		}
	}

	return false
}

// Abandon gives up units that another node polls now. When it has returned, nothing of
// them is delivered or committed. gone is called for each unit when all work on it has
// ended. It is not called for a key without a unit; these keys are returned.
func (in *Input) Abandon(keys []alert.UnitKey, gone func(alert.UnitKey)) (unknown []alert.UnitKey) {
	in.mu.Lock()

	var units []*Unit

	for _, key := range keys {
		var last *Unit // a unit that was restarted waits for the one before it

		for _, u := range in.units {
			if u.cfg.Key == key {
				units, last = append(units, u), u
			}
		}

		if last == nil {
			unknown = append(unknown, key)
			continue
		}

		last.onGone = append(last.onGone, func() { gone(key) })
	}

	for _, u := range units {
		u.abandoned.Store(true)

		if u.cancel != nil {
			u.cancel()
		}
	}
	in.mu.Unlock()

	for _, u := range units {
		in.outbox.Drop(u.stream)
	}

	in.wakeCommitter()

	return unknown
}

// leaving lets a unit end between two polls.
type leaving struct {
	mu     sync.Mutex
	polls  bool               // a poll is under way
	cancel context.CancelFunc // ends the unit after it; nil while the unit is to go on
}

// begin reports whether a poll may begin. If so, the caller calls done when it has ended.
func (l *leaving) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.polls = l.cancel == nil

	return l.polls
}

// done is called when the poll has ended.
func (l *leaving) done() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.polls = false

	if l.cancel != nil {
		l.cancel()
	}
}

// end ends the unit as soon as no poll is under way, within longestHandOver.
func (l *leaving) end(cancel context.CancelFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.cancel = cancel

	if l.polls {
		time.AfterFunc(longestHandOver, cancel)
	} else {
		cancel()
	}
}
