package collect

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fill puts n events of size bytes into a lane.
func fill(tb testing.TB, o *Outbox, l *Lane, n, size int) {
	tb.Helper()
	event := bytes.Repeat([]byte{0xc0}, size)
	for range n {
		if _, err := o.Add(tb.Context(), l, event, nil); err != nil {
			tb.Fatal(err)
		}
	}
}

// tickOnce hands everything over.
func tickOnce(o *Outbox) (events int) {
	for b := o.first(); b != nil; b = o.first() {
		events += len(b.events)
		o.detach()
		o.settle(b)
	}
	return events
}

func TestABacklogUsesItsBuffersAgain(t *testing.T) {
	const events, size = 4000, 2500
	o, l := NewOutbox(32<<20, func() {}), NewLane("", nil)
	round := func() {
		fill(t, o, l, events, size)
		if got := tickOnce(o); got != events*size {
			t.Fatalf("%d bytes came out, %d went in", got, events*size)
		}
	}
	round()
	if n := testing.AllocsPerRun(5, round); n > 100 { // batches, channels and the queue: some ten batches a round
		t.Errorf("%v allocations for %d events", n, events)
	}
}

func TestWhatABacklogNeededIsGivenBackByTheFirstTickThatFindsNothing(t *testing.T) {
	const limit = 8 << 20
	o, l := NewOutbox(limit, func() {}), NewLane("", nil)
	for range 3 {
		fill(t, o, l, limit/2500-1, 2500)
		tickOnce(o)
		if kept := o.bytes + len(o.spare)*MaxBatch; kept > limit {
			t.Errorf("%d bytes wait or are spare, the limit is %d", kept, limit)
		}
	}
	if len(o.spare) <= fewSpare {
		t.Fatalf("%d buffers were kept: nothing to give back", len(o.spare))
	}
	o.quiet()
	if len(o.spare) > fewSpare {
		t.Errorf("%d buffers are kept while nothing is waiting", len(o.spare))
	}
}

func TestManyLanesWithAFewEventsTakeLittleMemory(t *testing.T) {
	o, total := NewOutbox(32<<20, func() {}), 0
	for range 1000 {
		fill(t, o, NewLane("t", nil), 3, 500)
	}
	for _, b := range o.queue {
		total += cap(b.events)
	}
	if total > 4*o.Bytes() {
		t.Errorf("buffers of %d bytes for %d bytes of events", total, o.Bytes())
	}
}

// BenchmarkOutbox is 100,000 events of 2.5 KB through an outbox of 32 MB, in one turn.
func BenchmarkOutbox(b *testing.B) {
	o, l := NewOutbox(32<<20, func() {}), NewLane("", nil)
	b.SetBytes(100_000 * 2500)
	b.ReportAllocs()
	for b.Loop() {
		for range 10 {
			fill(b, o, l, 10_000, 2500)
			tickOnce(o)
		}
	}
}

func TestALargeEventIsNotOvertakenForEverBySmallOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		o := NewOutbox(1000, func() {})
		for range 4 { // always somebody has a small one
			l := NewLane("", nil)
			go func() {
				for ctx.Err() == nil {
					_, _ = o.Add(ctx, l, make([]byte, 100), nil)
				}
			}()
		}
		synctest.Wait()
		large := NewLane("", nil)
		go func() { _, _ = o.Add(ctx, large, make([]byte, 900), nil) }()
		synctest.Wait()
		for range 40 {
			b := o.first()
			o.detach()
			o.settle(b)
			synctest.Wait()
		}
		if large.Taken() != 1 {
			t.Error("the large event still waits after forty batches")
		}
		stop()
		synctest.Wait()
	})
}

func TestWhoStopsWaitingForRoomHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, l := NewOutbox(1000, func() {}), NewLane("", nil)
		fill(t, o, l, 1, 900)
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { _, _ = o.Add(ctx, l, make([]byte, 500), nil) }()
			synctest.Wait()
			defer cancel()
			go func() { time.Sleep(time.Second); cancel() }()
		}
		var waited, ended atomic.Bool
		go func() {
			n, err := o.Add(
				t.Context(),
				l,
				make([]byte, 100),
				func() func() { waited.Store(true); return func() { ended.Store(true) } },
			)
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
				if _, err := o.Add(t.Context(), l, make([]byte, 500), nil); !errors.Is(err, ErrRefused) {
					t.Errorf("at the end: %v", err)
				}
			}()
		}
		synctest.Wait()
		o.Close()
		synctest.Wait()
	})
}
