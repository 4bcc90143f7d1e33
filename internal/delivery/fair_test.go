package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// backlog adds events of a stream until ctx ends.
func backlog(ctx context.Context, t *testing.T, o *Outbox) {
	s, _ := newStream(t)

	event := bytes.Repeat([]byte{0xc0}, 10_000)
	for {
		if _, err := o.Add(ctx, s, event, nil); err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}

			return
		}
	}
}

// TestAFewAlertsPassLongBacklogs: Fluent Bit takes 2 MB a second, the buffer holds 16 MB.
func TestAFewAlertsPassLongBacklogs(t *testing.T) {
	for _, n := range []int{1, 3, 20} {
		t.Run(fmt.Sprintf("%d backlogs", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { passBacklogs(t, n) })
		})
	}
}

// passBacklogs checks how long alerts take beside n backlogs that fill the buffer.
func passBacklogs(t *testing.T, n int) {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	o := NewOutbox(16 << 20)

	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { backlog(ctx, t, o) })
	}

	wg.Go(func() { sendSlowly(ctx, NewSender(o, Sure, time.Now)) })

	few, seen := newStream(t)

	time.Sleep(30 * time.Second) // the backlogs have filled the buffer

	for range 60 {
		began := time.Now()

		number, err := o.Add(ctx, few, event(t, "x"), nil)
		if err != nil {
			t.Error(err)
			break
		}

		for seen.upTo.Load() < number {
			time.Sleep(100 * time.Millisecond)
		}
		// A turn is at most a batch of each stream.
		if took, most := time.Since(began), time.Duration(n/2+3)*time.Second; took > most {
			t.Errorf("an alert took %v, want at most %v", took, most)
		}
	}

	cancel()
	wg.Wait()
}

// sendSlowly sends 2 MiB a second.
func sendSlowly(ctx context.Context, sender *Sender) {
	for ctx.Err() == nil {
		room := 2 << 20

		sender.Tick(func(_ string, events []byte) bool {
			room -= len(events)
			if room <= 0 {
				sender.Pause()
			}

			return true
		}, time.Hour)
		time.Sleep(time.Second)
		sender.Resume()
	}
}

func TestBacklogsShareTheBufferEqually(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()

		const limit, n = 32 << 20, 4

		o := NewOutbox(limit)

		var wg sync.WaitGroup

		streams := make([]*Stream, n)
		event := bytes.Repeat([]byte{0xc0}, 10_000)

		for i := range streams {
			streams[i], _ = newStream(t)

			wg.Go(func() {
				for ctx.Err() == nil {
					_, _ = o.Add(ctx, streams[i], event, nil)
				}
			})
		}

		for range 200 {
			synctest.Wait()

			b := o.head()
			o.removeHead()
			o.Release(b)
		}

		synctest.Wait()

		for i, s := range streams {
			if want := limit * shareOfFree / (n*shareOfFree + 1); s.bytes < want*4/5 || s.bytes > want*6/5 {
				t.Errorf("stream %d has %d bytes of %d, want about %d", i, s.bytes, limit, want)
			}
		}

		if free := limit - o.bytes; free < limit/20 {
			t.Errorf("%d bytes are free", free)
		}

		cancel()
		wg.Wait()
	})
}

func TestAStreamThatIsAloneMayFillTheBuffer(t *testing.T) {
	o := NewOutbox(1 << 20)
	s, _ := newStream(t)
	fill(t, o, s, 1<<10, 1<<10)

	if o.Bytes() != 1<<20 {
		t.Errorf("%d bytes are queued", o.Bytes())
	}
}

func TestStreamsTakeTurns(t *testing.T) {
	o := NewOutbox(1 << 20)
	a, _ := newStream(t)
	b, _ := newStream(t)
	addBatches(t, o, a, 4)
	drain(o)
	addBatches(t, o, a, 4)
	addBatches(t, o, b, 3)

	got := ""
	for x := o.head(); x != nil; x = o.head() {
		got += map[*Stream]string{a: "a", b: "b"}[x.stream]

		o.removeHead()
		o.Release(x)
	}

	if got != "abababa" && got != "aabbaba" && got != "abbabaa" {
		t.Errorf("delivered %s", got)
	}
}
