package collect

import (
	"context"
	"fmt"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/store"
)

const (
	// reportPause is how often statuses are written.
	reportPause = 5 * time.Second
	// flowsFor is how long alerts have to be accepted again before that is logged: a disk
	// that is nearly full accepts one now and then.
	flowsFor = 30 * time.Second
)

// reporter writes what has changed in the status of all units, in one transaction, and
// looks whether an operator wants something.
func (in *Input) reporter(ctx context.Context) {
	for {
		in.askForRewinds(ctx)
		in.upkeep(ctx, false)

		for _, u := range in.all() {
			u.checkPace()
		}

		in.logBlocked()
		in.greeter.report()

		if err := in.report(ctx); err != nil && ctx.Err() == nil {
			in.log.Debug(fmt.Sprintf("the status cannot be written: %v", err))
			in.storeFailed(ctx, err)
		} else if err == nil {
			in.storeWorks()
		}

		if pause.For(ctx, reportPause) != nil {
			return
		}
	}
}

// report writes the status of the units that have read what the store shows of them, if
// it has changed since it was last written. That of one is written in any case, for
// store.Freshen, and that of units that stop: nobody vouches for these.
func (in *Input) report(ctx context.Context) error {
	list := make(map[alert.UnitKey]store.Status)
	marks := make(map[*Unit]uint64)

	for _, u := range in.all() {
		if !u.progress.Begun() || u.abandoned.Load() {
			continue
		}

		s := u.snapshot()

		mark := u.markOf(&s)
		if mark != u.reported.Load() || s.State == health.Stopped || len(list) == 0 {
			list[u.cfg.Key] = s
			marks[u] = mark
		}
	}

	err := in.cfg.Store.SetStatus(ctx, list)
	if _, ok := fenced(err); err != nil && !ok { // else those of all other units are written
		return err
	}

	for u, mark := range marks {
		u.reported.Store(mark)
	}

	return nil
}

// reportRetired writes the last status of units that are let go next, unless another unit
// with the same key takes over. It belongs to the committer.
func (in *Input) reportRetired(ctx context.Context) {
	units := in.all()
	list := make(map[alert.UnitKey]store.Status)

	for _, u := range units {
		if u.retired() && !u.abandoned.Load() && u.progress.Begun() && u.allCommitted() {
			list[u.cfg.Key] = u.snapshot()
		}
	}

	if len(list) == 0 || in.ctx.Err() != nil { // at the end all units are reported
		return
	}

	for _, u := range units {
		if !u.retired() {
			delete(list, u.cfg.Key)
		}
	}

	if err := in.cfg.Store.SetStatus(ctx, list); err != nil {
		in.log.Debug(fmt.Sprintf("the last status of tenants that are not polled any more cannot be written: %v", err))
	}
}

// askForRewinds passes on what `defenderctl rewind` wrote into the store.
func (in *Input) askForRewinds(ctx context.Context) {
	units := in.all()

	keys := make([]alert.UnitKey, len(units))
	for i, u := range units {
		keys[i] = u.cfg.Key
	}

	pending, err := in.cfg.Store.PendingRewind(ctx, keys...)
	if err != nil {
		in.log.Debug(fmt.Sprintf("the store cannot be asked for rewinds: %v", err))
	}

	for _, u := range units {
		if _, ok := pending[u.cfg.Key]; ok && u.rewind.CompareAndSwap(false, true) {
			u.Wake()
		}
	}
}

// upkeep calls what else is to be done now and then.
func (in *Input) upkeep(ctx context.Context, ending bool) {
	if in.cfg.Upkeep != nil {
		in.cfg.Upkeep(ctx, ending)
	}
}

// Blocked reports whether Fluent Bit has taken nothing for some seconds although
// something waits.
func (in *Input) Blocked() bool {
	_, blocked := in.Delivery.Blocked(in.cfg.Now())
	return blocked
}

// logBlocked logs once that Fluent Bit takes nothing, and once that it takes alerts
// again. It belongs to the reporter.
func (in *Input) logBlocked() {
	now := in.cfg.Now()

	why, blocked := in.Delivery.Blocked(now)
	if blocked {
		in.blockedLast = now

		if in.blocked.due(now) {
			in.log.Error(fmt.Sprintf("%s; %s. %d bytes wait for it, and are tried again by themselves "+
				"every few seconds", why.Message, why.Remedy, in.outbox.Bytes()))
		}

		return
	}

	if now.Sub(in.blockedLast) >= flowsFor && in.blocked.over() {
		in.log.Info("Fluent Bit takes alerts again")
	}
}

// storeFailure is a store that cannot be written.
type storeFailure struct {
	since   time.Time
	trouble health.Trouble
}

// storeFailsAfter is how long the store may fail before units show it: a lock that
// another process holds for a moment is no fault.
const storeFailsAfter = 15 * time.Second

// storeFailed notes that a write to the store has failed.
func (in *Input) storeFailed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}

	since := in.cfg.Now()
	if before := in.storeFails.Load(); before != nil {
		since = before.since
	}

	in.storeFails.Store(&storeFailure{since: since, trouble: storeTrouble(err)})
}

// storeWorks notes that a write to the store has succeeded.
func (in *Input) storeWorks() { in.storeFails.Store(nil) }

// showStoreFault makes the status of a unit that does not fail by itself say that the
// store cannot be written: when the process ends, alerts are repeated.
func (in *Input) showStoreFault(s *store.Status) {
	f := in.storeFails.Load()
	if f == nil || !s.State.Good() || s.UpdatedAt.Sub(f.since) < storeFailsAfter {
		return
	}

	s.State, s.Since, s.Trouble = health.Failing, f.since, f.trouble
}

// SetNotice shows, with every unit, what is wrong with the input as a whole; nil for
// nothing.
func (in *Input) SetNotice(trouble *health.Trouble) { in.notice.Store(trouble) }

// showBlocked makes the status of a unit that does not fail by itself say that Fluent Bit
// takes nothing.
func (in *Input) showBlocked(s *store.Status) {
	if !s.State.Good() {
		return
	}

	if why, blocked := in.Delivery.Blocked(s.UpdatedAt); blocked {
		s.State, s.Since, s.Trouble = health.Waiting, why.Since, why.Trouble
	}
}
