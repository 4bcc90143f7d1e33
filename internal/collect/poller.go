package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// poller polls one unit. One goroutine at a time works on it, and none while the unit
// rests. Everything in it but the unit belongs to that goroutine.
type poller struct {
	*Unit

	next  func()         // goes on with the unit after a rest
	ready bool           // the checkpoint is restored, and what was parked is queued
	due   time.Time      // when the next poll is due, or when the one under way was
	pass  *progress.Pass // the pass under way, nil between two
	place *place

	queued uint64 // number of the newest event in the outbox
	event  []byte // the buffer of the event under way

	greeted      bool   // the first poll that was read to its end has been told
	alerts       uint64 // that polls have queued
	movedFurther bool   // the last poll has read something new
	failures     int    // polls failed in a row since one has read something new
	verdict      verdict

	panicked *panicked // nil before the first one

	windows  []deferredWindow
	toReturn []store.Deferred // entries of the store that were parked
	health   healthRecords

	// What was logged already.
	failure    notice
	overBudget notice
	noRewind   notice
	rawRow     notice
	foreignRow notice
}

// newPoller returns the poller of a unit whose first poll is due at a time.
func newPoller(u *Unit, due time.Time) *poller {
	p := &poller{
		Unit:    u,
		due:     due,
		place:   newPlace(u.in.places),
		failure: notice{every: reminder},
	}
	p.next = func() { u.in.workers.do(p.goOn) }

	return p
}

// goOn is called by a worker. It does what is due, and lets the unit rest then, or end.
func (p *poller) goOn() {
	rest := time.Duration(0)

	if p.awaitPredecessor() && !contained(p.ctx, p.log, func(ctx context.Context) { rest = p.runOrBreak(ctx) }) {
		rest = p.restAfterPanic()
	}

	if p.ctx.Err() != nil {
		p.ended.Store(true)
		p.in.wakeCommitter()
		p.in.wg.Done()

		return
	}

	p.alarm.rest(rest, p.next)
}

// awaitPredecessor waits until a retired unit with the same key is gone. It reports false
// when the unit is to end before.
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

// restAfterPanic returns how long the unit rests after a panic: longer each time, unless
// it has worked for a long time.
func (p *poller) restAfterPanic() time.Duration {
	now := p.now()
	if p.panicked == nil || now.Sub(p.panicked.at) > 2*longestPause {
		p.panicked = new(panicked)
	}

	p.panicked.at = now
	p.panicked.rest = min(max(time.Second, 2*p.panicked.rest), longestPause)

	return p.panicked.rest
}

// panicked is when a poller last broke, and how long it rested then.
type panicked struct {
	at   time.Time
	rest time.Duration
}

// runOrBreak is run. After a panic in it, which goes on to the caller, the unit shows as
// failing.
func (p *poller) runOrBreak(ctx context.Context) time.Duration {
	ended := false
	defer func() {
		if !ended {
			p.broken()
		}
	}()

	rest := p.run(ctx)
	ended = true

	return rest
}

// run polls as long as a poll is due, and returns how long the unit is to rest then. It
// also returns when ctx ends.
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

// restore reads the checkpoint, or begins at the floor, and continues the deferred work.
// The store is asked again until it answers: beginning anew would repeat everything. It
// reports false when ctx ended before.
func (p *poller) restore(ctx context.Context) bool {
	if p.progress.Begun() {
		return true // a panic brought us here again
	}

	fault := notice{every: reminder}

	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		err := p.tryRestore(ctx)
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		}

		p.status.fail(storeTrouble(err), p.now(), nil)
		p.log.Log(ctx, fault.level(p.now(), slog.LevelError),
			"the checkpoint cannot be read, polling waits for it: "+err.Error())

		if pause.For(ctx, wait) != nil {
			return false
		}
	}
}

// tryRestore is restore, tried once.
func (p *poller) tryRestore(ctx context.Context) error {
	cp, seen, found, err := p.in.cfg.Store.Load(ctx, p.cfg.Key)
	if err != nil {
		return err
	}

	deferred, err := p.in.cfg.Store.ListDeferred(ctx, p.cfg.Key)
	if err != nil {
		return err
	}

	p.recall(ctx) // before progress has begun: the reporter would overwrite it

	if found {
		entries := make([]progress.Seen, len(seen))
		for i, s := range seen {
			entries[i] = progress.Seen(s)
		}

		p.progress.Resume(progress.Checkpoint(cp), entries)
		p.log.Debug("goes on from " + cp.Watermark.String())
	} else {
		p.progress.Start(tick.FromTime(p.now().Add(-p.cfg.Lookback)), cp.Replay)
		p.in.wakeCommitter()
	}

	p.continueDeferred(deferred)

	return nil
}

