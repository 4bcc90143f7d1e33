package storetest

import (
	"reflect"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

func rewindIsPending(t *testing.T, b Backend) {
	for n := 1; n <= 3; n++ {
		if err := b.Units.Rewind(t.Context(), Key(n), tick.Tick(n)); err != nil {
			t.Fatal(err)
		}
	}

	if err := b.Units.ClearRewind(t.Context(), Key(3)); err != nil {
		t.Fatal(err)
	}

	f := b.Reopen()
	for _, test := range []struct {
		ask  []alert.UnitKey
		want map[alert.UnitKey]tick.Tick
	}{
		{nil, map[alert.UnitKey]tick.Tick{Key(1): 1, Key(2): 2}},
		{[]alert.UnitKey{Key(2), Key(3)}, map[alert.UnitKey]tick.Tick{Key(2): 2}},
	} {
		if got, err := f.PendingRewind(t.Context(), test.ask...); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("PendingRewind(%v) = %v, %v", test.ask, got, err)
		}
	}
}

func rewindEarlierCounts(t *testing.T, b Backend) {
	for _, since := range []tick.Tick{50, 20, 70} {
		if err := b.Units.Rewind(t.Context(), Key(1), since); err != nil {
			t.Fatal(err)
		}
	}

	if got, err := b.Units.PendingRewind(t.Context()); err != nil || got[Key(1)] != 20 {
		t.Errorf("PendingRewind = %v, %v", got, err)
	}
}

func rewindApplied(t *testing.T, b Backend) {
	start := store.Checkpoint{
		Floor:     100,
		Watermark: 500,
		SeenSince: 300,
		Swept:     450,
		Lateness:  time.Second,
	}
	for i := range 40 {
		b.Advance(10 * time.Second)
		commit(t, b.Units, store.Commit{Key: Key(1), Checkpoint: start, Seen: Entries(tick.Tick(300+5*i), 5)})
	}

	if _, ok, err := b.Units.ApplyRewind(t.Context(), Key(1)); ok || err != nil {
		t.Errorf("nothing was requested: %v, %v", ok, err)
	}

	for _, test := range []struct {
		since tick.Tick
		want  store.Checkpoint
		seen  []store.Seen
	}{
		{402, store.Checkpoint{
			Floor:     100,
			Watermark: 402,
			SeenSince: 300,
			Swept:     450,
			Lateness:  time.Second,
		}, Entries(300, 102)},
		{50, store.Checkpoint{
			Floor:     50,
			Watermark: 50,
			SeenSince: 50,
			Swept:     450,
			Lateness:  time.Second,
		}, nil},
		{9000, store.Checkpoint{
			Floor:     50,
			Watermark: 50,
			SeenSince: 50,
			Swept:     450,
			Lateness:  time.Second,
		}, nil},
	} {
		if err := b.Units.Rewind(t.Context(), Key(1), test.since); err != nil {
			t.Fatal(err)
		}

		c, ok, err := b.Units.ApplyRewind(t.Context(), Key(1))
		if err != nil || !ok || c != test.want {
			t.Errorf("ApplyRewind(%d) = %+v, %v, %v; want %+v", test.since, c, ok, err, test.want)
		}

		b.Units = b.Reopen()
		Expect(t, b.Units, Key(1), test.want, test.seen)

		if got, err := b.Units.PendingRewind(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("still pending: %v, %v", got, err)
		}
	}
}

func rewindWithoutCheckpoint(t *testing.T, b Backend) {
	if err := b.Units.Rewind(t.Context(), Key(1), 5); err != nil {
		t.Fatal(err)
	}

	if _, ok, err := b.Units.ApplyRewind(t.Context(), Key(1)); ok || err != nil {
		t.Errorf("ApplyRewind = %v, %v", ok, err)
	}

	if got, err := b.Units.PendingRewind(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("still pending: %v, %v", got, err)
	}
}
