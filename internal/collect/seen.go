package collect

import (
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// seenSet knows the alert versions that were emitted. Keys are 128 bits of a hash; times are update times, by which old entries go.
type seenSet struct {
	times map[[16]byte]tick.Tick
	// since: the set holds everything emitted that was updated at or after this time.
	since tick.Tick
	// pruned is the time up to which the map was last swept; between sweeps it may hold older entries, which does no harm.
	pruned tick.Tick
}

// add notes that key was emitted. isNew is false if it was there already; later then says that the
// entry has got a newer time (a detection can be listed again with a newer one), which must be
// written down too so that it is not forgotten early.
func (s *seenSet) add(key [16]byte, t tick.Tick) (isNew, later bool) {
	old, ok := s.times[key]
	if ok && t <= old {
		return false, false
	}
	if s.times == nil {
		s.times = make(map[[16]byte]tick.Tick)
	}
	s.times[key] = t
	return !ok, ok
}

// has tells whether key was emitted.
func (s *seenSet) has(key [16]byte) bool {
	_, ok := s.times[key]
	return ok
}

// drop forgets a key again: its event was never handed over.
func (s *seenSet) drop(key [16]byte) { delete(s.times, key) }

// prune forgets what was updated before t. To sweep a large map seldom, it does so when t has moved by slack.
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
}

// load fills the set with what the store kept.
func (s *seenSet) load(entries []store.Seen, since tick.Tick) {
	s.since, s.pruned = since, since
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