// continueDeferred goes on with the work that an earlier run deferred.
func (p *poller) continueDeferred(list []store.Deferred) {
	var events []store.Deferred

	for _, d := range list {
		switch d.Kind {
		case store.UnreadableWindow:
			p.continueWindow(d)
		case store.RejectedEvent:
			events = append(events, d)
		case store.ParkedBatch:
			p.toReturn = append(p.toReturn, d)
		}
	}

	p.rejected.continueAll(events)
}

// recall goes on showing when alerts last came, and what changed in the last day. What is
// counted is counted from the start of the input.
func (p *poller) recall(ctx context.Context) {
	before, _, err := p.in.cfg.Store.Status(ctx, p.cfg.Key)
	if err != nil {
		p.log.Debug("the status of the last run cannot be read: " + err.Error())
	}

	p.status.recall(before)
}

// returnParked puts what an earlier run parked into the outbox, before anything is read.
// It reports false when ctx ended before.
func (p *poller) returnParked(ctx context.Context) bool {
	for ; len(p.toReturn) > 0; p.toReturn = p.toReturn[1:] {
		id := p.toReturn[0].ID

		events, ok := p.parkedEvents(ctx, id)
		if !ok {
			return false
		}

		if p.toReturn[0].Replay {
			events = record.MarkReplays(events)
		}

		if len(events) > 0 {
			n, err := p.in.outbox.AddBatch(ctx, p.stream, events)
			if err != nil {
				return false
			}

			p.queued = n
		}

		p.in.commit.Lock()
		p.parkedWork().queuedAgain(p.queued, id)
		p.in.commit.Unlock()
	}

	return true
}

// parkedEvents reads an entry of the store, which is asked until it answers.
func (p *poller) parkedEvents(ctx context.Context, id int64) (events []byte, ok bool) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		events, _, err := p.in.cfg.Store.DeferredEvents(ctx, p.cfg.Key, id)
		if err == nil {
			return events, true
		}

		p.log.Debug(fmt.Sprintf("a parked batch cannot be read from the store yet: %v", err))

		if pause.For(ctx, wait) != nil {
			return nil, false
		}
	}
}

// poll makes one pass, or goes on with one that failed.
func (p *poller) poll(ctx context.Context) error {
	p.movedFurther = false

	// A sign-in that many tenants share lets a few of them redeem each second. The others
	// wait for that without a place: else those that are through find none.
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

	p.in.starts.Began(p.now().Sub(p.due)) // a poll that was woken is early

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
		p.place.left = waitWithPlace
	}

	return err
}

// enter waits for a place, with which reading begins. end gives it back.
func (p *poller) enter(ctx context.Context) (end func(), err error) {
	now := p.now()
	p.status.setPace(func(x *pace) { x.moved, x.place, x.room = now, false, false })

	endPace := func() { p.status.setPace(func(x *pace) { x.moved = time.Time{} }) }
	watermark, _ := p.progress.Watermark()

	if err := p.place.take(ctx, watermark); err != nil {
		endPace()
		return nil, err
	}

	p.status.setPace(func(x *pace) { x.place = true })

	return func() {
		p.place.end()
		endPace()
	}, nil
}

// read makes the pass with which a poll begins or goes on.
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

	// A reader that has to cut the window ends it at Now. When the server's clock is
	// ahead it counts there: what is updated by that clock now would otherwise be read
	// later.
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

// applyRewind goes back to where an operator wants it, between two polls, so that none
// moves on from the old place.
func (p *poller) applyRewind(ctx context.Context) {
	if !p.rewind.Load() {
		return
	}

	cp, found, err := p.goBack(ctx)
	if err != nil { // tried again before the next poll
		if p.noRewind.due(p.now()) {
			p.log.Error("the rewind that was asked for cannot be done yet: " + err.Error())
		}

		return
	}

	p.rewind.Store(false)
	p.noRewind.over()

	if found {
		p.pass = nil
		p.log.Info("rewound: everything updated since " + cp.Watermark.String() + " is emitted again")
	}
}

// goBack takes the unit back in the store and here, between two commits, so that none
// moves on from the old place.
func (p *poller) goBack(ctx context.Context) (cp store.Checkpoint, found bool, err error) {
	// A unit without a checkpoint in the store could not go back, and the request would
	// be lost.
	if err := p.in.save(ctx); err != nil {
		return cp, false, err
	}

	p.in.commit.Lock()
	defer p.in.commit.Unlock()

	cp, found, err = p.in.cfg.Store.ApplyRewind(ctx, p.cfg.Key)
	if found {
		p.progress.Rewind(progress.Checkpoint(cp))
	}

	return cp, found, err
}

// lowerFloor moves the floor of a unit that has read nothing yet when the server's clock
// turns out to be behind ours: lookback is meant in the server's time. It reports whether
// it did.
func (p *poller) lowerFloor() bool {
	skew := tick.FromDuration(min(0, p.cfg.Skew.ahead()))
	if skew > -2*tick.Second {
		return false // a Date header has a resolution of a second, and an answer takes time
	}

	return p.progress.Lower(p.cfg.Skew.present(p.now()) - tick.FromDuration(p.cfg.Lookback))
}
