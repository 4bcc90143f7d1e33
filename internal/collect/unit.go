package collect

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
)

// UnitConfig is how a unit, one API of one tenant, is polled. Fields without a remark are
// required.
type UnitConfig struct {
	Key      alert.UnitKey
	Name     string // the tenant's label, for people
	ClientID alert.ClientID
	// HomeTenantID is the tenant whose sign-in reaches this one; empty: its own.
	HomeTenantID alert.TenantID
	Tag          string // empty: the input's own

	PollInterval   time.Duration
	Lookback       time.Duration
	Overlap        time.Duration
	SweepInterval  time.Duration // 0: no sweeps, as with SweepLookback
	SweepLookback  time.Duration
	HealthInterval time.Duration // 0: no health records

	Reader     defender.Reader
	Identifier *alert.Identifier
	Encoder    *record.Encoder
	Limiter    *defender.Limiter // nil for none
	Skew       *Skew             // the clock of the API's host, as Reader sees it; nil: our clock is right
	// SignIn gets an access token, so that a refusal is found before anything is read.
	SignIn func(context.Context) error
	// Counters count what the unit does; nil if nobody else reads them. The requests of
	// Reader are counted by the caller.
	Counters *measure.Counters
	// SharedBy returns how many units share the limiter at this moment; nil for this one
	// alone.
	SharedBy func() int
	// Account returns who signed in, for a line in the log; nil if that is not known.
	Account func(context.Context) string
	// Relationship returns what is known of the delegated administration (GDAP) by which
	// the tenant is reached; nil for a tenant that is not reached that way.
	Relationship func() Relationship
	// Changed reports, at little cost, whether something has changed since the last
	// failure that makes another attempt worthwhile before its time: a secret file, a
	// stored token. nil for never.
	Changed func(context.Context) bool
}

// Relationship is what is known of the delegated administration (GDAP) of a customer.
type Relationship struct {
	// Ends is when it ends; zero if that is not known.
	Ends time.Time
	// Trouble is what is wrong with it; the unit shows it while its polls succeed.
	Trouble health.Trouble
}

// relationship returns what is known of the relationship with the unit's customer.
func (c *UnitConfig) relationship() Relationship {
	if c.Relationship == nil {
		return Relationship{}
	}

	return c.Relationship()
}

// Unit is one API of one tenant, with all that several goroutines share of it. A poller
// polls it, the committer writes its progress to the store, and the outbox reports to it
// which of its events are delivered or rejected.
type Unit struct {
	cfg UnitConfig
	in  *Input
	log *slog.Logger

	progress *progress.Progress
	stream   *delivery.Stream
	status   board
	rejected rejected
	parked   *parked // nil while nothing of the unit is parked

	alarm  alarm       // ends the rest between two polls
	rewind atomic.Bool // the store holds an operator's request to go back

	reported atomic.Uint64 // the mark of the status that was last written

	leaving   leaving     // how the unit ends between two polls
	abandoned atomic.Bool // another node has it: nothing is delivered or committed any more

	// turn is the moment in an interval at which the unit is polled, from 0 to 1: see
	// nextTurn.
	turn float64

	ctx         context.Context // ends when the unit retires or the input stops; nil before the start
	cancel      context.CancelFunc
	ended       atomic.Bool     // the poller has ended
	gone        chan struct{}   // see whenGone; nil while nobody waits for it; guarded by Input.mu
	onGone      []func()        // called when everything of a retired unit is committed; guarded by Input.mu
	predecessor <-chan struct{} // gone of a retired unit with the same key, nil if there is none
}

// newUnit returns a unit that is not started.
func newUnit(in *Input, cfg UnitConfig) *Unit {
	if cfg.Counters == nil {
		cfg.Counters = new(measure.Counters)
	}

	u := &Unit{
		cfg: cfg,
		in:  in,
		log: logs.Tenant(in.cfg.Log, cfg.Name),
		progress: progress.New(progress.Reach{
			Overlap:       cfg.Overlap,
			SweepInterval: cfg.SweepInterval,
			SweepLookback: cfg.SweepLookback,
		}, in.cfg.Seen),
	}
	u.stream = delivery.NewStream(cfg.Tag, streamOwner{u})
	u.rejected = rejected{u: u, fault: faultLog{every: reminder}, recovered: faultLog{every: reminder}}
	u.status.begin(cfg, u.now)

	return u
}

