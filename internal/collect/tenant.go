package collect

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// TenantConfig is what a tenant is polled by. Fields without a remark are required.
type TenantConfig struct {
	Key      store.FeedKey
	Name     string // label for people
	ClientID string
	Tag      string // empty: the input's own

	PollInterval, Lookback, Overlap time.Duration
	SweepInterval, SweepLookback    time.Duration // 0 switches sweeps off
	HealthInterval                  time.Duration // 0: no health records

	Reader     defender.Reader
	Identifier *alert.Identifier
	Encoder    *record.Encoder
	Limiter    *defender.Limiter // nil for none
	Skew       *Skew             // the clock of the API's host, as Reader sees it; nil to trust ours
	// SignIn gets an access token, so that a refusal is found before anything is read.
	SignIn func(context.Context) error
	// Feeds tells how many feeds share the limiter at this moment; nil for this one alone.
	Feeds func() int
	// Changed tells, at little cost, whether something has changed since the last
	// failure that makes another try worthwhile before its time: a secret file, a
	// stored token. nil for never.
	Changed func(context.Context) bool
}

// Tenant polls one API of one tenant and puts what is new into the outbox.
type Tenant struct {
	cfg TenantConfig
	in  *Input
	// progress is how far the unit has come; stream is the way of its events through the
	// outbox.
	progress *progress.Progress
	stream   *delivery.Stream
	wake     chan struct{}
	// ctx ends when the tenant retires or the input stops; done is closed when its
	// goroutine has ended; after is closed when the tenant that had this feed before is
	// out of the way, nil if there was none.
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	gone    chan struct{} // closed when everything of a retired tenant is written down
	onGone  func()        // called then; guarded by Input.mu
	after   <-chan struct{}
	refused refusals
	// rewind says that the store holds an operator's wish to have alerts emitted again.
	rewind atomic.Bool

	// phase is when the second poll is due, counted from the start of the input; 0 for
	// an interval after the first one.
	phase time.Duration

	// What follows belongs to the goroutine of run.
	pass        *progress.Pass
	rewindFails bool
	added       uint64 // newest event in the outbox
	event       []byte // scratch
	slot        *slot  // the place of the poll under way
	waitLeft    time.Duration
	progressed  bool // the last poll read something new
	oddRows     bool // a row that could not be encoded was reported
	alienSaid   bool // likewise a row of another tenant
	postponed   bool // likewise that the call budget is used up, since the last poll that was read to its end
	failures    int  // polls failed in a row since one has read something new
	verdict     verdict
	asides      []asideWindow
	toTakeBack  []int64 // entries of the store, see takeBack
	reminded    time.Time
	healthAt    time.Time // when the next health record is due; zero at the beginning
	healthSaid  bool      // there was one

	mu     sync.Mutex
	status store.Status
	// parked is what waits to be parked with the next commit; returned what was parked at
	// the end of an earlier run and is in the outbox again, ascending by number.
	parked   []store.Deferred
	returned []parkedEntry
	alien    alert.TenantID // another tenant's id found in a row of this pass
	pace     pace
}

// configure is called once, before run.
func (t *Tenant) configure(cfg TenantConfig) {
	t.cfg = cfg
	t.stream = delivery.NewStream(cfg.Tag, streamOwner{t})
	t.refused.t = t
	t.waitLeft = waitWithPlace
	t.progress = progress.New(progress.Reach{
		Overlap:       cfg.Overlap,
		SweepInterval: cfg.SweepInterval,
		SweepLookback: cfg.SweepLookback,
	}, t.in.cfg.Seen)
	t.status = store.Status{
		TenantName:        cfg.Name,
		ClientID:          cfg.ClientID,
		State:             health.Starting,
		Since:             t.now(),
		EffectiveInterval: cfg.PollInterval,
	}
}

// streamOwner is told by the outbox what becomes of the tenant's events.
type streamOwner struct{ t *Tenant }

