package collect

import (
	"context"
	"fmt"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/store"
)

// applyRewind takes the unit back to where an operator wants it. It is called between two
// polls, so that no poll moves on from the old place.
func (p *poller) applyRewind(ctx context.Context) {
	if !p.rewind.Load() {
		return
	}

	cp, found, err := p.goBack(ctx)
	if err != nil { // tried again before the next poll
		if p.noRewind.due(p.now()) {
			p.log.Error("the rewind cannot be done yet, it is tried again: " + err.Error())
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

// goBack takes the unit back in the store and in memory, between two commits, so that no
// commit moves on from the old place.
func (p *poller) goBack(ctx context.Context) (cp store.Checkpoint, found bool, err error) {
	// A unit without a checkpoint in the store could not go back, and the request would
	// be lost.
	if err := p.in.commitDelivered(ctx); err != nil {
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

// askForRewinds reads from the store which units an operator wants to take back with
// `defenderctl rewind`, and wakes these.
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
