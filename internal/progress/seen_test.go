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

func TestEarlierKnowsWhatWasEmittedAndWhatIsForgotten(t *testing.T) {
	alert := [16]byte{1}
	other := [16]byte{2}

	fresh := New(Reach{}, &Budget{PerUnit: 10, Total: 10, Always: 10})
	fresh.Start(100, false)

	resumed := New(Reach{}, &Budget{PerUnit: 10, Total: 10, Always: 10})
	resumed.Resume(Checkpoint{Floor: 100, Watermark: 500, SeenSince: 400}, nil)

	for _, p := range []*Progress{fresh, resumed} {
		p.Emitted(1, alert, 600)
	}

	for _, c := range []struct {
		promise        string
		p              *Progress
		key            [16]byte
		since          tick.Tick
		earlier, known bool
	}{
		{"emitted", fresh, alert, 50, true, true},
		{"nothing was emitted before the floor", fresh, other, 50, false, true},
		{"emitted since the set is complete", resumed, alert, 450, true, true},
		{"there only since the set is complete", resumed, other, 450, false, true},
		{"may have been forgotten", resumed, other, 399, false, false},
		{"without a time", resumed, other, 0, false, false},
	} {
		if earlier, known := c.p.Earlier(c.key, c.since); earlier != c.earlier || known != c.known {
			t.Errorf("%s: %v, %v", c.promise, earlier, known)
		}
	}
}
