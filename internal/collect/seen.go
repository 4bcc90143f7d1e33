package collect

import (
	"sync/atomic"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// seenSet knows the alert versions that were emitted. Keys are 128 bits of a hash;
// times are update times, by which old entries go.
type seenSet struct {
	times map[[16]byte]tick.Tick
	// since: the set holds everything emitted that was updated at or after this time.
	since tick.Tick
	// pruned is the time up to which the map was last swept; between sweeps it may hold
	// older entries, which does no harm.
	pruned tick.Tick
	// counted is how many entries of this set seenInAll has.
	counted int64
	// closed says that the feed has ended: its entries are no longer counted.
	closed bool
}

// How many entries seen-sets hold. An entry takes 56 bytes of memory.
const (
	// mostSeen bounds the set of one tenant.
	mostSeen = 2_000_000
	// mostSeenInAll bounds all sets of the process together.
	mostSeenInAll = 4_000_000
	// fewSeen is what a tenant may have in any case, so that it need not wait for others.
	fewSeen = 50_000
)

// seenInAll is how many entries all sets of the process hold.
var seenInAll atomic.Int64

// count tells seenInAll what has changed.
func (s *seenSet) count() {
	now := int64(len(s.times))
	if s.closed {
		now = 0
	}

	seenInAll.Add(now - s.counted)
	s.counted = now
}

// close lets the entries no longer count.
func (s *seenSet) close() {
	s.closed = true
	s.count()
}

// full reports whether no new entry may be added.
func (s *seenSet) full() bool {
	n := len(s.times)
	return n >= mostSeen || n >= fewSeen && seenInAll.Load() >= mostSeenInAll
}

// add notes that key was emitted. isNew is false if it was there already; later then
// says that the entry has got a newer time (a detection can be listed again with a
// newer one), which must be written down too so that it is not forgotten early.
func (s *seenSet) add(key [16]byte, t tick.Tick) (isNew, later bool) {
	old, ok := s.times[key]
	if ok && t <= old {
		return false, false
	}

	if s.times == nil {
		s.times = make(map[[16]byte]tick.Tick)
	}

	s.times[key] = t
	s.count()

	return !ok, ok
}

// has tells whether key was emitted.
func (s *seenSet) has(key [16]byte) bool {
	_, ok := s.times[key]
	return ok
}

// drop forgets a key again: its event was never handed over.
func (s *seenSet) drop(key [16]byte) {
	delete(s.times, key)
	s.count()
}

// prune forgets what was updated before t. To sweep a large map seldom, it does so when
// t has moved by slack.
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
		s.times = nil // a map does not give its memory back
	}

	s.count()
}

// load fills the set with what the store kept.
func (s *seenSet) load(entries []store.Seen, since tick.Tick) {
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
