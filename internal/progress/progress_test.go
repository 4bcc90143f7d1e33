package progress

import (
	"reflect"
	"testing"
	"time"

	"fluent-bit-defender/internal/tick"
)

// now is a moment for all tests; ago counts back from it.
var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) tick.Tick { return tick.FromTime(now.Add(-d)) }

var reach = Reach{Overlap: 10 * time.Minute, SweepInterval: time.Hour, SweepLookback: 24 * time.Hour}

// resumed is the progress of a unit with this checkpoint.
func resumed(cp Checkpoint) *Progress {
	p := New(reach, &Budget{PerUnit: 100, Total: 100})
	p.Resume(cp, nil)

	return p
}

// reachCase is the progress of a unit, and how far back its next poll reaches.
type reachCase struct {
	reach      Reach
	checkpoint Checkpoint
	from       tick.Tick
	sweep      bool
}

func reaches() map[string]reachCase {
	const day = 24 * time.Hour

	return map[string]reachCase{
		"the overlap": {
			reach:      reach,
			checkpoint: Checkpoint{Floor: ago(30 * day), Watermark: ago(0), Swept: ago(time.Minute)},
			from:       ago(10 * time.Minute),
		},
		"the lateness that was observed": {
			reach: reach,
			checkpoint: Checkpoint{
				Floor:     ago(30 * day),
				Watermark: ago(0),
				Swept:     ago(time.Minute),
				Lateness:  3 * time.Hour,
			},
			from: ago(3 * time.Hour),
		},
		"no lateness behind the sweep lookback": {
			reach: reach,
			checkpoint: Checkpoint{
				Floor:     ago(30 * day),
				Watermark: ago(0),
				Swept:     ago(time.Minute),
				Lateness:  5 * day,
			},
			from: ago(day),
		},
		"a sweep, counted from the last one": {
			reach:      reach,
			checkpoint: Checkpoint{Floor: ago(30 * day), Watermark: ago(0), Swept: ago(2 * time.Hour)},
			from:       ago(26 * time.Hour),
			sweep:      true,
		},
		"no sweeps": {
			reach:      Reach{Overlap: 10 * time.Minute},
			checkpoint: Checkpoint{Floor: ago(30 * day), Watermark: ago(0)},
			from:       ago(10 * time.Minute),
		},
		"never behind the floor": {
			reach:      reach,
			checkpoint: Checkpoint{Floor: ago(time.Hour), Watermark: ago(0), Swept: ago(2 * time.Hour)},
			from:       ago(time.Hour),
			sweep:      true,
		},
		"never behind the seen-set": {
			reach: reach,
			checkpoint: Checkpoint{
				Floor:     ago(30 * day),
				Watermark: ago(0),
				Swept:     ago(2 * time.Hour),
				SeenSince: ago(25 * time.Hour),
			},
			from:  ago(25 * time.Hour),
			sweep: true,
		},
	}
}

func TestAPollReachesBackByOverlapLatenessAndSweep(t *testing.T) {
	for name, c := range reaches() {
		t.Run(name, func(t *testing.T) {
			p := New(c.reach, &Budget{})
			p.Resume(c.checkpoint, nil)

			pass := p.NextPass(now, tick.FromTime(now))
			if pass.From != c.from || pass.Position != c.from || pass.Sweep != c.sweep {
				t.Errorf("from %v, position %v, sweep %t; want from %v, sweep %t",
					pass.From, pass.Position, pass.Sweep, c.from, c.sweep)
			}
		})
	}
}

// TestAStepCoversWhatIsDelivered: events 1 and 2 are in, then everything before b was
// read, then event 3, then everything before c.
func TestAStepCoversWhatIsDelivered(t *testing.T) {
	a, b, c := ago(3*time.Hour), ago(2*time.Hour), ago(time.Hour)

	key := []Seen{{seenKey(1), a}, {seenKey(2), a}, {seenKey(3), b}}
	for _, step := range []struct {
		delivered uint64
		due       bool
		watermark tick.Tick
		seen      []Seen
	}{
		{0, false, a, nil},
		{1, true, a, key[:1]},
		{2, true, b, key[:2]},
		{3, true, c, key},
	} {
		p := resumed(Checkpoint{Floor: ago(time.Hour * 99), Watermark: a, SeenSince: ago(time.Hour * 99)})
		p.Emitted(1, key[0].Key, key[0].Time)
		p.Emitted(2, key[1].Key, key[1].Time)
		p.Read(b, 2, 0)
		p.Emitted(3, key[2].Key, key[2].Time)
		p.Read(c, 3, 0)

		p.Delivered(step.delivered)

		s, due := p.Due()
		if due != step.due || s.Checkpoint.Watermark != step.watermark || !reflect.DeepEqual(s.Seen, step.seen) {
			t.Errorf("delivered up to %d: due %t, watermark %v, entries %v; want %t, %v, %v",
				step.delivered, due, s.Checkpoint.Watermark, s.Seen, step.due, step.watermark, step.seen)
		}

		if p.Committed(1) {
			t.Errorf("delivered up to %d: event 1 counts as committed before it is", step.delivered)
		}

		p.Commit(s)

		if got := p.Committed(step.delivered); !got {
			t.Errorf("delivered up to %d: it does not count as committed", step.delivered)
		}

		if p.Committed(step.delivered + 1) {
			t.Errorf("delivered up to %d: the next event counts as committed", step.delivered)
		}

		if w, _ := p.Watermark(); w != step.watermark {
			t.Errorf("delivered up to %d: the watermark is %v after the commit", step.delivered, w)
		}

		if _, due := p.Due(); due {
			t.Errorf("delivered up to %d: something is due after the commit", step.delivered)
		}
	}
}

