package collect

import (
	"context"
	"errors"
	"time"

	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// poller polls one unit. One goroutine at a time works on it, and none while the unit
// rests. Everything in it but the unit belongs to that goroutine.
type poller struct {
	*Unit

	next  func()         // goes on with the unit after a rest: see goOn
	ready bool           // the checkpoint is restored, and what was parked is queued
	due   time.Time      // when the next poll is due, or when the one under way was
	pass  *progress.Pass // the pass under way, nil between two
	place *place

	queued uint64 // number of the newest event in the outbox
	event  []byte // the buffer of the event under way

	firstPollLogged bool   // the first poll that was read to its end was logged
	alerts          uint64 // alerts that were queued
	movedFurther    bool   // the last poll has read something new
	failures        int    // polls that failed one after the other without reading anything new
	verdict         verdict

	panicked *panicked // nil before the first one

	windows  []deferredWindow
	toReturn []store.Deferred // parked batches in the store that are not in the outbox yet
	health   healthRecords

	// Faults that are not logged each time.

	failure    faultLog
	overBudget faultLog
	noRewind   faultLog
	rawRow     faultLog
	foreignRow faultLog
}

// newPoller returns the poller of a unit. due is when the first poll is due.
func newPoller(u *Unit, due time.Time) *poller {
	p := &poller{
		Unit:    u,
		due:     due,
		place:   newPlace(u.in.places),
		failure: faultLog{every: reminder},
	}
	p.next = func() { u.in.workers.do(p.goOn) }

	return p
}

// goOn is called by a worker. It does what is due. Then it lets the unit rest, or ends
// it.
func (p *poller) goOn() {
	rest := time.Duration(0)

	work := func(ctx context.Context) { rest = p.runShowingPanics(ctx) }

	if p.awaitPredecessor() && !endsWithoutPanic(p.ctx, p.log, work) {
		rest = p.restAfterPanic()
	}

	if p.ctx.Err() != nil {
		p.in.storeFaults.over(p.Unit)
		p.ended.Store(true)
		p.in.wakeCommitter()
		p.in.wg.Done()

		return
	}

	p.alarm.rest(rest, p.next)
}

// awaitPredecessor waits until a retired unit with the same key is gone. It returns false
// if the unit ends before.
func (p *poller) awaitPredecessor() bool {
	if p.predecessor == nil {
		return true
	}

	select {
	case <-p.predecessor:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// run makes polls as long as one is due, and returns how long the unit is to rest then.
// It also returns when ctx ends.
func (p *poller) run(ctx context.Context) (rest time.Duration) {
	if !p.ready {
		if !p.restore(ctx) || !p.returnParked(ctx) {
			return 0
		}

		p.ready = true
	}

	for rested := true; ctx.Err() == nil; rested = false {
		if rest = p.toRest(ctx, rested); rest > 0 {
			return rest
		}

		if !p.in.trusted() {
			return trustCheck
		}

		p.pollOnce(ctx)
	}

	return 0
}

// pollOnce makes one poll, with what comes before and after it.
func (p *poller) pollOnce(ctx context.Context) {
	if !p.leaving.begin() {
		return // ctx has ended
	}

	p.applyRewind(ctx)
	started := p.now()

	err := p.poll(ctx)
	p.leaving.done()

	if ctx.Err() != nil || errors.Is(err, errUntrusted) {
		return // without trust nothing has failed: the poll goes on when the lease does
	}

	p.cfg.Counters.Poll(p.now().Sub(started))

	p.due = p.judge(ctx, started, err)
	if err == nil {
		p.retryWindows(ctx)
	}
}

// poll makes one pass, or goes on with one that failed.
func (p *poller) poll(ctx context.Context) error {
	p.movedFurther = false

	// A sign-in that many tenants share lets only a few of them redeem each second. The
	// others wait for that without a place, so that those that have redeemed find one.
	if p.cfg.HomeTenantID != "" {
		if err := p.cfg.SignIn(ctx); err != nil {
			return err
		}
	}

	end, err := p.enter(ctx)
	if err != nil {
		return err
	}
	defer end()

	p.in.starts.Began(p.now().Sub(p.due)) // negative if the unit was woken before its time

	s := &sink{p: p, first: true}
	s.ctx = defender.WithWaiting(ctx, s.wait)

	done := s.wait()
	err = p.cfg.SignIn(ctx)

	done()

	if err != nil {
		return err
	}

	err = p.read(s)
	if errors.Is(err, errFloorLowered) {
		err = p.read(s)
	}

	s.logLateness()
	s.logDeferred()

	if err == nil {
		p.place.waitLeft = waitWithPlace
	}

	return err
}

// enter waits for a place to read with. end gives it back.
func (p *poller) enter(ctx context.Context) (end func(), err error) {
	now := p.now()
	p.status.setPace(func(x *pace) { x.movedAt, x.hasPlace, x.waitsForRoom = now, false, false })

	endPace := func() { p.status.setPace(func(x *pace) { x.movedAt = time.Time{} }) }
	watermark, _ := p.progress.Watermark()

	if err := p.place.take(ctx, watermark); err != nil {
		endPace()
		return nil, err
	}

	p.status.setPace(func(x *pace) { x.hasPlace = true })

	return func() {
		p.place.end()
		endPace()
	}, nil
}

// read begins the pass of a poll, or goes on with one that failed, and reads it to its
// end.
func (p *poller) read(s *sink) error {
	if p.pass == nil || p.pass.Position == p.pass.From {
		start := p.now()
		p.pass = p.progress.NextPass(start, p.cfg.Skew.present(start))
		p.status.setForeign("")
	}

	pass := p.pass
	s.pass = pass
	s.floor, s.since = p.progress.Bounds()
	present := p.cfg.Skew.present(pass.Started)

	// A reader that has to cut the window ends it at Now. If the server's clock is ahead
	// of ours, Now is by that clock: otherwise the newest alerts would be read later.
	end := tick.FromTime(pass.Started) + tick.FromDuration(p.cfg.Skew.ahead())
	if err := p.cfg.Reader.Read(s.ctx, defender.Window{From: pass.Position, Now: end}, s); err != nil {
		return err
	}

	if err := s.endLowered(); err != nil {
		return err
	}

	// The answers may have shown that the server's clock is behind.
	present = min(present, p.cfg.Skew.present(pass.Started))

	swept := tick.Tick(0)
	if pass.Sweep || pass.ReadMark == s.floor {
		swept = present
	}

	p.progress.ReadWhole(present, p.queued, swept)
	p.pass = nil
	p.in.wakeCommitter()

	return nil
}
