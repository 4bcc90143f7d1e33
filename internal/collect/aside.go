package collect

import (
	"fmt"
	"time"

	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
)

// asideRetry is how often what was set aside is offered to Fluent Bit again.
const asideRetry = 5 * time.Minute

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

// offerAgain puts what was set aside back into the outbox now and then, until Fluent Bit has taken it. Its own lane keeps the
// tenant's progress out of it.
func (t *Tenant) offerAgain(a store.Aside) {
	ctx := t.in.ctx
	lane := NewLane(t.cfg.Tag)
	for rest := a.Row; len(rest) > 0; {
		event, more, err := record.Next(rest)
		if err != nil {
			event, more = rest, nil
		}
		if !t.sleep(ctx, max(0, a.NextTry.Sub(t.now()))) {
			return
		}
		n, err := t.in.outbox.Add(ctx, lane, event, nil)
		if err != nil {
			return
		}
		for lane.Taken() < n {
			if !t.sleep(ctx, time.Second) {
				return
			}
		}
		rest = more
	}
	if err := t.in.cfg.Store.DropAside(ctx, t.cfg.Key, a.ID); err != nil {
		t.in.log(Debug, t.cfg.Name, fmt.Sprintf("an alert that was set aside and has been taken in now stays listed: %v", err))
	}
	t.update(func(s *store.Status) { s.SetAside-- })
	t.in.log(Info, t.cfg.Name, "Fluent Bit has taken an alert that was set aside")
}
