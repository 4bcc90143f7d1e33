package collect

import (
	"context"
	"log/slog"
	"time"

	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// restore reads the checkpoint, or begins at the floor, and continues the deferred
// work. It tries again until the store answers: to begin at the floor would repeat
// everything. It returns false if ctx ended before.
func (p *poller) restore(ctx context.Context) bool {
	if p.progress.Begun() {
		return true // this is the second call, after a panic
	}

	fault := faultLog{every: reminder}

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

// tryRestore tries once to restore the unit.
func (p *poller) tryRestore(ctx context.Context) error {
	cp, seen, found, err := p.in.cfg.Store.Load(ctx, p.cfg.Key)
	if err != nil {
		return err
	}

	deferred, err := p.in.cfg.Store.ListDeferred(ctx, p.cfg.Key)
	if err != nil {
		return err
	}

	p.restoreStatus(ctx) // before progress has begun: then the reporter overwrites it

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

// restoreStatus takes over from the last run when alerts last came, and what changed in
// the last day. Counters begin at 0 with each start of the input.
func (p *poller) restoreStatus(ctx context.Context) {
	before, _, err := p.in.cfg.Store.Status(ctx, p.cfg.Key)
	if err != nil {
		p.log.Debug("the status of the last run cannot be read: " + err.Error())
	}

	p.status.restore(before)
}
