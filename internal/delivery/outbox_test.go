package delivery

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestABacklogUsesItsBuffersAgain(t *testing.T) {
	const events, size = 4000, 2500

	o := NewOutbox(32 << 20)
	s, _ := newStream(t)
	round := func() {
		fill(t, o, s, events, size)

		if got := drain(o); got != events*size {
			t.Fatalf("%d bytes came out, %d went in", got, events*size)
		}
	}
	round()

	if n := testing.AllocsPerRun(5, round); n > 100 { // batches, channels and the queue: some ten batches a round
		t.Errorf("%v allocations for %d events", n, events)
	}
}

func TestAQuietTickGivesTheMemoryOfABacklogBack(t *testing.T) {
	const limit = 8 << 20

	o := NewOutbox(limit)

	s, _ := newStream(t)
	for range 3 {
		fill(t, o, s, limit/2500-1, 2500)
		drain(o)

		if kept := o.bytes + len(o.spare)*MaxBatch; kept > limit {
			t.Errorf("%d bytes are queued or spare, the limit is %d", kept, limit)
		}
	}

	if len(o.spare) <= fewSpare {
		t.Fatalf("%d buffers were kept: nothing to give back", len(o.spare))
	}

	o.shrink()

	if len(o.spare) > fewSpare {
		t.Errorf("%d buffers are kept while nothing is queued", len(o.spare))
	}
}

func TestManyStreamsWithAFewEventsTakeLittleMemory(t *testing.T) {
	o, total := NewOutbox(32<<20), 0

	for range 1000 {
		s, _ := newStream(t)
		fill(t, o, s, 3, 500)
	}

	for _, b := range o.queue {
		total += cap(b.events)
	}

	if total > 4*o.Bytes() {
		t.Errorf("buffers of %d bytes for %d bytes of events", total, o.Bytes())
	}
}

// BenchmarkOutbox moves 100,000 events of 2.5 KB through an outbox of 32 MB.
func BenchmarkOutbox(b *testing.B) {
	o := NewOutbox(32 << 20)
	s, _ := newStream(b)
	b.SetBytes(100_000 * 2500)
	b.ReportAllocs()

	for b.Loop() {
		for range 10 {
			fill(b, o, s, 10_000, 2500)
			drain(o)
		}
	}
}

func TestSmallEventsDoNotOvertakeALargeOneForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		o := NewOutbox(1000)

		for range 4 { // there is always a small one
			s, _ := newStream(t)

			go func() {
				for ctx.Err() == nil {
					_, _ = o.Add(ctx, s, make([]byte, 100), nil)
				}
			}()
		}

		synctest.Wait()

		large, owner := newStream(t)
		go func() { _, _ = o.Add(ctx, large, make([]byte, 900), nil) }()

		synctest.Wait()

		for range 40 {
			b := o.head()
			o.removeHead()
			o.Release(b)
			synctest.Wait()
		}

		if owner.upTo.Load() != 1 {
			t.Error("the large event still waits after forty batches")
		}

		stop()
		synctest.Wait()
	})
}

func TestWhoStopsWaitingForRoomHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOutbox(1000)
		s, _ := newStream(t)
		fill(t, o, s, 1, 900)

		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { _, _ = o.Add(ctx, s, make([]byte, 500), nil) }()

			synctest.Wait()

			defer cancel()

			go func() { time.Sleep(time.Second); cancel() }()
		}

		var waited, ended atomic.Bool

		wait := func() func() { waited.Store(true); return func() { ended.Store(true) } }
		go func() {
			n, err := o.Add(t.Context(), s, make([]byte, 100), wait)
			if n != 2 || err != nil {
				t.Errorf("Add = %d, %v; want 2", n, err)
			}
		}()

		synctest.Wait()

		if !waited.Load() || ended.Load() {
			t.Error("it does not wait for its turn")
		}

		time.Sleep(2 * time.Second)
		synctest.Wait()

		if !ended.Load() {
			t.Error("it waits behind those that have given up")
		}

		for range 2 {
			go func() {
				if _, err := o.Add(t.Context(), s, make([]byte, 500), nil); !errors.Is(err, ErrClosed) {
					t.Errorf("at the end: %v", err)
				}
			}()
		}

		synctest.Wait()
		o.Close()
		synctest.Wait()
	})
}
