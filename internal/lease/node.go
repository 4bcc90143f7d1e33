package lease

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// Member polls units for one input. Its methods are called by one goroutine at a time,
// with no lock of the Node held. None of them may wait for the store.
type Member interface {
	// Start begins to poll a unit, which the node holds now. It returns false if the
	// member does not want the unit any more. Then the unit is released.
	Start(key alert.UnitKey) bool
	// HandOver ends the polling of a unit between two polls. What is queued is delivered
	// and committed. Then done is called, from any goroutine.
	HandOver(key alert.UnitKey, done func())
	// Abandon stops the work on units that the node does not hold any more. When it has
	// returned, nothing of them is delivered or committed, and no poll begins. done is
	// called for each unit, from any goroutine, when all work on it has ended.
	Abandon(keys []alert.UnitKey, done func(alert.UnitKey))
	// Blocked reports whether Fluent Bit accepts no events, so that a hand-over would
	// not end.
	Blocked() bool
}

// Config is what a Node works with. Fields without a remark are required.
type Config struct {
	Leases store.Leases
	Node   store.Node
	Log    *slog.Logger
	// Now returns the time since some moment in the past, on a clock that goes on while
	// the machine sleeps; nil for the clock of the machine.
	Now func() time.Duration
}

// Node is this process among those that share a store. A Node is used like this: New,
// Join, then Want for each input; Remove when an input ends, and Leave at the end.
type Node struct {
	cfg Config
	// trustedUntil is when trust in the lease ends, on Config.Now; 0: no trust.
	trustedUntil atomic.Int64

	wake   chan struct{} // see wakeUp
	turn   chan struct{} // holds one while no call of the store is under way: see takeTurn
	cancel context.CancelFunc
	ended  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards the fields below
	members map[Member][]alert.UnitKey
	units   map[alert.UnitKey]*unit
	live    []string        // the nodes that share the units, by the last renewal
	free    []alert.UnitKey // held by no node, or by one whose lease has expired
	counted counters
	renewed time.Duration // when the last renewal that succeeded began

	// The fields below are used only by who has the turn.

	joined         bool
	workingSince   time.Duration // when the renewals that succeeded began; 0: the last one failed
	eagerUntil     time.Duration // until then claims are tried although nothing is known to be free
	claimExpired   bool          // units of nodes whose lease has expired may be claimed
	listedAt       time.Duration // when the other nodes were listed last
	former         map[alert.UnitKey]formerUnit
	stayUntil      map[alert.UnitKey]time.Duration // units that are not given away before then
	distrustLogged bool                            // the log says that the lease is not trusted
	inUseLogged    bool                            // the log says that another process has the ID
	outdatedLogged bool                            // the log says that a newer version has converted the store
	renewError     error                           // why the last renewal failed
}

// counters are what a node has counted since it joined.
type counters struct {
	takeovers uint64
	lost      uint64
	fenced    uint64
}

// unit is a unit that this node holds, or has not yet let go of.
type unit struct {
	key    alert.UnitKey
	epoch  int64
	member Member
	phase  phase
	away   bool // its home is elsewhere once it is released, see store.Leases.Release
}

// lost reports whether nothing of the unit is committed any more.
func (u *unit) lost() bool { return u.phase == abandoned || u.phase == uncommitted }

// formerUnit says when a unit was given away, and under which epoch it had been held.
type formerUnit struct {
	at    time.Duration
	epoch int64
}

// phase is what happens to a unit.
type phase int

const (
	polling     phase = iota // its member polls it
	handingOver              // its member was asked to hand it over
	toRelease                // its member has handed it over
	abandoned                // it is lost, and its member still ends the work on it
	// uncommitted: its member has ended, and may have delivered something without
	// committing it. The unit is released with a note of that.
	uncommitted
)

// Times of a node.
const (
	// trustMargin is how long before the end of the lease this node stops to trust it:
	// for clocks that run at different speeds, and for an append that is under way.
	trustMargin = 3 * time.Second
	// renewPause is the time from one renewal of the lease to the next.
	renewPause = time.Second
	// longestCall bounds a call of the store, so that there is time for another one.
	longestCall = 5 * time.Second
	// beyondShare is how long a unit has to be free before a node that already has its
	// share claims it. The other nodes, which look every second, come first.
	beyondShare = 3 * time.Second
	// eagerFor is how long claims are tried after something has changed.
	eagerFor = 10 * time.Second
	// listPause is the time from one list of the other nodes to the next while nothing
	// changes.
	listPause = 5 * time.Second
	// staysFor is how long a unit stays if it came back after it was given away.
	staysFor = 10 * time.Minute
	// joinPause is the time between two attempts to join while the node's ID is in use.
	joinPause = 500 * time.Millisecond
)

// New returns a node that has not joined.
func New(cfg Config) *Node {
	if cfg.Now == nil {
		cfg.Now = bootTime
	}

	n := &Node{
		cfg:       cfg,
		wake:      make(chan struct{}, 1),
		turn:      make(chan struct{}, 1),
		ended:     make(chan struct{}),
		members:   make(map[Member][]alert.UnitKey),
		units:     make(map[alert.UnitKey]*unit),
		former:    make(map[alert.UnitKey]formerUnit),
		stayUntil: make(map[alert.UnitKey]time.Duration),
	}
	n.turn <- struct{}{}

	return n
}

// callLimit bounds a call of the store.
func (n *Node) callLimit() time.Duration { return min(longestCall, n.cfg.Node.TTL/3) }

// trustFrom trusts the lease after a renewal that began at start.
func (n *Node) trustFrom(start time.Duration) {
	n.mu.Lock()
	n.renewed = start
	n.mu.Unlock()

	n.trustedUntil.Store(int64(start + n.cfg.Node.TTL - trustMargin))
}

// Trusted reports whether this node certainly has its lease. It is asked right before
// each poll, each page and each delivery, and costs next to nothing.
func (n *Node) Trusted() bool { return int64(n.cfg.Now()) < n.trustedUntil.Load() }

// Want sets the units that a member is configured for, in place of those of an earlier
// call. From then on the Node calls the member's methods. The keys of two members must
// not overlap.
func (n *Node) Want(m Member, keys []alert.UnitKey) {
	n.mu.Lock()
	n.members[m] = slices.Clone(keys)
	n.mu.Unlock()
	n.wakeUp()
}

// wakeUp makes the goroutine of the node do its next step at once.
func (n *Node) wakeUp() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// takeTurn waits for the turn to call the store. It returns false if ctx ends before.
func (n *Node) takeTurn(ctx context.Context) bool {
	select {
	case <-n.turn:
		return true
	case <-ctx.Done():
		return false
	}
}

// endTurn lets the next caller have its turn.
func (n *Node) endTurn() { n.turn <- struct{}{} }

// run renews the lease and balances the units until ctx ends.
func (n *Node) run(ctx context.Context) {
	defer close(n.ended)

	for {
		if n.takeTurn(ctx) {
			n.step(ctx)
			n.endTurn()
		}

		timer := time.NewTimer(renewPause)
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

// step renews the lease. If that succeeds, it gives up, claims and gives away the units
// for which that is due.
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
