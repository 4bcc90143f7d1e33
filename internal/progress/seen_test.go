package progress

import (
	"encoding/binary"
	"testing"

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

func TestASeenSetIsBoundedButASmallUnitNeverWaits(t *testing.T) {
	budget := &Budget{PerUnit: 40, Always: 10, Total: 60}
	own, others := seenSet{budget: budget}, seenSet{budget: budget}
	fillSeen(&own, 5)
	if own.full() {
		t.Error("full at 5 entries")
	}
	fillSeen(&others, 55)
	if own.full() {
		t.Error("a small unit waits for others")
	}
	fillSeen(&own, 5)
	if !own.full() {
		t.Error("no bound for all sets together")
	}
	others.close()
	if own.full() {
		t.Error("full although the others have ended")
	}
	fillSeen(&own, 30)
	if !own.full() {
		t.Error("no bound for one unit")
	}
}

func TestEntriesAreCountedWhileTheirUnitLives(t *testing.T) {
	budget := &Budget{}
	s := seenSet{budget: budget}
	for _, step := range []struct {
		name string
		do   func()
		want int64
	}{
		{"loaded", func() { s.load([]Seen{{Key: seenKey(1), Time: 1}, {Key: seenKey(2), Time: 2}}, 0) }, 2},
		{"added, and once more with a newer time", func() { s.add(seenKey(3), 3); s.add(seenKey(3), 4) }, 3},
		{"dropped", func() { s.drop(seenKey(1)) }, 2},
		{"pruned", func() { s.prune(3, 1) }, 1},
		{"pruned until it is empty", func() { s.prune(100, 1) }, 0},
		{"closed", func() { s.add(seenKey(4), 200); s.close(); s.add(seenKey(5), 200) }, 0},
	} {
		step.do()
		if got := budget.held.Load(); got != step.want {
			t.Errorf("%s: %d entries are counted, not %d", step.name, got, step.want)
		}
	}
}