// Delivered implements delivery.Owner.
func (o streamOwner) Delivered(upTo uint64) {
	o.t.progress.Delivered(upTo)
	o.t.in.dirty()
}

// Rejected implements delivery.Owner.
func (o streamOwner) Rejected(event *delivery.Batch) { o.t.refused.keep(event) }

func (t *Tenant) now() time.Time { return t.in.cfg.Now() }

// run polls until ctx ends. wait is when the first poll is due.
func (t *Tenant) run(ctx context.Context, wait time.Duration) {
	begun := t.now()
	if !t.restore(ctx) || !t.takeBack(ctx) || !sleep(ctx, wait) {
		return
	}

	for first := true; ctx.Err() == nil; first = false {
		t.applyRewind(ctx)
		started := t.now()

		err := t.poll(ctx)
		if ctx.Err() != nil {
			return
		}

		due := t.judge(ctx, started, err)
		if phase := begun.Add(
			t.phase,
		); first && err == nil && phase.After(started.Add(time.Second)) &&
			phase.Before(due) {
			due = phase // from now on the tenants' polls are spread over the interval
		}

		if err == nil {
			t.retryAsides(ctx)
		}

		if !t.rest(ctx, due) {
			return
		}
	}
}

// restore reads the checkpoint, or begins at the floor, and takes up what was set
// aside. The store is asked again until it answers: beginning anew would repeat
// everything.
func (t *Tenant) restore(ctx context.Context) bool {
	if t.progress.Begun() {
		return true // a panic brought us here again
	}

	var said time.Time

	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		cp, seen, ok, err := t.in.cfg.Store.Load(ctx, t.cfg.Key)

		var asides []store.Deferred
		if err == nil {
			asides, err = t.in.cfg.Store.ListDeferred(ctx, t.cfg.Key)
		}

		switch {
		case err == nil:
			t.recall(ctx) // before the feed has begun: report would write over it

			if ok {
				t.progress.Resume(progress.Checkpoint(cp), entries(seen))
				t.in.log(Debug, t.cfg.Name, "goes on from "+cp.Watermark.String())
			} else {
				t.progress.Start(tick.FromTime(t.now().Add(-t.cfg.Lookback)))
				t.in.dirty()
			}

			t.takeUpWindows(asides)
			t.refused.takeUp(asides)
			t.toTakeBack = parkedIDs(asides)

			return true
		case ctx.Err() != nil:
			return false
		}

		level := Debug
		if now := t.now(); said.IsZero() || now.Sub(said) >= reminder {
			said, level = now, Error
		}

		t.in.log(level, t.cfg.Name, "the checkpoint cannot be read, polling waits for it: "+err.Error())

		if !sleep(ctx, pause) {
			return false
		}
	}
}

// entries converts what the store kept of a seen-set.
func entries(seen []store.Seen) []progress.Seen {
	list := make([]progress.Seen, len(seen))
	for i, s := range seen {
		list[i] = progress.Seen(s)
	}

	return list
}

// recall goes on showing when alerts last came. What is counted is counted from the
// start.
func (t *Tenant) recall(ctx context.Context) {
	before, _, err := t.in.cfg.Store.Status(ctx, t.cfg.Key)
	if err != nil {
		t.in.log(Debug, t.cfg.Name, "the status of the last run cannot be read: "+err.Error())
	}

	t.update(func(s *store.Status) { s.LastSuccess, s.LastAlert = before.LastSuccess, before.LastAlert })
}

// poll makes one pass, or goes on with one that failed.
func (t *Tenant) poll(ctx context.Context) error {
	end, err := t.enter(ctx)
	if err != nil {
		return err
	}
	defer end()

	t.progressed = false
	s := &sink{t: t, first: true}
	s.ctx = defender.WithWaiting(ctx, s.wait)

	done := s.wait()
	err = t.cfg.SignIn(ctx)

	done()

	if err != nil {
		return err
	}

	err = t.read(s)
	if errors.Is(err, errFloorLowered) {
		err = t.read(s)
	}

	s.sayLate()
	s.sayAside()

	if err == nil {
		t.slot.left = waitWithPlace
	}

	return err
}

