package unitstate

import (
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// Moment is a time on a clock that nobody can set: in files, the number of the
// machine's start (counted by the store) and the time since then; in a database, 0 and
// the time since 1970 on its clock. So "two minutes ago" is always true.
type Moment struct {
	Boot int64
	At   time.Duration
}

// Policy says how much is kept for an undo.
type Policy struct {
	// Window is how far an undo goes back at most.
	Window time.Duration
	// Step is the least time between two remembered checkpoints of a unit. An undo goes
	// back to the newest one that is older than Window. A larger step only means that
	// more is read again; the seen-set filters the repeats.
	Step time.Duration
}

// Durable reports whether an undo at now leaves what happened at m.
func (p Policy) Durable(m, now Moment) bool {
	return m.Boot < now.Boot || m.At <= now.At-p.Window
}

// Progress is a checkpoint and when it was committed.
type Progress struct {
	When       Moment
	Checkpoint store.Checkpoint
}

// State is the row of a unit: its present progress, and earlier progress to go back to.
// History is ordered by age, the oldest first: one that is durable, and those after it.
type State struct {
	Has     bool // a checkpoint was committed
	Now     Progress
	History []Progress
	// Cut says that there was older progress than History, which was dropped.
	// EncodeShared stores it; Encode does not.
	Cut bool
}

// Push makes p the newest progress and remembers it if the last one remembered is
// Policy.Step old.
func (s *State) Push(p Progress, policy Policy) {
	s.Now, s.Has = p, true

	if s.remembers(p, policy) {
		s.History = append(s.History, p)
	}

	first := 0
	for first+1 < len(s.History) && policy.Durable(s.History[first+1].When, p.When) {
		first++
	}

	s.Cut = s.Cut || first > 0
	s.History = s.History[first:]
}

func (s *State) remembers(p Progress, policy Policy) bool {
	if len(s.History) == 0 {
		return true
	}

	last := &s.History[len(s.History)-1]

	return last.When.Boot != p.When.Boot || p.When.At-last.When.At >= policy.Step
}

// DurablePrune returns the time before which seen entries are needed by no progress
// that may still become the present one.
func (s *State) DurablePrune(now Moment, policy Policy) tick.Tick {
	if len(s.History) == 0 || !policy.Durable(s.History[0].When, now) {
		return 0
	}

	return min(s.History[0].Checkpoint.SeenSince, s.Now.Checkpoint.SeenSince)
}

// Undo goes back to the newest progress that was durable at a moment, which is the last
// sign of life. A unit without such progress starts again at its floor. Undo reports
// whether anything changed.
func (s *State) Undo(at Moment, policy Policy) bool {
	if !s.Has || policy.Durable(s.Now.When, at) {
		return false
	}

	lateness := s.Now.Checkpoint.Lateness // an observation, not progress

	for n := len(s.History); n > 0; n-- {
		// Progress that was cut off was durable by the policy of that time. If the
		// window is wider now, the oldest progress that is left has to do.
		if p := s.History[n-1]; policy.Durable(p.When, at) || s.Cut && n == 1 {
			p.Checkpoint.Lateness = lateness
			s.Now, s.History = p, s.History[:n]

			return true
		}
	}

	floor := s.Now.Checkpoint.Floor
	s.Now = Progress{Checkpoint: store.Checkpoint{
		Floor:     floor,
		Watermark: floor,
		SeenSince: floor,
		Lateness:  lateness,
	}}
	s.History = []Progress{s.Now}

	return true
}

// Rewind goes back to since, now and for every undo to come. Everything updated at or
// after it counts as never emitted.
func (s *State) Rewind(since tick.Tick) {
	back := func(p *Progress) {
		c := &p.Checkpoint
		c.Floor = min(c.Floor, since)
		c.Watermark = min(c.Watermark, since)
		c.SeenSince = min(c.SeenSince, since)
	}
	back(&s.Now)

	for i := range s.History {
		back(&s.History[i])
	}
}

// Clone returns a copy that shares nothing with s.
func (s *State) Clone() State {
	c := *s
	c.History = append([]Progress(nil), s.History...)

	return c
}
