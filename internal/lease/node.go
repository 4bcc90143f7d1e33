package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/store"
)

// Member polls units for one input. Its methods are called by one goroutine at a time,
// with no lock of the Node held. None of them may wait for the store.
type Member interface {
	// Start begins to poll a unit, which the node holds now. It reports false if the
	// member does not want it any more: then it is released.
	Start(key alert.UnitKey) bool
	// HandOver ends the polling of a unit in a quiet moment: no poll begins any more,
	// what is queued is delivered and committed. Then done is called, from any goroutine.
	HandOver(key alert.UnitKey, done func())
	// Abandon gives up units that the node does not hold any more: when it returns,
	// nothing of them is delivered or committed any more, and no poll begins. done is
	// called for each unit, from any goroutine, when nothing of it is left.
	Abandon(keys []alert.UnitKey, done func(alert.UnitKey))
	// Blocked reports whether Fluent Bit takes nothing, so that a hand-over would not
	// end.
	Blocked() bool
}

// Config is what a Node works with. Fields without a remark are required.
type Config struct {
	Leases store.Leases
	Node   store.Node
	Log    *slog.Logger
	// Now is the time since some moment in the past on a clock that goes on while the
	// machine sleeps; nil for that of the machine.
	Now func() time.Duration
}

// Node is this process among those on the same store.
type Node struct {
	cfg   Config
	until atomic.Int64 // the lease is trusted until then, on Config.Now; 0: not at all
	wake  chan struct{}

	turn   chan struct{} // holds one while nobody calls the store: see calls
	cancel context.CancelFunc
	ended  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards the fields below
	members map[Member][]alert.UnitKey
	units   map[alert.UnitKey]*unit
	live    []string        // the nodes that share the units, as last heard
	free    []alert.UnitKey // the units that nobody holds, or only a node that has expired
	counted counters
	renewed time.Duration // when the last renewal that succeeded began

	// What follows belongs to whoever has turn.
	joined   bool
	working  time.Duration // since when all renewals have succeeded; 0: the last one failed
	eager    time.Duration // until when claims are tried although nothing is known to be free
	expired  bool          // units of nodes that are silent may be claimed
	listed   time.Duration // when the other nodes were listed last
	gave     map[alert.UnitKey]given
	stay     map[alert.UnitKey]time.Duration
	distrust bool  // the log says that the lease is not trusted
	inUse    bool  // the log says that another process has the ID
	reason   error // why the lease was not renewed last
}

// counters are what a node has counted since it joined.
type counters struct {
	takeovers uint64
	lost      uint64
	fenced    uint64
}

// unit is a unit that this node holds, or is about to let go of.
type unit struct {
	key    alert.UnitKey
	epoch  int64
	member Member
	phase  phase
	away   bool // the node is not its home any more when it is released
}

// lost reports whether nothing of the unit is committed any more.
func (u *unit) lost() bool { return u.phase == abandoned || u.phase == uncommitted }

// given says when a unit was given away, and under which epoch it had been held.
type given struct {
	at    time.Duration
	epoch int64
}

// phase is what happens to a unit.
type phase int

const (
	polling   phase = iota // its member polls it
	handing                // its member is to hand it over
	handed                 // it is to be released
	abandoned              // it is lost, and its member has not let go of it yet
	// uncommitted: it has no member any more, which may have delivered something without
	// committing it. It is to be released so that this is known.
	uncommitted
)

// Times of a node.
const (
	// margin is how much earlier than the store this node takes its lease for ended: for
	// clocks that run at different speeds, and for an append that is under way.
	margin = 3 * time.Second
	// every is how often the lease is renewed, at most.
	every = time.Second
	// longestCall bounds a call of the store, so that there is time for another one.
	longestCall = 5 * time.Second
	// beyondShare is how long a unit has to be free before a node that has its share
	// claims it: the others look every second.
	beyondShare = 3 * time.Second
	// eagerFor is how long claims are tried after something has changed.
	eagerFor = 10 * time.Second
	// listPause is how often the other nodes are listed while nothing changes.
	listPause = 5 * time.Second
	// staysFor is how long a unit stays that came back after it was given away.
	staysFor = 10 * time.Minute
	// joinPause is how often a node tries to join while its ID is in use.
	joinPause = 500 * time.Millisecond
)

