package sqlite

import (
	"bytes"
	"testing"
	"time"

	"fluent-bit-defender/internal/store"
)

func FuzzDecodeState(f *testing.F) {
	s := unitState{}
	f.Add(s.encode())
	for n := range 30 {
		s.push(
			progress{
				when:       moment{1, time.Duration(n) * 20 * time.Second},
				checkpoint: store.Checkpoint{Watermark: 5, SeenSince: 7},
			},
		)
	}
	f.Add(s.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeState(b)
		if err != nil {
			return
		}
		again, err := decodeState(s.encode())
		if err != nil || again.now != s.now || len(again.history) != len(s.history) {
			t.Fatalf("%+v came back as %+v, %v", s, again, err)
		}
	})
}

func FuzzDecodeSeen(f *testing.F) {
	f.Add(appendSeen(nil, randomSeen(3, 9)))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		seen, err := decodeSeen(nil, b, -1<<63)
		if err == nil && !bytes.Equal(appendSeen(nil, seen), b) && len(b) > 4 {
			t.Fatalf("%x came back as %x", b, appendSeen(nil, seen))
		}
	})
}
