package unitstate

import (
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// Moment is a time on a clock that no operator of the machine moves: which start of the
// machine (counted by the store) and how long after it, or always 0 and how long after
// 1970 on the clock of a database. So "two minutes ago" is that.
type Moment struct {
	Boot int64
	At   time.Duration
}

// Policy says how much is kept for an undo.
type Policy struct {
	// Window is how far an undo goes back at most.
	Window time.Duration
	// Step is the least time between two remembered checkpoints of a unit. An undo goes
	// back to the newest one that is older than Window, so a coarse step costs nothing
	// but reading that much more; repeats are filtered by the seen-set.
	Step time.Duration
}

// Durable reports whether what happened at m is not undone any more by an undo at now.
func (p Policy) Durable(m, now Moment) bool {
	return m.Boot < now.Boot || m.At <= now.At-p.Window
}

// Progress is a checkpoint and when it was committed.
type Progress struct {
	When       Moment
	Checkpoint store.Checkpoint
}

// State is the row of a unit: its progress now and, to go back to, as it was at earlier
// moments, oldest first: one that is durable, and those since.
type State struct {
	Has     bool // a checkpoint was committed
	Now     Progress
	History []Progress
	// Cut says that older progress than History was there once. EncodeShared keeps it;
	// Encode does not.
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

// DurablePrune returns the bound below which seen entries are needed by no progress that
// may still become the current one.
func (s *State) DurablePrune(now Moment, policy Policy) tick.Tick {
	if len(s.History) == 0 || !policy.Durable(s.History[0].When, now) {
		return 0
	}

	return min(s.History[0].Checkpoint.SeenSince, s.Now.Checkpoint.SeenSince)
}

// Undo goes back to the newest progress that was durable at a moment: the last sign of
// life. A unit that began later than that starts again at its floor. It reports whether
// anything changed.
func (s *State) Undo(at Moment, policy Policy) bool {
	if !s.Has || policy.Durable(s.Now.When, at) {
		return false
	}

	lateness := s.Now.Checkpoint.Lateness // an observation, not progress

	for n := len(s.History); n > 0; n-- {
		// What was cut off was durable by the policy of its time: a wider window of now
		// goes back as far as there is something to go back to.
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
