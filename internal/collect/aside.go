package collect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
)

// Two things are set aside, so that they hold up nothing else: windows that the API fails to answer while it answers others, and
// events that Fluent Bit refuses while it takes others. Both are kept in the store and tried again until they are through.

// What was set aside is tried again after asideRetry, windows then after twice as long each time, up to longestAside.
const (
	asideRetry   = 5 * time.Minute
	longestAside = time.Hour
)

// restoreAsides takes up what an earlier run set aside.
func (t *Tenant) restoreAsides(ctx context.Context) {
	list, err := t.in.cfg.Store.Asides(ctx, t.cfg.Key)
	if err != nil {
		t.in.log(Warn, t.cfg.Name, "what was set aside in earlier runs cannot be read from the store: "+err.Error())
		return
	}
	for _, a := range list {
		if a.Row != nil {
			t.offering.Add(1)
			t.in.wg.Go(func() {
				defer t.offered()
				t.in.contained(ctx, t.cfg.Name, func(context.Context) { t.offerAgain(a) })
			})
			continue
		}
		t.hold(a)
		if reader, ok := t.cfg.Reader.(defender.AsideReader); ok {
			reader.Avoid(windowOf(a))
		}
	}
	if len(list) > 0 {
		t.update(func(s *store.Status) { s.SetAside += len(list) })
	}
}

// asideWindow is a window that was set aside.
type asideWindow struct {
	store.Aside
	// read says that it has been read; it is through when event last is written down.
	read bool
	last uint64
}

// hold notes a window that was set aside. What was emitted of it is not forgotten meanwhile.
func (t *Tenant) hold(a store.Aside) {
	t.asides = append(t.asides, asideWindow{Aside: a})
	t.feed.remember(t.asides)
}

func windowOf(a store.Aside) defender.Window { return defender.Window{From: a.From, To: a.To} }

// Aside implements defender.AsideSink.
func (s *sink) Aside(w defender.Window, reason string) error {
	t := s.t
	a := store.Aside{From: w.From, To: w.To, Skip: -1, Reason: reason, NextTry: t.now().Add(asideRetry)}
	id, err := t.in.cfg.Store.PutAside(s.ctx, t.cfg.Key, a)
	if err != nil {
		return fmt.Errorf("setting aside what cannot be read: %w", err) // then the walk does not go on behind it
	}
	a.ID = id
	t.hold(a)
	t.update(func(st *store.Status) { st.SetAside++ })
	t.in.log(Error, t.cfg.Name, fmt.Sprintf("what was updated between %v and %v cannot be read (%s), while everything else can; it is set aside and tried again by itself",
		w.From, w.To, reason))
	return nil
}

// retryAsides tries the windows that are due again; after a poll that worked, so that a general outage does not count against them.
func (t *Tenant) retryAsides(ctx context.Context) {
	reader, ok := t.cfg.Reader.(defender.AsideReader)
	if !ok || len(t.asides) == 0 {
		return
	}
	var left []asideWindow
	for _, a := range t.asides {
		if !a.read && !t.now().Before(a.NextTry) {
			t.retryAside(ctx, reader, &a)
		}
		if !a.read || !t.feed.writtenDown(a.last) {
			left = append(left, a)
			continue
		}
		t.forgetAside(ctx, a.Aside)
		t.in.log(Info, t.cfg.Name, fmt.Sprintf("what was set aside, updated between %v and %v, has been read", a.From, a.To))
	}
	t.asides = left
	t.feed.remember(left)
}