// New returns a node that has not joined.
func New(cfg Config) *Node {
	if cfg.Now == nil {
		cfg.Now = bootTime
	}

	n := &Node{
		cfg:     cfg,
		wake:    make(chan struct{}, 1),
		turn:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		members: make(map[Member][]alert.UnitKey),
		units:   make(map[alert.UnitKey]*unit),
		gave:    make(map[alert.UnitKey]given),
		stay:    make(map[alert.UnitKey]time.Duration),
	}
	n.turn <- struct{}{}

	return n
}

// Join joins, and starts to renew the lease until Leave. While the row of a process that
// died has the ID it waits, for a TTL at most. Then it returns store.ErrNodeInUse. Any
// other error of the store is none here: joining is tried again.
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
	n.inUse = false
	n.working = start
	n.eager = start + eagerFor
	n.trustFrom(start)

	return nil
}

// callLimit bounds a call of the store.
func (n *Node) callLimit() time.Duration { return min(longestCall, n.cfg.Node.TTL/3) }

// trustFrom trusts the lease after a renewal that began at start.
func (n *Node) trustFrom(start time.Duration) {
	n.mu.Lock()
	n.renewed = start
	n.mu.Unlock()

	n.until.Store(int64(start + n.cfg.Node.TTL - margin))
}

// Trusted reports whether this node certainly has its lease. It is asked right before
// each poll, each page and each delivery, and costs next to nothing.
func (n *Node) Trusted() bool { return int64(n.cfg.Now()) < n.until.Load() }

// Want says which units a member is configured for, in place of what it said before. It
// may call the Member's methods later. The keys of two members must not overlap.
func (n *Node) Want(m Member, keys []alert.UnitKey) {
	n.mu.Lock()
	n.members[m] = slices.Clone(keys)
	n.mu.Unlock()
	n.hurry()
}

// hurry makes the node look at once.
func (n *Node) hurry() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Lost says that a write to units was refused, since another node has them.
func (n *Node) Lost(keys []alert.UnitKey) {
	held := func(key alert.UnitKey) bool {
		u := n.units[key]
		return u != nil && !u.lost()
	}

	n.mu.Lock()
	if slices.ContainsFunc(keys, held) { // else the write crossed a hand-over, which is no fault
		n.counted.fenced++
	}
	n.mu.Unlock()

	n.lose(func(u *unit) bool { return slices.Contains(keys, u.key) })
}

// Uncommitted says that the input of a member has ended and may not have committed
// everything that it had delivered. Its units are given up so that whoever claims them
// next marks what may come again: by Remove, by Leave or, if the store does not answer
// there, as soon as it does.
func (n *Node) Uncommitted(m Member) {
	n.mu.Lock()
	defer n.mu.Unlock()

	for _, u := range n.units {
		if u.member == m && u.phase != abandoned {
			u.phase = uncommitted
		}
	}
}

