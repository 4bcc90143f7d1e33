package collect

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/store"
)

// Timing of commits. What was delivered since the last one is repeated after a kill;
// docs/contract.md allows five seconds of that.
const (
	commitPause = time.Second
	retryPause  = 2 * time.Second
)

// wakeCommitter says that something may be ready to be committed; it never waits.
func (in *Input) wakeCommitter() {
	select {
	case in.changed <- struct{}{}:
	default:
	}
}

// committer writes progress to the store, at most once in commitPause.
func (in *Input) committer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.changed:
		}

		wait := commitPause
		if err := in.save(ctx); err != nil && ctx.Err() == nil {
			wait = retryPause

			in.wakeCommitter()
		}

		if pause.For(ctx, wait) != nil {
			return
		}
	}
}

// save commits, in one transaction, what was delivered of every unit.
func (in *Input) save(ctx context.Context) error {
	in.commit.Lock()
	defer in.commit.Unlock()

	var (
		commits []store.Commit
		after   []func()
	)

	for _, u := range in.all() {
		if u.abandoned.Load() {
			continue
		}

		if c, committed, ok := u.due(); ok {
			commits, after = append(commits, c), append(after, committed)
		}
	}

	if len(commits) > 0 {
		err := in.cfg.Store.Commit(ctx, commits)
		if keys, ok := fenced(err); ok { // all others are committed
			after = withoutUnits(after, commits, keys)
			err = nil
		}

		if err != nil {
			in.storeFailed(ctx, err)

			if ctx.Err() == nil && in.storeFault.due(in.cfg.Now()) {
				in.log.Error(fmt.Sprintf("progress cannot be written to the store; polling goes on, "+
					"and if the process ends meanwhile alerts are repeated: %v", err))
			}

			return err
		}

		in.storeWorks()

		if in.storeFault.over() {
			in.log.Info("progress can be written to the store again")
		}
	}

	for _, committed := range after {
		committed()
	}

	in.reportRetired(ctx)
	in.removeRetired()

	return nil
}

// withoutUnits returns what follows the commits of all units but some.
func withoutUnits(after []func(), commits []store.Commit, but []alert.UnitKey) []func() {
	var left []func()

	for i, c := range commits {
		if !slices.Contains(but, c.Key) {
			left = append(left, after[i])
		}
	}

	return left
}
