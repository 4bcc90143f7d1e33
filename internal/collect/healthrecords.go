package collect

import (
	"context"
	"time"

	"fluent-bit-defender/internal/record"
)

// healthRecords is what a poller knows of its unit's health records.
type healthRecords struct {
	due     time.Time // when the next record is due; zero at the beginning
	emitted bool      // a record was emitted
}

// emitHealth emits a health record if one is due, or at once if the state has changed.
func (p *poller) emitHealth(ctx context.Context, changed bool) {
	if p.cfg.HealthInterval <= 0 {
		return
	}

	now := p.now()
	h := &p.health

	if h.due.IsZero() { // the first is due after the first poll, or while that takes long
		h.due = now.Add(p.cfg.HealthInterval)
	}

	if !changed && now.Before(h.due) {
		return
	}

	h.due, h.emitted = now.Add(p.cfg.HealthInterval), true
	s := p.snapshot()

	event := p.cfg.Encoder.Health(nil, record.Health{
		State:           s.State,
		Trouble:         s.Trouble,
		LastSuccess:     s.LastSuccess,
		LagSeconds:      s.LagSeconds,
		RelationshipEnd: s.RelationshipEnd,
		At:              now,
	})
	if n, err := p.in.outbox.Add(ctx, p.stream, event, p.waitForRoom); err == nil {
		p.queued = n
	}
}
