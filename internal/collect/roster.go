package collect

import (
	"context"
	"slices"
	"time"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// Add makes a tenant part of the input. After Start it polls at once, or as soon as a
// retired tenant with the same feed is out of the way.
func (in *Input) Add(cfg TenantConfig) *Tenant {
	t := &Tenant{
		in:   in,
		wake: make(chan struct{}, 1),
		done: make(chan struct{}),
		gone: make(chan struct{}),
	}
	t.configure(cfg)
	in.mu.Lock()
	for _, old := range in.tenants {
		if old.cfg.Key == t.cfg.Key {
			t.after = old.gone
		}
	}

	if in.ctx != nil { // before the committer sees it
		t.ctx, t.cancel = context.WithCancel(in.ctx)
	}

	in.tenants = append(in.tenants, t)
	in.mu.Unlock()

	if in.ctx != nil {
		t.start(0)
	}

	return t
}

// Retire ends the polling of a feed. What it has in the outbox is still handed over and
// written down; then gone, if not nil, is called.
func (in *Input) Retire(key store.FeedKey, gone func()) {
	in.mu.Lock()
	for _, t := range in.tenants {
		if t.cfg.Key == key && t.cancel != nil && t.ctx.Err() == nil {
			t.onGone = gone
			t.cancel()
			t.update(func(s *store.Status) { s.State = health.Stopped })
		}
	}
	in.mu.Unlock()
	in.dirty()
}

// start begins to poll after this wait.
func (t *Tenant) start(wait time.Duration) {
	if t.ctx == nil {
		t.ctx, t.cancel = context.WithCancel(t.in.ctx)
	}

	t.in.wg.Go(func() {
		defer t.in.dirty()
		defer close(t.done)

		if t.after != nil {
			select {
			case <-t.after:
			case <-t.ctx.Done():
				return
			}
		}

		t.in.keepRunning(t.ctx, t.cfg.Name, func(ctx context.Context) {
			sound := false
			defer func() {
				if !sound { // a panic is on its way to keepRunning
					t.broken()
				}
			}()

			t.run(ctx, wait)

			sound = true
		})
	})
}

// all lists the tenants of this moment.
func (in *Input) all() []*Tenant {
	in.mu.Lock()
	defer in.mu.Unlock()

	return slices.Clone(in.tenants)
}

// buryRetired lets go of tenants that have retired and have nothing left that is not
// written down.
func (in *Input) buryRetired() {
	in.mu.Lock()
	defer in.mu.Unlock()

	if in.ctx.Err() != nil {
		return
	}

	in.tenants = slices.DeleteFunc(in.tenants, func(t *Tenant) bool {
		if t.ctx == nil || t.ctx.Err() == nil || !closed(t.done) || !t.refused.idle() ||
			!t.allCommitted() {
			return false
		}

		if t.after != nil && !closed(t.after) {
			return false // who comes next waits for this one only
		}

		t.progress.End()
		close(t.gone)

		if t.onGone != nil {
			t.onGone()
		}

		return true
	})
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// Statuses is the state of every feed of the input at this moment.
func (in *Input) Statuses() map[store.FeedKey]store.Status {
	tenants := in.all()

	list := make(map[store.FeedKey]store.Status, len(tenants))
	for _, t := range tenants {
		list[t.cfg.Key] = t.snapshot()
	}

	return list
}

// Waiting is how many bytes of encoded alerts wait for Fluent Bit.
func (in *Input) Waiting() int { return in.outbox.Bytes() }
