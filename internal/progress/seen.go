package progress

import (
	"sync/atomic"

	"fluent-bit-defender/internal/tick"
)

// Seen is one entry of a seen-set: an alert version that was emitted, as 128 bits of a
// hash, and its update time, by which it is forgotten again.
type Seen struct {
	Key  [16]byte
	Time tick.Tick
}

// Budget bounds how many entries several seen-sets hold. An entry takes 56 bytes of
// memory.
type Budget struct {
	PerUnit int // what one set may hold
	Total   int // what all sets may hold together
	Always  int // what a set may hold in any case, so that a small unit does not wait for large ones

	held atomic.Int64 // by all sets
}

// Process is the budget of all units of this process.
var Process = &Budget{PerUnit: 2_000_000, Total: 4_000_000, Always: 50_000}

// seenSet knows the alert versions that were emitted.
type seenSet struct {
	times map[[16]byte]tick.Tick
	// since: the set holds everything emitted that was updated at or after this time.
	since tick.Tick
	// pruned is the time up to which the map was last cleared. In between it may hold
	// older entries, which does no harm.
	pruned tick.Tick

	budget  *Budget
	counted int64 // how many entries of this set the budget counts
	closed  bool  // the unit has ended: its entries are no longer counted
}

// count tells the budget how many entries there are.
func (s *seenSet) count() {
	now := int64(len(s.times))
	if s.closed {
		now = 0
	}

	s.budget.held.Add(now - s.counted)
	s.counted = now
}

// close takes the entries out of the budget.
func (s *seenSet) close() {
	s.closed = true
	s.count()
}

// full reports whether no new entry may be added.
func (s *seenSet) full() bool {
	n := len(s.times)
	return n >= s.budget.PerUnit || n >= s.budget.Always && s.budget.held.Load() >= int64(s.budget.Total)
}

// add notes that key was emitted. newer reports that there was an entry with an earlier
// time: a detection can be listed again with a newer time, which has to be committed too,
// or the entry would be forgotten early.
func (s *seenSet) add(key [16]byte, t tick.Tick) (newer bool) {
	old, ok := s.times[key]
	if ok && t <= old {
		return false
	}

	if s.times == nil {
		s.times = make(map[[16]byte]tick.Tick)
	}

	s.times[key] = t
	s.count()

	return ok
}

// has reports whether key was emitted.
func (s *seenSet) has(key [16]byte) bool {
	_, ok := s.times[key]
	return ok
}

// drop forgets a key.
func (s *seenSet) drop(key [16]byte) {
	delete(s.times, key)
	s.count()
}

// prune forgets what was updated before t. The map is only cleared when t has moved by
// slack since the last time, since that takes a while for a large one.
func (s *seenSet) prune(t, slack tick.Tick) {
	if t <= s.since {
		return
	}

	s.since = t
	if t-s.pruned < slack {
		return
	}

	s.pruned = t
	for key, at := range s.times {
		if at < t {
			delete(s.times, key)
		}
	}

	if len(s.times) == 0 {
		s.times = nil // a map keeps the memory of deleted entries
	}

	s.count()
}

// load fills the set with what was committed.
func (s *seenSet) load(entries []Seen, since tick.Tick) {
	s.since, s.pruned = since, since
	defer s.count()

	if len(entries) == 0 {
		return
	}

	s.times = make(map[[16]byte]tick.Tick, len(entries))
	for _, e := range entries {
		if t, ok := s.times[e.Key]; !ok || e.Time > t {
			s.times[e.Key] = e.Time
		}
	}
}
