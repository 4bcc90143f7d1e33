package collect

import (
	"context"
	"errors"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// storeFailure says since when and why the store cannot be written.
type storeFailure struct {
	since   time.Time
	trouble health.Trouble
}

// storeFailsAfter is how long the store may fail before units show it. A lock that
// another process holds for a moment is not shown.
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

// showStoreFault makes the status say that the store cannot be written, unless the unit
// itself is failing. If the process ends then, alerts are repeated.
func (in *Input) showStoreFault(s *store.Status) {
	f := in.storeFails.Load()
	if f == nil || !s.State.Good() || s.UpdatedAt.Sub(f.since) < storeFailsAfter {
		return
	}

	s.State, s.Since, s.Trouble = health.Failing, f.since, f.trouble
}

// storeError is an error of the store.
type storeError struct{ error }

// Unwrap returns what the store returned.
func (e storeError) Unwrap() error { return e.error }

// storeTrouble returns what a unit shows while the store fails.
func storeTrouble(err error) health.Trouble {
	remedy := "make room on the disk of data_dir and check that its files can be written"

	switch {
	case errors.Is(err, store.ErrUnreachable):
		remedy = "see whether the database runs, and whether this machine reaches it"
	case errors.Is(err, store.ErrDenied):
		remedy = "check user, password and rights of the database that `store` names"
	}

	return health.Trouble{
		Reason:  advice.Store,
		Message: plain.Line(err.Error(), advice.MaxLine),
		Remedy:  remedy + "; it is tried again by itself",
	}
}