// Remove ends a member, whose input has ended: its units are released, for others at
// once. It waits for calls of the store that are under way, until ctx ends.
func (n *Node) Remove(ctx context.Context, m Member) error {
	if !n.begin(ctx) {
		return ctx.Err()
	}
	defer n.end()

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

// Leave ends the node: its lease ends, and its units are free for others at once. If
// units that are not committed cannot be given up so that this is known, the lease is
// left to expire: whoever takes the units over marks what comes then.
func (n *Node) Leave(ctx context.Context) error {
	n.cancel() // a call that is under way ends
	n.until.Store(0)

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

// begin waits for the right to call the store. It reports false if ctx ended before.
func (n *Node) begin(ctx context.Context) bool {
	select {
	case <-n.turn:
		return true
	case <-ctx.Done():
		return false
	}
}

// end gives the right to call the store back.
func (n *Node) end() { n.turn <- struct{}{} }

// State is what is shown of a node.
type State struct {
	ID string
	// Held is how many units it polls, Wanted how many it is configured for.
	Held, Wanted int
	// Unowned is how many of the wanted ones nobody holds, or only a node that has
	// expired.
	Unowned int
	// Live are the nodes that share the units, this one among them.
	Live []string
	// Age is how long ago the lease was renewed, and TTL how long it lasts.
	Age, TTL time.Duration
	// Takeovers counts the units that were taken over from a node that had died, Lost
	// those that another node has taken from this one.
	Takeovers, Lost uint64
	// Fenced counts the writes that the store refused, since another node held the unit.
	Fenced uint64
}

// State returns what is shown of the node at this moment.
func (n *Node) State() State {
	n.mu.Lock()
	defer n.mu.Unlock()

	s := State{
		ID:        n.cfg.Node.ID,
		Live:      slices.Clone(n.live),
		Age:       n.cfg.Now() - n.renewed,
		TTL:       n.cfg.Node.TTL,
		Takeovers: n.counted.takeovers,
		Lost:      n.counted.lost,
		Fenced:    n.counted.fenced,
	}

	wanted := n.wanted()
	s.Wanted = len(wanted)

	for _, key := range n.free {
		if wanted[key] != nil && n.units[key] == nil {
			s.Unowned++
		}
	}

	for _, u := range n.units {
		if u.phase == polling {
			s.Held++
		}
	}

	return s
}

// wanted returns the member of each unit that this process is configured for. n.mu must
// be held.
func (n *Node) wanted() map[alert.UnitKey]Member {
	all := make(map[alert.UnitKey]Member)

	for m, keys := range n.members {
		for _, key := range keys {
			all[key] = m
		}
	}

	return all
}

// lose gives up the units that lost returns true for, which other nodes hold.
func (n *Node) lose(lost func(*unit) bool) {
	keys := n.abandon(lost)
	if len(keys) == 0 {
		return
	}

	n.mu.Lock()
	n.counted.lost += uint64(len(keys))
	n.mu.Unlock()

	verb := "are"
	if len(keys) == 1 {
		verb = "is"
	}

	n.cfg.Log.Warn(fmt.Sprintf("%s %s polled by another node now, as the lease of this one had ended: "+
		"what was read and not delivered is left to it (%s)", count(len(keys)), verb, names(keys)))
}

// abandon gives up the units that gone returns true for, and returns them. Their members
// drop what is not delivered before it returns.
func (n *Node) abandon(gone func(*unit) bool) (keys []alert.UnitKey) {
	n.mu.Lock()

	units := make(map[alert.UnitKey]*unit)
	by := make(map[Member][]alert.UnitKey)

	for key, u := range n.units {
		switch {
		case u.phase == abandoned || !gone(u):
		case u.phase == uncommitted: // its member has ended
			delete(n.units, key)
		default:
			u.phase = abandoned
			units[key] = u
			by[u.member] = append(by[u.member], key)
		}
	}
	n.mu.Unlock()

	for m, keys := range by {
		m.Abandon(keys, func(key alert.UnitKey) { n.letGo(units[key]) })
	}

	return slices.Collect(maps.Keys(units))
}

// letGo notes that nothing of an abandoned unit is left.
func (n *Node) letGo(u *unit) {
	n.mu.Lock()
	if n.units[u.key] == u {
		delete(n.units, u.key)
	}
	n.mu.Unlock()
	n.hurry()
}

// count says how many units there are.
func count(n int) string {
	if n == 1 {
		return "1 unit"
	}

	return fmt.Sprintf("%d units", n)
}

// mostNames bounds how many tenants a line names.
const mostNames = 5

// names joins the tenants of some units for a line.
func names(keys []alert.UnitKey) string {
	tenants := make([]string, len(keys))
	for i, key := range keys {
		tenants[i] = string(key.TenantID)
	}

	slices.Sort(tenants)

	more := len(tenants) - mostNames
	text := ""

	for i, tenant := range tenants[:min(len(tenants), mostNames)] {
		if i > 0 {
			text += ", "
		}

		text += tenant
	}

	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}

	return text
}