// enter begins to read: it waits for a place. end gives it back.
func (t *Tenant) enter(ctx context.Context) (end func(), err error) {
	t.beginPace()

	slot, err := t.in.slot(ctx, t.waitLeft)
	if err != nil {
		t.endPace()
		return nil, err
	}

	t.slot = slot
	t.hasPlace()

	return func() {
		slot.release()
		t.waitLeft, t.slot = slot.left, nil
		t.endPace()
	}, nil
}

// read makes the pass with which a poll begins or goes on.
func (t *Tenant) read(s *sink) error {
	if t.pass == nil || t.pass.Position == t.pass.From {
		start := t.now()
		t.pass = t.progress.NextPass(start, t.present(start))
		t.mu.Lock()
		t.alien = ""
		t.mu.Unlock()
	}

	p := t.pass
	s.pass = p
	s.floor, s.since = t.progress.Bounds()
	present := t.present(p.Started)

	// A reader that has to cut the window ends it at Now: there the server's clock
	// counts when it is ahead, or what is updated by it now would be read later.
	end := tick.FromTime(p.Started) + tick.FromDuration(t.cfg.Skew.ahead())
	if err := t.cfg.Reader.Read(s.ctx, defender.Window{From: p.Position, Now: end}, s); err != nil {
		return err
	}

	if err := s.checkFloor(); err != nil { // an answer without a row has shown the clock too
		return err
	}

	present = min(present, t.present(p.Started)) // the answers may have shown that the server's clock is behind

	swept := tick.Tick(0)
	if p.Sweep || p.ReadMark == s.floor {
		swept = present
	}

	t.progress.Read(present, t.added, swept)
	t.pass = nil
	t.in.dirty()

	return nil
}

// applyRewind goes back to where an operator wants it: between two polls, so that none
// moves on from the old place.
func (t *Tenant) applyRewind(ctx context.Context) {
	if !t.rewind.Load() {
		return
	}

	cp, ok, err := t.goBack(ctx)
	switch {
	case err != nil: // tried again before the next poll
		if t.rewindFails {
			return
		}

		t.rewindFails = true
		t.in.log(Error, t.cfg.Name, "the rewind that was asked for cannot be done yet: "+err.Error())
	case ok:
		t.rewindFails = false
		t.rewind.Store(false)
		t.pass = nil
		t.in.log(Info, t.cfg.Name, "rewound: everything updated since "+cp.Watermark.String()+" is emitted again")
	default:
		t.rewind.Store(false)
	}
}

// goBack takes the feed back in the store and here, between two commits, so that none
// moves on from the old place.
func (t *Tenant) goBack(ctx context.Context) (cp store.Checkpoint, ok bool, err error) {
	if err := t.in.save(
		ctx,
	); err != nil { // a feed without a checkpoint in the store could not go back, and the wish would be gone
		return cp, false, err
	}

	t.in.commit.Lock()
	defer t.in.commit.Unlock()

	if cp, ok, err = t.in.cfg.Store.ApplyRewind(ctx, t.cfg.Key); ok {
		t.progress.Rewind(progress.Checkpoint(cp))
	}

	return cp, ok, err
}

// lowerFloor moves the floor of a feed that has read nothing yet when the server's
// clock turns out to be behind ours: lookback is meant in the server's time. It reports
// whether it did.
func (t *Tenant) lowerFloor() bool {
	skew := tick.FromDuration(min(0, t.cfg.Skew.ahead()))
	if skew > -2*tick.Second {
		return false // less than the resolution of a Date header, and the way there, is no skew
	}

	return t.progress.Lower(t.present(t.now()) - tick.FromDuration(t.cfg.Lookback))
}