func TestARepeatIsKnownAndItsNewerTimeCommitted(t *testing.T) {
	p := resumed(Checkpoint{Floor: 1, Watermark: 100, SeenSince: 1})
	if p.Repeated(seenKey(1), 50, 0) {
		t.Error("a version never emitted counts as a repeat")
	}

	p.Emitted(1, seenKey(1), 50)
	p.Delivered(1)
	s, _ := p.Due()
	p.Commit(s)

	if !p.Repeated(seenKey(1), 50, 1) {
		t.Error("a repeat is not known")
	}

	if _, due := p.Due(); due {
		t.Error("a repeat with the same time is committed")
	}

	if !p.Repeated(seenKey(1), 60, 1) {
		t.Error("a repeat with a newer time is not known")
	}

	if s, due := p.Due(); !due || len(s.Seen) != 1 || s.Seen[0].Time != 60 {
		t.Errorf("due %t, entries %v; want the newer time", due, s.Seen)
	}
}

func TestLatenessGrowsAndIsForgottenAfterADay(t *testing.T) {
	p := resumed(Checkpoint{Floor: ago(99 * time.Hour), Watermark: ago(0), Swept: ago(0)})

	pass := p.NextPass(now, ago(0))
	for _, c := range []struct {
		name string
		late time.Duration
		want time.Duration
	}{
		{"within the overlap", 5 * time.Minute, 0},
		{"later than the overlap", 3 * time.Hour, 3 * time.Hour},
		{"less late than before", 2 * time.Hour, 0},
		{"later than any sweep reaches", 48 * time.Hour, 24 * time.Hour},
		{"not older than what was read", -time.Minute, 0},
	} {
		if got := p.NoteLate(pass, ago(c.late), ago(0)); got != c.want {
			t.Errorf("%s: polls reach back further by %v; want %v", c.name, got, c.want)
		}
	}

	back := func(after time.Duration) time.Duration {
		at := now.Add(after)
		return (ago(0) - p.NextPass(at, ago(0)).From).Duration()
	}
	for _, c := range []struct{ after, want time.Duration }{
		{23 * time.Hour, 24 * time.Hour},
		{25 * time.Hour, 24 * time.Hour}, // it was observed within the last day
		{50 * time.Hour, 10 * time.Minute},
	} {
		if got := back(c.after); got != c.want {
			t.Errorf("%v later a poll reaches back %v; want %v", c.after, got, c.want)
		}
	}
}

func TestEntriesAreForgottenBehindEveryPoll(t *testing.T) {
	for name, c := range map[string]struct {
		needed tick.Tick
		since  tick.Tick
	}{
		"behind the sweep lookback":      {0, ago(24*time.Hour) - pruneMargin},
		"not before a window that waits": {ago(48 * time.Hour), ago(48 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			p := resumed(Checkpoint{
				Floor:     ago(99 * time.Hour),
				Watermark: ago(60 * time.Hour),
				SeenSince: ago(99 * time.Hour),
			})
			p.Need(c.needed)
			p.Emitted(1, seenKey(1), ago(47*time.Hour))
			p.Read(ago(0), 1, ago(0))
			p.Delivered(1)

			s, _ := p.Due()
			if s.Checkpoint.SeenSince != c.since {
				t.Errorf("the seen-set reaches back to %v; want %v", s.Checkpoint.SeenSince, c.since)
			}

			if known := p.Repeated(seenKey(1), ago(47*time.Hour), 1); known != (c.needed != 0) {
				t.Errorf("the entry is known: %t", known)
			}
		})
	}
}

