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
	// reportPause is how often the status of all units is written. It is never older than
	// 10 s: of more than manyUnits those that are well take turns, a half at a time,
	// after reportPauseMany.
	reportPause     = 5 * time.Second
	reportPauseMany = 4 * time.Second
	manyUnits       = 1000
	// flowsFor is how long alerts have to be accepted again before that is logged: a disk
	// that is nearly full accepts one now and then.
	flowsFor = 30 * time.Second
)

// reporter writes the status of all units, in one transaction, and looks whether an
// operator wants something.
func (in *Input) reporter(ctx context.Context) {
	for turn := 0; ; turn++ {
		in.askForRewinds(ctx)
		in.upkeep(ctx, false)

		units := in.all()
		for _, u := range units {
			u.checkPace()
		}

		parts, wait := 1, reportPause
		if len(units) > manyUnits {
			parts, wait = 2, reportPauseMany
		}

		in.logBlocked()
		in.greeter.report()

		if err := in.report(ctx, turn%parts, parts); err != nil && ctx.Err() == nil {
			in.log.Debug(fmt.Sprintf("the status cannot be written: %v", err))
			in.storeFailed(ctx, err)
		} else if err == nil {
			in.storeWorks()
		}

		if pause.For(ctx, wait) != nil {
			return
		}
	}
}

// report writes the status of the units that have read what the store shows of them: of
// those that are well, and have been for a while, one of several parts.
func (in *Input) report(ctx context.Context, part, parts int) error {
	units := in.all()
	list := make(map[alert.UnitKey]store.Status, len(units)/parts)

	for i, u := range units {
		if !u.progress.Begun() {
			continue
		}

		s := u.snapshot()
		news := !s.State.Good() || s.UpdatedAt.Sub(s.Since) < 2*reportPause

		if news || i%parts == part {
			list[u.cfg.Key] = s
		}
	}

	return in.cfg.Store.SetStatus(ctx, list)
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
