package collect

import (
	"context"
	"errors"
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
	first        bool          // no answer has come yet: the first may have to lower the floor
	lowered      bool          // it did; the pass ends with that answer
	late         time.Duration // the greatest lateness of this poll that the overlap grows for
	deferred     int           // windows that this poll has deferred
	rows         int           // rows that were new
	replay       bool          // a node that died may have delivered any of them
}

// errFloorLowered ends a pass whose first answer showed that the clock of the API's host
// is behind ours: it begins anew, at the floor as that clock has it.
var errFloorLowered = errors.New("the pass begins anew at an earlier floor")

// checkFloor lowers the floor if the first answer shows that it has to be. Nothing was
// read then. The pass ends after the rows of that answer: the next answer may have later
// versions in their place.
func (s *sink) checkFloor() {
	if s.first && s.p.lowerFloor() {
		s.p.pass, s.lowered = nil, true
	}

	s.first = false
}

// endLowered returns errFloorLowered if the answer that was read lowered the floor.
func (s *sink) endLowered() error {
	s.checkFloor() // an answer without a row has shown the clock too

	if !s.lowered {
		return nil
	}

	s.lowered = false

	return errFloorLowered
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

	p.compareTenant(version.Tenant) // of a repeat too

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

// count counts an alert that was new, and was updated at that time.
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

// history returns whether an earlier version of the alert was emitted. It is not asked
// for where the format does not need it.
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

// encode returns the event of an alert, valid until the next call. What cannot be encoded
// becomes a raw record.
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
		p.event = nil // one huge alert is no reason to keep its memory
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

// errSeenFull returns the error of a unit with more new alerts than can be remembered.
// Without an entry in the seen-set an alert would be emitted again with every poll, so it
// has to wait.
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

// wait says that the reader waits for others; the function that it returns ends that.
func (s *sink) wait() (done func()) {
	waited := s.p.place.wait()

	return func() {
		waited()
		s.p.emitHealth(s.ctx, s.p.status.paceChanged())
	}
}

// compareTenant notices rows that belong to another tenant.
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
