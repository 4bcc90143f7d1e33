package collect

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

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
	t            *Tenant
	ctx          context.Context
	pass         *progress.Pass
	floor, since tick.Tick
	first        bool          // nothing has come yet: the clock of the API's host may have to lower the floor
	late         time.Duration // the greatest lateness of this poll that the overlap has to grow for
	aside        int           // windows that this poll has set aside
	rows         int           // rows that were new
}

// errFloorLowered ends a pass whose first answer showed that the clock of the API's
// host is behind ours: it begins anew, at the floor as that clock has it.
var errFloorLowered = errors.New("the pass begins anew at an earlier floor")

// checkFloor returns errFloorLowered when the first answer lowered the floor. Nothing
// was read then.
func (s *sink) checkFloor() error {
	if !s.first {
		return nil
	}

	s.first = false

	if !s.t.lowerFloor() {
		return nil
	}

	s.t.pass = nil

	return errFloorLowered
}

// Row implements defender.Sink.
func (s *sink) Row(raw []byte) error {
	if err := s.checkFloor(); err != nil {
		return err
	}

	t := s.t
	t.slot.row()
	t.health(s.ctx, false) // a backlog may take longer than health_interval
	version := t.cfg.Identifier.Identify(raw, alert.Moment{
		Present: t.present(s.pass.Started),
		Now:     tick.FromTime(t.now()),
	})

	at, key := version.At, version.Repeat
	if at < s.floor {
		return nil // nothing older is ever emitted: docs/contract.md
	}

	t.compareTenant(version.Tenant) // a repeat tells as much

	if at < s.since || t.progress.Repeated(key, at, t.added) {
		t.update(func(st *store.Status) { st.Repeats++ })
		return nil
	}

	if t.progress.Full() {
		return errSeenFull(t.cfg.Key.API, t.in.cfg.Seen)
	}

	event, err := t.cfg.Encoder.Alert(t.event[:0], version.Time, version.ID, raw)
	if err != nil {
		if event = t.cfg.Encoder.Raw(t.event[:0], version.Time, version.ID, raw); !t.oddRows {
			t.oddRows = true
			t.in.log(
				Warn,
				t.cfg.Name,
				fmt.Sprintf(
					"an alert could not be encoded and is emitted as a raw record; others are not reported: %v",
					err,
				),
			)
		}
	}

	if t.event = event; cap(event) > delivery.MaxBatch {
		t.event = nil // one huge alert is no reason to keep its memory
	}

	n, err := t.in.outbox.Add(s.ctx, t.stream, event, t.room)
	if err != nil {
		return err
	}

	t.added, t.progressed = n, true
	if s.rows++; s.rows%slowRows == 0 {
		t.movedOn()
	}

	t.progress.Emitted(t.added, key, at)
	s.late = max(s.late, t.progress.NoteLate(s.pass, at, t.present(s.pass.Started)))
	t.update(func(st *store.Status) { st.Emitted++; st.LastAlert = t.now() })

	return nil
}

// errSeenFull returns the error for a tenant with more new alerts than can be
// remembered. Without an entry in the seen-set an alert would be emitted again with
// every poll, so it has to wait.
func errSeenFull(api string, b *progress.Budget) error {
	return &defender.Error{
		Op:   "reading alerts",
		Fate: defender.WaitForHuman,
		Problem: fmt.Sprintf(
			"%s lists more alerts than can be remembered (%d of a tenant, %d in all) within the time that polls reach back",
			api,
			b.PerUnit,
			b.Total,
		),
		Remedy:   "shorten `sweep_lookback` and `overlap`, or leave out what is so frequent with `filter`; nothing is lost, reading goes on then",
		TooLarge: true,
	}
}

// Safe implements defender.Sink.
func (s *sink) Safe(upTo tick.Tick) error {
	if err := s.checkFloor(); err != nil {
		return err
	}

	upTo = min(upTo, s.t.present(s.pass.Started))
	if upTo > s.pass.Position {
		s.pass.Position, s.t.progressed = upTo, true
		s.t.movedOn()
	}

	s.t.progress.Read(upTo, s.t.added, 0)
	s.t.in.dirty()

	return s.ctx.Err()
}

// sayLate says by how much the overlap has grown, once a poll: late alerts come in
// ascending order.
func (s *sink) sayLate() {
	if s.late > 0 {
		s.t.in.log(Info, s.t.cfg.Name, fmt.Sprintf("an alert was listed %v after its update; "+
			"from now on polls reach back that far", s.late.Round(time.Second)))
	}
}

// wait says that the reader waits for others; the function that it returns ends that.
func (s *sink) wait() (done func()) {
	waited := s.t.slot.wait()

	return func() {
		waited()
		s.t.health(s.ctx, s.t.paceChanged())
	}
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// compareTenant notices rows that belong to another tenant.
func (t *Tenant) compareTenant(claimed alert.TenantID) {
	own := alert.TenantID(t.cfg.Key.TenantID)
	if claimed == "" || claimed == own || !guid.MatchString(string(own)) || !guid.MatchString(string(claimed)) {
		return
	}

	t.mu.Lock()
	t.alien = claimed
	t.mu.Unlock()

	if !t.alienSaid {
		t.alienSaid = true
		t.in.log(
			Warn,
			t.cfg.Name,
			"the API lists alerts of another tenant, "+string(claimed)+", than the configured "+t.cfg.Key.TenantID+"; they are emitted. Check tenant_id and whose account signed in",
		)
	}
}
