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

// Timing of commits. What was delivered since the last commit is repeated after a kill;
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
		if err := in.commitDelivered(ctx); err != nil && ctx.Err() == nil {
			wait = retryPause

			in.wakeCommitter()
		}

		if pause.For(ctx, wait) != nil {
			return
		}
	}
}

// commitDelivered commits, in one transaction, what was delivered of every unit.
func (in *Input) commitDelivered(ctx context.Context) error {
	in.commit.Lock()
	defer in.commit.Unlock()

	var (
		commits   []store.Commit
		committed []func() // what is to be called after each
	)

	for _, u := range in.all() {
		if u.abandoned.Load() {
			continue
		}

		if c, done, ok := u.due(); ok {
			commits = append(commits, c)
			committed = append(committed, done)
		}
	}

	if len(commits) > 0 {
		err := in.cfg.Store.Commit(ctx, commits)
		if keys, ok := fenced(err); ok { // all others are committed
			committed = withoutUnits(committed, commits, keys)
			err = nil
		}

		in.noteCommit(ctx, err)

		if err != nil {
			return err
		}
	}

	for _, done := range committed {
		done()
	}

	in.reportRetired(ctx)
	in.removeRetired()

	return nil
}

// noteCommit notes and logs whether a commit has succeeded. Input.commit must be held.
func (in *Input) noteCommit(ctx context.Context, err error) {
	if err == nil {
		in.storeWorks()

		if in.storeFault.over() {
			in.log.Info("progress can be written to the store again")
		}

		return
	}

	in.storeFailed(ctx, err)

	if ctx.Err() == nil && in.storeFault.due(in.cfg.Now()) {
		in.log.Error(fmt.Sprintf("progress cannot be written to the store; polling goes on, "+
			"and if the process ends meanwhile alerts are repeated: %v", err))
	}
}

// withoutUnits returns the functions for all commits but those of some units.
func withoutUnits(committed []func(), commits []store.Commit, without []alert.UnitKey) []func() {
	var left []func()

	for i, c := range commits {
		if !slices.Contains(without, c.Key) {
			left = append(left, committed[i])
		}
	}

	return left
}
