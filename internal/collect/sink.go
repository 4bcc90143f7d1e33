package collect

import (
	"context"
	"fmt"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// sink takes the rows of one pass: it drops repeats, encodes the rest and puts it into
// the outbox.
type sink struct {
	p            *poller
	ctx          context.Context
	pass         *progress.Pass
	floor, since tick.Tick
	first        bool          // no answer has come yet: see checkFloor
	lowered      bool          // the first answer lowered the floor, so the pass ends with it
	late         time.Duration // the greatest lateness of this poll that made the overlap grow
	deferred     int           // windows that this poll has deferred
	rows         int           // rows that were new
	replay       bool          // a node that died may have delivered any of them
}

// Row implements defender.Sink.
func (s *sink) Row(raw []byte) error {
	s.checkFloor()

	p := s.p
	if !p.in.trusted() {
		return errUntrusted
	}

	p.place.row()
	p.emitHealth(s.ctx, false) // a backlog may take longer than health_interval
	version := p.cfg.Identifier.Identify(raw, alert.Moment{
		Present: p.cfg.Skew.present(s.pass.Started),
		Now:     tick.FromTime(p.now()),
	})

	at, key := version.At, version.Repeat
	if at < s.floor {
		return nil // nothing older is ever emitted: docs/contract.md
	}

	p.compareTenant(version.Tenant) // also for repeats

	if at < s.since || p.progress.Repeated(key, at, p.queued) {
		p.status.update(func(st *store.Status) { st.Repeats++ })
		return nil
	}

	if p.progress.Full() {
		return errSeenFull(p.cfg.Key.API, p.in.cfg.Seen)
	}

	version.History = p.history(version)

	p.cfg.Encoder.Replay(s.replay || p.progress.Replay())

	if err := s.queue(p.encode(version, raw)); err != nil {
		return err
	}

	p.progress.Emitted(p.queued, key, at)

	if version.Alert != (alert.Key{}) {
		p.progress.Emitted(p.queued, version.Alert, at)
	}

	s.late = max(s.late, p.progress.NoteLate(s.pass, at, p.cfg.Skew.present(s.pass.Started)))
	s.count(at)

	return nil
}

// count counts a new alert, which was updated at this time.
func (s *sink) count(at tick.Tick) {
	p := s.p
	now := p.now()
	p.cfg.Counters.Alert((p.cfg.Skew.present(now) - at).Duration())

	p.status.update(func(st *store.Status) {
		st.Emitted++
		st.LastAlert = now
		st.Hours.Add(now)
	})
}

// history returns what is known of earlier versions of the alert. If the format does not
// need that, it is unknown.
func (p *poller) history(v alert.Version) alert.History {
	if v.Alert == (alert.Key{}) {
		return alert.HistoryUnknown
	}

	switch earlier, known := p.progress.Earlier(v.Alert, v.Created); {
	case earlier:
		return alert.LaterVersion
	case known:
		return alert.FirstVersion
	default:
		return alert.HistoryUnknown
	}
}

// encode returns the event of an alert, valid until the next call. If the alert cannot be
// encoded, the event is a raw record.
func (p *poller) encode(version alert.Version, raw []byte) []byte {
	event, err := p.cfg.Encoder.Alert(p.event[:0], version, raw)
	if err != nil {
		event = p.cfg.Encoder.Raw(p.event[:0], version.Time, version.ID, raw)

		if p.rawRow.due(p.now()) {
			p.log.Warn(fmt.Sprintf("an alert could not be encoded and is emitted as a raw record; "+
				"others are not reported: %v", err))
		}
	}

	if p.event = event; cap(event) > delivery.MaxBatch {
		p.event = nil // the memory of one huge alert is not kept
	}

	return event
}

// queue puts an event into the outbox.
func (s *sink) queue(event []byte) error {
	p := s.p

	n, err := p.in.outbox.Add(s.ctx, p.stream, event, p.waitForRoom)
	if err != nil {
		return err
	}

	p.queued, p.movedFurther = n, true

	p.alerts++
	if s.rows++; s.rows%slowRows == 0 {
		p.movedOn()
	}

	return nil
}

// errSeenFull returns the error of a unit whose seen-set is full: see progress.Full.
func errSeenFull(api alert.API, b *progress.Budget) error {
	return &defender.Error{
		Fault: advice.Fault{
			Reason: advice.TooLarge,
			Fate:   advice.NeedsFix,
			Problem: fmt.Sprintf("%s lists more alerts than can be remembered (%d of a tenant, %d in all) "+
				"within the time that polls reach back", api, b.PerUnit, b.Total),
			Remedy: "shorten `sweep_lookback` and `overlap`, or leave out what is so frequent with `filter`; " +
				"nothing is lost, reading goes on then",
		},
		Op:       "reading alerts",
		TooLarge: true,
	}
}

// Safe implements defender.Sink.
func (s *sink) Safe(upTo tick.Tick) error {
	if err := s.endLowered(); err != nil {
		return err
	}

	upTo = min(upTo, s.p.cfg.Skew.present(s.pass.Started))
	if upTo > s.pass.Position {
		s.pass.Position, s.p.movedFurther = upTo, true
		s.p.movedOn()
	}

	s.p.progress.Read(upTo, s.p.queued, 0)
	s.p.in.wakeCommitter()

	if !s.p.in.trusted() {
		return errUntrusted
	}

	return s.ctx.Err()
}

// logLateness logs by how much the overlap has grown, once a poll: late alerts come in
// ascending order.
func (s *sink) logLateness() {
	if s.late > 0 {
		s.p.log.Info(fmt.Sprintf("an alert was listed %v after its update; "+
			"from now on polls reach back that far", s.late.Round(time.Second)))
	}
}

// wait is called when the reader begins to wait for something else. The function that it
// returns is called when the wait is over.
func (s *sink) wait() (done func()) {
	waited := s.p.place.wait()

	return func() {
		waited()
		s.p.emitHealth(s.ctx, s.p.status.paceChanged())
	}
}

// compareTenant shows and logs that a row belongs to another tenant than the unit.
func (p *poller) compareTenant(claimed alert.TenantID) {
	own := p.cfg.Key.TenantID
	if claimed == "" || claimed == own || !alert.IsGUID(string(own)) || !alert.IsGUID(string(claimed)) {
		return
	}

	p.status.setForeign(claimed)

	if p.foreignRow.due(p.now()) {
		p.log.Warn(fmt.Sprintf("the API lists alerts of another tenant, %s, than the configured %s; "+
			"they are emitted. Check tenant_id and whose account signed in", claimed, own))
	}
}
