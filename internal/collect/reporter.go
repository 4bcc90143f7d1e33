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
	// flowsFor is how long alerts have to be accepted again before that is logged: if a
	// disk is nearly full, one is accepted now and then.
	flowsFor = 30 * time.Second
)

// reporter runs every few seconds. It writes the statuses of all units that have changed,
// in one transaction, and looks whether an operator asks for a rewind.
func (in *Input) reporter(ctx context.Context) {
	for {
		in.askForRewinds(ctx)
		in.upkeep(ctx, false)

		for _, u := range in.all() {
			u.checkPace()
		}

		in.logBlocked()
		in.firstPolls.report()

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

// report writes the statuses that have changed since they were last written, of the units
// that are restored. One status is written in any case, which shows that all others are
// still true: see store.Freshen. So is that of each unit that has stopped, since Freshen
// leaves these out.
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

// reportRetired writes the last status of the units that are removed next, unless there
// is another unit with the same key. Only the committer calls it.
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

// upkeep calls Config.Upkeep.
func (in *Input) upkeep(ctx context.Context, ending bool) {
	if in.cfg.Upkeep != nil {
		in.cfg.Upkeep(ctx, ending)
	}
}

// SetNotice sets what is wrong with the input as a whole, which every unit's status
// shows; nil means that nothing is wrong.
func (in *Input) SetNotice(trouble *health.Trouble) { in.notice.Store(trouble) }
