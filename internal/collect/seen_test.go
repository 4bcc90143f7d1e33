package collect

import (
	"encoding/binary"
	"testing"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

func seenKey(n int) (key [16]byte) {
	binary.LittleEndian.PutUint64(key[:], uint64(n))
	return key
}

// fillSeen adds n new entries to a set.
func fillSeen(s *seenSet, n int) {
	for i := len(s.times); n > 0; i++ {
		s.add(seenKey(i), tick.Tick(i))
		n--
	}
}

// TestASeenSetIsBoundedButASmallTenantNeverWaits: of its own entries, and of all in the
// process.
func TestASeenSetIsBoundedButASmallTenantNeverWaits(t *testing.T) {
	before := seenInAll.Load()
	defer func() { seenInAll.Store(before) }()

	var own seenSet
	fillSeen(&own, 10)
	if own.full() {
		t.Error("full at 10 entries")
	}
	seenInAll.Store(mostSeenInAll) // others
	if own.full() {
		t.Error("a small tenant waits for others")
	}
	fillSeen(&own, fewSeen-10)
	if !own.full() {
		t.Error("no bound for all sets together")
	}
	seenInAll.Store(before)
	if own.full() {
		t.Error("full although others are small")
	}
	own.times = make(map[[16]byte]tick.Tick)
	fillSeen(&own, mostSeen)
	if !own.full() {
		t.Error("no bound for one tenant")
	}
}

// TestEntriesAreCountedWhileTheirFeedLives: whatever is done to the set.
func TestEntriesAreCountedWhileTheirFeedLives(t *testing.T) {
	before := seenInAll.Load()
	var s seenSet
	check := func(step string, want int64) {
		t.Helper()
		if got := seenInAll.Load() - before; got != want {
			t.Errorf("%s: %d entries are counted, not %d", step, got, want)
		}
	}
	s.load([]store.Seen{{Key: seenKey(1), Time: 1}, {Key: seenKey(2), Time: 2}}, 0)
	check("loaded", 2)
	s.add(seenKey(3), 3)
	s.add(seenKey(3), 4)
	check("added", 3)
	s.drop(seenKey(1))
	check("dropped", 2)
	s.prune(3, 1)
	check("pruned", 1)
	s.prune(100, 1)
	check("pruned empty", 0)
	s.add(seenKey(4), 200)
	s.close()
	s.add(seenKey(5), 200)
	check("closed", 0)
}
