package unitstate_test

import (
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/unitstate"
	"fluent-bit-defender/internal/tick"
)

var testPolicy = unitstate.Policy{Window: 2 * time.Minute, Step: 10 * time.Second}

// sampleState has every field that is encoded.
var sampleState = unitstate.State{
	Has: true,
	Now: unitstate.Progress{
		When: unitstate.Moment{Boot: 2, At: 3},
		Checkpoint: store.Checkpoint{
			Floor:     4,
			Watermark: 5,
			SeenSince: 6,
			Swept:     7,
			Lateness:  8,
		},
	},
	History: []unitstate.Progress{{When: unitstate.Moment{Boot: 1}}},
}

// Files of users hold these bytes.
func TestBytesOfAStateStayAsTheyAre(t *testing.T) {
	const (
		numbers = "00000000000000020000000000000003000000000000000400000000000000050000000000000006" +
			"00000000000000070000000000000008" +
			"00000000000000010000000000000000000000000000000000000000000000000000000000000000" +
			"00000000000000000000000000000000"
		file   = "01010001" + numbers + "478aaea9"
		shared = "02070001" + numbers + "8124b625"
	)

	if got := hex.EncodeToString(sampleState.Encode()); got != file {
		t.Errorf("in a file: %s", got)
	}

	marked := sampleState.Clone()
	marked.Cut = true
	marked.Now.Checkpoint.Replay = true

	if got := hex.EncodeToString(marked.EncodeShared()); got != shared {
		t.Errorf("shared: %s", got)
	}
}

func TestAStateComesBackAsItWas(t *testing.T) {
	for _, replay := range []bool{false, true} {
		for _, cut := range []bool{false, true} {
			s := sampleState.Clone()
			s.Now.Checkpoint.Replay, s.Cut = replay, cut

			if got, err := unitstate.DecodeShared(s.EncodeShared()); err != nil || !reflect.DeepEqual(got, s) {
				t.Errorf("%+v came back as %+v, %v", s, got, err)
			}
		}
	}

	if _, err := unitstate.Decode(sampleState.EncodeShared()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a file took what is shared: %v", err)
	}

	if _, err := unitstate.DecodeShared(sampleState.Encode()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("what is shared took a file's: %v", err)
	}
}

// push commits a watermark of n at the n-th second.
func push(s *unitstate.State, p unitstate.Policy, seconds ...int) {
	for _, n := range seconds {
		s.Push(unitstate.Progress{
			When:       unitstate.Moment{At: time.Duration(n) * time.Second},
			Checkpoint: store.Checkpoint{Floor: 1, Watermark: tick.Tick(n), SeenSince: tick.Tick(n)},
		}, p)
	}
}

func TestUndoWithAWiderWindowGoesBackAsFarAsItCan(t *testing.T) {
	wide := testPolicy
	wide.Window = time.Hour

	for _, test := range []struct {
		name   string
		first  int
		policy unitstate.Policy
		want   tick.Tick
	}{
		{"the window that was kept for", 0, testPolicy, 880},
		{"a wider one", 0, wide, 880},
		{"a unit that began within the window", 950, testPolicy, 1},
		{"a unit that began within the wider one", 950, wide, 1},
	} {
		var s unitstate.State
		for n := test.first; n <= 1000; n += 10 {
			push(&s, testPolicy, n)
		}

		// It may have been stored in between.
		s, err := unitstate.DecodeShared(s.EncodeShared())
		if err != nil {
			t.Fatal(err)
		}

		changed := s.Undo(unitstate.Moment{At: 1000 * time.Second}, test.policy)
		if !changed || s.Now.Checkpoint.Watermark != test.want {
			t.Errorf("%s: back at %d, want %d", test.name, s.Now.Checkpoint.Watermark, test.want)
		}
	}
}

func TestAClockThatGoesBackUndoesMoreNotLess(t *testing.T) {
	var s unitstate.State

	for n := 0; n <= 1000; n += 10 {
		push(&s, testPolicy, n)
	}

	push(&s, testPolicy, 500, 510) // somebody set the clock of the database

	if !s.Undo(unitstate.Moment{At: 510 * time.Second}, testPolicy) || s.Now.Checkpoint.Watermark > 880 {
		t.Errorf("back at %d", s.Now.Checkpoint.Watermark)
	}
}
