package unitstate_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/storetest"
	"fluent-bit-defender/internal/store/unitstate"
)

// samples are states of many shapes.
func samples() (all []unitstate.State) {
	var s unitstate.State

	all = append(all, s)

	for n := range 30 {
		s.Push(unitstate.Progress{
			When:       unitstate.Moment{Boot: 1, At: time.Duration(n) * 20 * time.Second},
			Checkpoint: store.Checkpoint{Watermark: 5, SeenSince: 7, Replay: n%2 == 0},
		}, testPolicy)
		all = append(all, s.Clone())
	}

	return all
}

func FuzzDecode(f *testing.F) {
	fuzzState(f, (*unitstate.State).Encode, unitstate.Decode)
}

func FuzzDecodeShared(f *testing.F) {
	fuzzState(f, (*unitstate.State).EncodeShared, unitstate.DecodeShared)
}

func fuzzState(
	f *testing.F, encode func(*unitstate.State) []byte, decode func([]byte) (unitstate.State, error),
) {
	for _, s := range samples() {
		f.Add(encode(&s))
	}

	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		if err != nil {
			return
		}

		again, err := decode(encode(&s))
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%+v came back as %+v, %v", s, again, err)
		}
	})
}

func FuzzDecodeSeen(f *testing.F) {
	f.Add(unitstate.AppendSeen(nil, storetest.Entries(9, 3)))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		seen, err := unitstate.DecodeSeen(nil, b, -1<<63)
		if again := unitstate.AppendSeen(nil, seen); err == nil && !bytes.Equal(again, b) && len(b) > 4 {
			t.Fatalf("%x came back as %x", b, again)
		}
	})
}
