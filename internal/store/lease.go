package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
)

// ErrNodeInUse is returned by Leases.Join while another live process is the node.
var ErrNodeInUse = errors.New("another live process has this node_id")

// ErrFenced matches every FencedError in errors.Is.
var ErrFenced = errors.New("another node polls it now")

// FencedError is returned by a write to units that another node has taken over: nothing
// was written for them. What was written for the other units of the same call stands.
type FencedError struct {
	Units []alert.UnitKey
}

// Error returns one line.
func (e *FencedError) Error() string {
	tenants := make([]string, len(e.Units))
	for i, key := range e.Units {
		tenants[i] = string(key.TenantID)
	}

	return fmt.Sprintf("%v: %s", ErrFenced, strings.Join(tenants, ", "))
}

// Is makes errors.Is match ErrFenced.
func (e *FencedError) Is(target error) bool { return target == ErrFenced }

// Shared is a Store that several machines use at the same time.
type Shared interface {
	Store
	Leases
}

// Leases is the part of a store that says which node polls which unit. Only the clock
// of the store counts. Package storetest has its conformance tests.
//
// A node has one lease, which it renews. A unit belongs to one node, and has an epoch
// that grows with each claim. Every write to a unit by an opening that polls carries
// the epoch under which this opening holds the unit. If the unit has another epoch by
// now, the write returns a FencedError. A node whose lease has expired keeps its units
// until another node claims them: it need not be dead.
//
// A claim of a unit whose owner has expired is a takeover: what the owner had delivered
// in the last Node.TakeoverReplay before its last renewal, and since, may be on a disk
// that is gone. In the transaction of the claim the unit's seen-set forgets it, by the
// time of delivery, and the checkpoint, deferred work that was done in that time
// included, goes back to where it was then. From then on Checkpoint.Replay is set,
// until a commit clears it, and Deferred.Replay for all deferred work of the unit. A
// unit that has no checkpoint yet is marked too: Load returns Checkpoint.Replay with ok
// false then.
//
// Units that the dead owner had properly given away in that time are recalled: what it
// had delivered of them is to be undone, too. Whoever holds such a unit may be
// delivering at this moment, and keeps it until it gives it up: see Standing.Recalled.
// The next claim is then a takeover.
type Leases interface {
	// Join makes this opening a node with a lease that ends after Node.TTL unless it is
	// renewed. A row that a process left behind under the same ID is taken over when it
	// has expired or was left; ErrNodeInUse before that. It may be called again after an
	// outage.
	Join(ctx context.Context, n Node) error
	// Renew makes the lease last for TTL from now on, and returns the Standing of the
	// node. A lease that has expired goes on, with the units that nobody has claimed.
	// ErrNodeInUse says that another process has joined under this ID since: this one
	// holds nothing any more.
	Renew(ctx context.Context) (Standing, error)
	// Claim takes units that belong to nobody, that this node left behind in an earlier
	// run, or, with Claim.Expired, whose owner has expired. It takes at most
	// Claim.Most of them, those first whose home this node is and those last whose home
	// is another live node, and skips units that another node is claiming. A unit that
	// is not known yet is made. A node that is draining, or whose own lease has expired,
	// takes nothing. With Claim.Expired it also recalls what nodes that have expired had
	// given away, whether any unit is wanted or not.
	Claim(ctx context.Context, c Claim) ([]Holding, error)
	// Release gives units up that this node has delivered and committed to the end, or
	// that it never polled: the next owner starts without a takeover. Other nodes notice
	// at once. With away the node ceases to be their home (see Standing.Homes). Units
	// that it does not hold any more are left as they are.
	Release(ctx context.Context, away bool, keys ...alert.UnitKey) error
	// ReleaseUncommitted gives units up of which this node has delivered something that
	// it may not have committed. The next claim is a takeover, which marks what comes,
	// but undoes nothing: what was committed is on the disk of a node that lives.
	ReleaseUncommitted(ctx context.Context, keys ...alert.UnitKey) error
	// Leave ends the lease: the units that are held are released, and the ID is free.
	// Home stays.
	Leave(ctx context.Context) error
	// Changed returns a channel that gets a value when another node has joined, left or
	// released something. It only saves time: a store may lose values, so the receiver
	// has to ask now and then all the same.
	Changed() <-chan struct{}

	// Nodes returns every node that has joined and not left, ordered by ID.
	Nodes(ctx context.Context) ([]NodeStatus, error)
	// Drain asks a node to give away all its units and to claim none; with on false, to
	// take part again. Joining again ends a drain too. known is false if there is no
	// such node.
	Drain(ctx context.Context, id string, on bool) (known bool, err error)
	// Holders returns the owner of each unit that has one.
	Holders(ctx context.Context) (map[alert.UnitKey]Holder, error)
}

// Node is what a process joins with.
type Node struct {
	// ID names it among those that use the store: node_id.
	ID string
	// TTL is how long a node that is silent keeps its units: lease_ttl.
	TTL time.Duration
	// TakeoverReplay is how much of what a dead node delivered lately is delivered
	// again by the node that takes its units over; 0: nothing that was committed.
	TakeoverReplay time.Duration
	// Version is the version of the program, for people.
	Version string
}

// Claim says which units a node wants.
type Claim struct {
	// Units are the units to choose from: all that the node is configured for and does
	// not hold.
	Units []alert.UnitKey
	// Most bounds how many are taken.
	Most int
	// FreeFor leaves out units that were free for less than this: another node may be
	// about to take its share of them. A unit is free from the moment at which it was
	// released, made, or at which its owner expired.
	FreeFor time.Duration
	// Expired allows units whose owner's lease has expired. A node whose own connection
	// to the store has only just come back does not set it for one TTL: the other nodes
	// may be about to renew their leases.
	Expired bool
}

// Holding is a unit that this node holds.
type Holding struct {
	Key alert.UnitKey
	// Epoch grows by one with each claim, and with nothing else.
	Epoch int64
	// Takeover says that Claim took it from a node that had expired, or that it was
	// recalled, or released uncommitted.
	Takeover bool
}

// Standing is what a node learns when it renews its lease.
type Standing struct {
	// Held are the units that the node still holds.
	Held []Holding
	// Live are the IDs of the nodes whose lease has not expired and that are not
	// draining, ordered; this one is among them unless it is draining.
	Live []string
	// Draining says that this node is asked to give its units away.
	Draining bool
	// Recalled are those of Held that another node had polled shortly before it died:
	// this node has to give them up at once, and then to release them.
	Recalled []alert.UnitKey
	// ToRecall says that a node gave units away shortly before it expired: a claim with
	// Claim.Expired recalls them.
	ToRecall bool
	// Homes names, for units that this node holds, the live node that had them before
	// it was stopped properly: they go back to it.
	Homes map[alert.UnitKey]string
	// Free are all known units that nobody holds, or whose owner has expired, also
	// those that were removed from the configuration, in no order.
	Free []alert.UnitKey
}

// NodeStatus is a node as Nodes returns it.
type NodeStatus struct {
	ID      string
	Version string
	// Joined is when it joined, and Renewed when it last renewed its lease. Both are on
	// the clock of this process: now, less the age on the clock of the store.
	Joined, Renewed time.Time
	// Expires is when the lease ends unless it is renewed.
	Expires time.Time
	// Live says that it has not expired.
	Live     bool
	Draining bool
	// Units is how many it holds.
	Units int
}

// Holder is who holds a unit.
type Holder struct {
	Node string
	// Since is when it was claimed, and Renewed when the node's lease was renewed last.
	Since, Renewed time.Time
	// Live says that the lease has not expired.
	Live  bool
	Epoch int64
}
