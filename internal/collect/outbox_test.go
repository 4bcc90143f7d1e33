package collect

import (
	"bytes"
	"testing"
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