// now returns the time by the clock of the input.
func (u *Unit) now() time.Time { return u.in.cfg.Now() }

// streamOwner is the delivery.Owner of a unit's stream.
type streamOwner struct{ u *Unit }

// Delivered implements delivery.Owner.
func (o streamOwner) Delivered(upTo uint64) {
	o.u.progress.Delivered(upTo)
	o.u.in.wakeCommitter()
}

// Rejected implements delivery.Owner.
func (o streamOwner) Rejected(event *delivery.Batch) { o.u.rejected.add(event) }

// start begins to poll after this wait. The checkpoint is restored then, too, since ten
// thousand units that restore theirs at once would need much memory for a moment.
func (u *Unit) start(wait time.Duration) {
	if u.ctx == nil {
		u.makeContext()
	}

	u.in.wg.Add(1) // until the poller has ended
	u.alarm.rest(wait, newPoller(u, u.now().Add(wait)).next)
}

// makeContext makes the context of a unit that is about to start. When it ends, a unit
// that rests has to be woken to notice it: cancel does that, and so does Stop.
func (u *Unit) makeContext() {
	ctx, cancel := context.WithCancel(u.in.ctx)
	u.ctx = ctx
	u.cancel = func() {
		cancel()
		u.Wake()
	}
}

// whenGone returns a channel that is closed when everything of the unit, which is to
// retire, is committed. Input.mu must be held.
func (u *Unit) whenGone() <-chan struct{} {
	if u.gone == nil {
		u.gone = make(chan struct{})
	}

	return u.gone
}

// Wake makes the unit poll now.
func (u *Unit) Wake() { u.alarm.wake() }

// running reports whether the unit was started and is not to end.
func (u *Unit) running() bool { return u.cancel != nil && u.ctx.Err() == nil }

// retired reports whether the unit was started and has ended.
func (u *Unit) retired() bool { return u.ctx != nil && u.ctx.Err() != nil && u.ended.Load() }

// allCommitted reports whether everything that the unit has read is delivered and in the
// store. Only the committer calls it.
func (u *Unit) allCommitted() bool {
	if u.abandoned.Load() {
		return u.rejected.idle()
	}

	_, _, due := u.due()

	return !due && u.rejected.idle() && u.progress.Committed(u.in.outbox.Added(u.stream))
}

// due returns the commit of what was delivered and is not in the store yet; ok is false
// if there is nothing to commit. When the commit is in the store, the caller calls
// committed. Only the committer calls due.
func (u *Unit) due() (c store.Commit, committed func(), ok bool) {
	step, due := u.progress.Due()

	deferred, dropped := u.parked.due(u.progress.DeliveredUpTo())
	if !due && len(deferred) == 0 && len(dropped) == 0 {
		return c, nil, false // as for most units at most times: nothing is allocated
	}

	c, committed = u.commitOf(step, deferred, dropped)

	return c, committed, true
}

// commitOf returns the commit of a step, of the batches to park and of the entries to
// drop.
func (u *Unit) commitOf(
	step progress.Step, deferred []store.Deferred, dropped []int64,
) (c store.Commit, committed func()) {
	c = store.Commit{
		Key:        u.cfg.Key,
		Checkpoint: store.Checkpoint(step.Checkpoint),
		Seen:       make([]store.Seen, len(step.Seen)),
		Deferred:   deferred,
		Dropped:    dropped,
	}

	for i, s := range step.Seen {
		c.Seen[i] = store.Seen(s)
	}

	return c, func() {
		u.progress.Commit(step)
		u.parked.committed(len(dropped))
	}
}
