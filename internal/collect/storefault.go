package collect

import (
	"context"
	"errors"
	"sync"
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

// storeFaults has the units whose last poll failed because of the store, of progress or
// of tokens. While a database cannot be reached, all units have the same fault, which
// is logged once for all of them.
type storeFaults struct {
	mu     sync.Mutex // guards the fields below
	units  map[*Unit]bool
	logged faultLog
}

// ofStore reports whether a poll failed because of the store.
func (v verdict) ofStore() bool { return v.kind == transient && v.trouble.Reason == advice.Store }

// met notes that the poll of a unit failed because of the store. It reports whether that
// is to be logged now. If so, the caller logs it.
func (f *storeFaults) met(u *Unit, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.units == nil {
		f.units = make(map[*Unit]bool)
		f.logged.every = reminder
	}

	f.units[u] = true

	return f.logged.due(now)
}

// over notes that a unit does not have the fault any more. It reports whether the fault
// was logged and no other unit has it.
func (f *storeFaults) over(u *Unit) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	if !f.units[u] {
		return false
	}

	delete(f.units, u)

	return len(f.units) == 0 && f.logged.over()
}

// logFailed logs that a poll has failed, unless that was logged lately.
func (p *poller) logFailed(ctx context.Context, v verdict, now time.Time) {
	line := describe(v)
	due := false

	if v.ofStore() {
		due = p.in.storeFaults.met(p.Unit, now)
		line += "; other tenants that meet the same fault are not reported"
	} else {
		due = p.failure.due(now)
	}

	if due {
		p.log.Log(ctx, levelOf(v), line)
	} else {
		p.log.Debug("still failing: " + v.trouble.Message)
	}
}

// storeFaultOver notes that the store does not keep the unit from polling any more. Once
// that is true of all units, one line says so: a unit logs only the end of its own fault.
func (p *poller) storeFaultOver() {
	if p.in.storeFaults.over(p.Unit) {
		p.in.log.Info("the store works again")
	}
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
