package collect

import (
	"hash/maphash"
	"time"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// snapshot returns what is to be shown of the unit at this moment.
func (u *Unit) snapshot() store.Status {
	watermark, moved := u.progress.Watermark()
	if !moved { // the lookback of a new unit is no delay
		watermark += tick.FromDuration(u.cfg.Lookback)
	}

	s := u.status.get()
	own := s
	s.UpdatedAt = u.now()
	// The lag is by our clock alone, unless that is wrong.
	s.LagSeconds = max(0, u.cfg.Skew.corrected(s.UpdatedAt).Sub(watermark.Time()).Seconds())
	s.RelationshipEnd = u.cfg.relationship().Ends
	u.in.showBlocked(&s)
	u.in.showStoreFault(&s)

	s.Run = u.in.name
	s.Notice = u.in.notice.Load()
	u.status.remember(&own, &s)

	return s
}

// markSeed is the seed of all marks.
var markSeed = maphash.MakeSeed()

// markOf returns the mark of a status. Two statuses of the unit that differ at most in
// the time have the same mark: the later one need not be written.
func (u *Unit) markOf(s *store.Status) uint64 {
	watermark, _ := u.progress.Watermark()

	notice := health.Trouble{}
	if s.Notice != nil {
		notice = *s.Notice
	}

	return maphash.Comparable(markSeed, struct {
		watermark                          tick.Tick
		state                              health.State
		trouble, notice                    health.Trouble
		since, success, alert, relationEnd time.Time
		emitted, repeats, polls, errors    uint64
		deferred                           int
		interval                           time.Duration
	}{
		watermark:   watermark,
		state:       s.State,
		trouble:     s.Trouble,
		notice:      notice,
		since:       s.Since,
		success:     s.LastSuccess,
		alert:       s.LastAlert,
		relationEnd: s.RelationshipEnd,
		emitted:     s.Emitted,
		repeats:     s.Repeats,
		polls:       s.Polls,
		errors:      s.Errors,
		deferred:    s.Deferred,
		interval:    s.EffectiveInterval,
	})
}