func TestARewindForgetsWhatIsNotOnItsWay(t *testing.T) {
	p := resumed(Checkpoint{Floor: 1, Watermark: 100, SeenSince: 1})
	p.Emitted(1, seenKey(1), 40)
	p.Emitted(2, seenKey(2), 60)
	p.Delivered(2)
	s, _ := p.Due()
	p.Commit(s)
	p.Emitted(3, seenKey(3), 70) // on its way
	p.Read(200, 3, 0)
	p.Rewind(Checkpoint{Floor: 1, Watermark: 50, SeenSince: 1})

	for n, want := range map[int]bool{1: true, 2: false, 3: true} {
		if got := p.Repeated(seenKey(n), 0, 3); got != want {
			t.Errorf("version %d is known: %t; want %t", n, got, want)
		}
	}

	p.Delivered(3)
	s, _ = p.Due()
	p.Commit(s)

	if w, _ := p.Watermark(); w != 50 {
		t.Errorf("what was read before the rewind moved the watermark to %v", w)
	}
}

func TestTheFloorIsLoweredOnlyBeforeAnythingWasRead(t *testing.T) {
	p := New(reach, &Budget{})
	p.Start(1000, false)

	if p.Lower(2000) || !p.Lower(500) {
		t.Error("the floor of a new unit moves to an earlier time only")
	}

	p.Read(1500, 0, 0)

	if p.Lower(100) {
		t.Error("the floor was lowered after something was read")
	}

	if floor, _ := p.Bounds(); floor != 500 {
		t.Errorf("floor %d", floor)
	}
}

// A commit is under way when the first answer shows that the server's clock is behind.
func TestAFloorThatIsLoweredDuringACommitStaysLow(t *testing.T) {
	p := New(reach, &Budget{})
	p.Start(1000, false)

	step, due := p.Due()
	if !due {
		t.Fatal("nothing is due for a new unit")
	}

	p.Lower(500)
	p.Commit(step)

	if _, due := p.Due(); !due {
		t.Error("the lowered floor is not committed")
	}

	if floor, _ := p.Bounds(); floor != 500 {
		t.Errorf("floor %d", floor)
	}
}

func TestAReplayEndsWithAWholePass(t *testing.T) {
	p := resumed(Checkpoint{
		Floor:     ago(24 * time.Hour),
		Watermark: ago(time.Hour),
		SeenSince: ago(24 * time.Hour),
		Replay:    true,
	})
	if !p.Replay() {
		t.Fatal("what is emitted after a takeover is not marked")
	}

	p.Emitted(1, [16]byte{1}, ago(time.Minute))
	p.Read(ago(time.Minute), 1, 0)
	p.Delivered(1)

	step, due := p.Due()
	if !due || !step.Checkpoint.Replay || !p.Replay() {
		t.Errorf("a page ends it: %t, %+v, %t", due, step.Checkpoint, p.Replay())
	}

	p.Commit(step)
	p.Emitted(2, [16]byte{2}, ago(0))
	p.ReadWhole(ago(0), 2, 0)
	p.Read(ago(0), 2, 0) // another pass, which finds nothing

	if p.Replay() {
		t.Error("what comes after the first whole pass is marked")
	}

	if step, _ := p.Due(); !step.Checkpoint.Replay {
		t.Error("the store forgets the replay before the pass is delivered")
	}

	p.Delivered(2)

	step, due = p.Due()
	if !due || step.Checkpoint.Replay {
		t.Errorf("the store does not forget the replay: %t, %+v", due, step.Checkpoint)
	}

	p.Commit(step)

	p.Rewind(Checkpoint{Floor: ago(24 * time.Hour), Watermark: ago(2 * time.Hour), Replay: true})

	if !p.Replay() {
		t.Error("after a rewind the store says that it is a replay, and nothing is marked")
	}
}

func TestAReplayDoesNotCountAsLate(t *testing.T) {
	p := resumed(Checkpoint{
		Floor:     ago(24 * time.Hour),
		Watermark: ago(time.Minute),
		Swept:     ago(time.Minute),
		SeenSince: ago(24 * time.Hour),
		Replay:    true,
	})
	pass := p.NextPass(now, ago(0))
	late := reach.Overlap + time.Hour

	if got := p.NoteLate(pass, ago(late), ago(0)); got != 0 {
		t.Errorf("what a node that died had delivered counts as listed %v late", got)
	}

	p.ReadWhole(ago(0), 0, 0)

	if next := p.NextPass(now, ago(0)); next.From != ago(reach.Overlap) {
		t.Errorf("polls reach back to %v, want to %v", next.From, ago(reach.Overlap))
	}

	if got := p.NoteLate(pass, ago(late), ago(0)); got != late {
		t.Errorf("after the replay an alert counts as listed %v late, want %v", got, late)
	}
}

func TestAUnitThatWasNeverCommittedMayBeAReplay(t *testing.T) {
	p := New(reach, &Budget{PerUnit: 100, Total: 100})
	p.Start(1000, true)

	if step, due := p.Due(); !due || !step.Checkpoint.Replay || !p.Replay() {
		t.Errorf("%t, %+v", due, step.Checkpoint)
	}

	p.Lower(900)

	if step, _ := p.Due(); !step.Checkpoint.Replay || !p.Replay() {
		t.Errorf("with a lower floor: %+v", step.Checkpoint)
	}
}