// retryAside tries one window.
func (t *Tenant) retryAside(ctx context.Context, reader defender.AsideReader, a *asideWindow) {
	slot, err := t.in.slot(ctx)
	if err != nil {
		return
	}
	defer slot.release()
	s := &sink{t: t, ctx: ctx, slot: slot, pass: &pass{started: t.now(), from: a.From, pos: a.From}}
	s.floor, _ = t.feed.bounds()
	s.since = a.From // a reader rounds outwards; what is older may be forgotten already. What was emitted of the window is still known, see feed.remember
	err = reader.ReadAside(ctx, windowOf(a.Aside), s)
	if err == nil {
		a.read, a.last = true, t.added
		return
	}
	var refused *defender.Error
	if !errors.As(err, &refused) || !refused.Budget {
		a.Tries++
	}
	a.NextTry = t.now().Add(min(asideRetry<<min(a.Tries, 10), longestAside))
	t.in.log(Debug, t.cfg.Name, fmt.Sprintf("what was set aside cannot be read yet: %v", err))
}

func (t *Tenant) forgetAside(ctx context.Context, a store.Aside) {
	if err := t.in.cfg.Store.DropAside(ctx, t.cfg.Key, a.ID); err != nil {
		t.in.log(Debug, t.cfg.Name, fmt.Sprintf("an entry of what was set aside stays listed although it is through: %v", err))
	}
	t.update(func(s *store.Status) { s.SetAside-- })
}

// keepAside writes down events that Fluent Bit refuses although it takes others. Until that has worked, progress stops before them.
func (t *Tenant) keepAside(events []byte) {
	ctx := t.in.ctx
	t.in.log(Error, t.cfg.Name, "Fluent Bit refuses an alert although it takes others (a processor that fails?); it is set aside and offered again every 5 minutes")
	a := store.Aside{Skip: -1, Row: events, Reason: "refused by Fluent Bit", NextTry: t.now().Add(asideRetry)}
	for ctx.Err() == nil {
		id, err := t.in.cfg.Store.PutAside(ctx, t.cfg.Key, a)
		if err == nil {
			a.ID = id
			break
		}
		t.in.log(Debug, t.cfg.Name, fmt.Sprintf("what Fluent Bit refused cannot be written down yet: %v", err))
		if !t.sleep(ctx, retryPause) {
			return
		}
	}
	t.feed.lane.Fill()
	t.in.dirty()
	t.update(func(s *store.Status) { s.SetAside++ })
	t.offerAgain(a)
}

func (t *Tenant) offered() {
	t.offering.Add(-1)
	t.in.dirty()
}

// offerAgain puts events that were set aside back into the outbox now and then, until Fluent Bit has taken them. Their own lane keeps the
// tenant's progress out of it. It ends with the tenant, but not before what it has in the outbox is taken: the tenant's
// successor would offer the same again.
func (t *Tenant) offerAgain(a store.Aside) {
	lane := NewLane(t.cfg.Tag)
	for len(a.Row) > 0 {
		event, more, err := record.Next(a.Row)
		if err != nil {
			event, more = a.Row, nil
		}
		if !t.sleep(t.ctx, max(0, a.NextTry.Sub(t.now()))) {
			return
		}
		n, err := t.in.outbox.Add(t.ctx, lane, event, nil)
		if err != nil {
			return
		}
		for lane.Taken() < n {
			if !t.sleep(t.in.ctx, time.Second) {
				return
			}
		}
		if lane.again.Swap(false) {
			a.NextTry = t.now().Add(asideRetry)
			continue
		}
		if a.Row = more; len(more) > 0 {
			if _, err := t.in.cfg.Store.PutAside(t.in.ctx, t.cfg.Key, a); err != nil {
				t.in.log(Debug, t.cfg.Name, fmt.Sprintf("an event that was set aside stays listed although it is through: %v", err))
			}
		}
	}
	t.forgetAside(t.in.ctx, a)
	t.in.log(Info, t.cfg.Name, "Fluent Bit has taken an alert that was set aside")
}

// remember keeps what was emitted of windows that were set aside from being forgotten before they are read.
func (f *feed) remember(windows []asideWindow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.oldest = 0
	for _, w := range windows {
		if f.oldest == 0 || w.From < f.oldest {
			f.oldest = w.From
		}
	}
}

// writtenDown tells whether everything up to event seq is in the store.
func (f *feed) writtenDown(seq uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lane.Taken() >= seq && (len(f.pending) == 0 || f.pending[0].seq > seq)
}
