package delivery

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestADiskThatFillsIsNotTakenForFaultyEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, owner := filled(t, 10)
		room := 600
		s := NewSender(o, Sure, time.Now)
		appendTo := func(_ string, events []byte) bool {
			if len(events) > room {
				return false
			}

			room -= len(events)

			return true
		}

		for range 40 {
			time.Sleep(time.Second)
			s.Tick(appendTo, time.Second)
		}

		room = 1 << 20

		time.Sleep(longestBackOff)
		s.Tick(appendTo, time.Second)

		if n := owner.upTo.Load(); n != 10 {
			t.Errorf("with room again %d of 10 are delivered", n)
		}
	})
}

func TestABestEffortTickAppendsSixtyFourTimesAtMost(t *testing.T) {
	for name, full := range map[string]bool{"ring with room": false, "full ring": true} {
		t.Run(name, func(t *testing.T) {
			o, stream, owner := filled(t, 500)
			addBatches(t, o, stream, 200)
			s := NewSender(o, BestEffort, time.Now)
			most := 0

			for range 40 {
				n := 0

				s.Tick(func(string, []byte) bool { n++; return !full }, time.Second)

				most = max(most, n)
			}

			if most > ringBudget || most == 0 {
				t.Errorf("%d appends in a tick", most)
			}

			if owner.upTo.Load() > 0 && full {
				t.Error("something counts as delivered although all was refused")
			}
		})
	}
}

func TestUnconfirmedIsDeliveredASecondLaterWithoutAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, owner := filled(t, 3)
		s := NewSender(o, BestEffort, time.Now)
		yes := func(string, []byte) bool { return true }
		s.Tick(yes, time.Second)
		time.Sleep(900 * time.Millisecond)
		s.Tick(yes, time.Second)

		if owner.upTo.Load() != 0 {
			t.Error("delivered after 0.9 s")
		}

		s.Pause()
		time.Sleep(time.Minute)
		s.Tick(yes, time.Second)
		s.Resume()
		s.Tick(yes, time.Second)

		if owner.upTo.Load() != 0 {
			t.Error("delivered across a pause")
		}

		time.Sleep(time.Second)
		s.Tick(yes, time.Second)

		if n := owner.upTo.Load(); n != 3 {
			t.Errorf("a second after the pause %d of 3 are delivered", n)
		}
	})
}

func TestATickStopsAtItsLimitAndReportsThatMoreIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, stream, _ := filled(t, 10)
		addBatches(t, o, stream, 9)
		s := NewSender(o, Sure, time.Now)
		n := 0
		slow := func(string, []byte) bool { n++; time.Sleep(6 * time.Millisecond); return true }

		for _, want := range []struct {
			limit   time.Duration
			appends int
			more    bool
		}{
			{0, 1, true},
			{20 * time.Millisecond, 4, true},
			{time.Second, 5, false},
			{time.Second, 0, false},
		} {
			n = 0
			if more := s.Tick(slow, want.limit); n != want.appends || more != want.more {
				t.Errorf("within %v: %d appends, more %t; want %d, %t", want.limit, n, more, want.appends, want.more)
			}
		}
	})
}

func TestInBestEffortWhatIsReturnedIsDeliveredInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _, owner := filled(t, 3)

		s := NewSender(o, BestEffort, time.Now)
		for range 5 {
			if s.Next() != nil {
				s.Copied()
			}

			time.Sleep(time.Second)
		}

		if owner.upTo.Load() != 3 || o.Bytes() != 0 {
			t.Errorf("%d of 3 are delivered, %d bytes wait", owner.upTo.Load(), o.Bytes())
		}
	})
}

func TestRejectedEventsOfManyStreamsHoldUpNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		for range 100 {
			h.add(h.stream(), "good", "good", "good", "bad")
		}

		h.ticks(60)

		if h.delivered != 300 || h.rejected < 99 { // nothing was accepted after the last one
			t.Errorf("%d of 300 are delivered, %d of 100 rejected", h.delivered, h.rejected)
		}
	})
}

func TestAfterARejectedEventTheNextOneIsFoundAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.add(h.stream(), "bad")
		h.add(h.stream(), "good")
		h.ticks(50)

		for n := 2; n < 5; n++ {
			h.add(h.stream(), "good", "bad")
			h.add(h.stream(), "good")
			h.ticks(1)

			if want := 2*n - 1; h.delivered != want || h.rejected != n {
				t.Errorf("%d are delivered, %d rejected; want %d, %d", h.delivered, h.rejected, want, n)
			}
		}
	})
}

func TestWithRoomAgainASuspectHoldsUpNoneOfItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.full = true
		h.add(h.stream(), "bad", "bad", "good", "good", "good")
		h.ticks(300)

		if h.rejected > 0 {
			t.Errorf("%d were rejected although everything was refused", h.rejected)
		}

		h.full = false
		h.ticks(6)

		if h.delivered != 3 {
			t.Errorf("%d of 3 are delivered", h.delivered)
		}
	})
}

func TestAFullDiskIsNotTriedWithEverythingQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)

		h.full = true
		for range 500 {
			h.add(h.stream(), "good", "good")
		}

		few := 0

		for range 200 {
			h.ticks(1)

			if h.tried > 3*acceptingBudget/2 {
				t.Fatalf("%d appends in a tick", h.tried)
			}

			if h.tried <= 2 {
				few++
			}
		}

		if few < 150 {
			t.Errorf("%d of 200 ticks made two appends at most", few)
		}

		h.full = false
		h.ticks(1)

		if h.delivered != 1000 || h.rejected > 0 {
			t.Errorf("with room again %d of 1000 are delivered, %d rejected", h.delivered, h.rejected)
		}
	})
}

func TestFewAppendsAreTriedWhileADiskIsFull(t *testing.T) {
	for name, before := range map[string]bool{
		"nothing was rejected":               false,
		"an event was rejected not long ago": true,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				if before {
					h.add(h.stream(), "bad")
					h.add(h.stream(), "good")
					h.ticks(50)
				}

				h.full = true
				for range 200 {
					h.add(h.stream(), "good", "good", "good")
				}

				tried := 0

				for range 80 {
					h.ticks(1)
					tried += h.tried
				}

				if tried > 40 {
					t.Errorf("%d appends in 80 seconds", tried)
				}

				h.full = false
				h.ticks(int(longestBackOff/time.Second) + 30)

				if want := 600; h.delivered < want {
					t.Errorf("with room again %d of %d are delivered", h.delivered, want)
				}
			})
		})
	}
}

func TestAnOfferIsAnsweredOnceWithWhatBecameOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		for _, c := range []struct {
			id   string
			full bool
			want bool
		}{
			{id: "good", want: true},
			{id: "bad", want: false},
			{id: "good", full: true, want: false},
		} {
			h.full = c.full

			answer, err := h.outbox.Offer(t.Context(), NewStream("", nil), event(t, c.id))
			if err != nil {
				t.Fatal(err)
			}

			h.ticks(12)

			select {
			case delivered := <-answer:
				if delivered != c.want {
					t.Errorf("%s, disk full %t: delivered %t", c.id, c.full, delivered)
				}
			default:
				t.Errorf("%s, disk full %t: no answer", c.id, c.full)
			}

			if n := h.outbox.Bytes(); n != 0 {
				t.Errorf("%s, disk full %t: %d bytes are still in the outbox", c.id, c.full, n)
			}
		}
	})
}

func TestABlockageIsReportedAfterSomeSeconds(t *testing.T) {
	yes := func(string, []byte) bool { return true }

	no := func(string, []byte) bool { return false }
	for name, c := range map[string]struct {
		append Append // nil: no tick comes
		pause  bool
		after  time.Duration
		reason string // empty: nothing is blocked
	}{
		"all is well":          {append: yes, after: time.Minute},
		"refused for a moment": {append: no, after: 2 * time.Second},
		"refused":              {append: no, after: 5 * time.Second, reason: "refuses every append"},
		"paused for a moment":  {append: yes, pause: true, after: 2 * time.Second},
		"paused": {
			append: yes,
			pause:  true,
			after:  5 * time.Second,
			reason: "has paused",
		},
		"no callback for a moment": {after: 5 * time.Second},
		"no callback":              {after: 15 * time.Second, reason: "does not call"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, _, _ := filled(t, 1)

				s := NewSender(o, Sure, time.Now)
				if c.pause {
					s.Pause()
				}

				for begin := time.Now(); time.Since(begin) < c.after; time.Sleep(time.Second) {
					if c.append != nil {
						s.Tick(c.append, time.Second)
					}
				}

				b, blocked := s.Blocked(time.Now())
				if blocked != (c.reason != "") || !strings.Contains(b.Message, c.reason) {
					t.Errorf("blocked %t, reason %q; want %q", blocked, b.Message, c.reason)
				}
			})
		})
	}
}

func TestABatchIsAddedWholeAndItsLastEventNumbered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		owner := &recorder{t: t}
		s := NewStream("", owner)

		events := append(event(t, "good"), event(t, "good too")...)

		n, err := h.outbox.AddBatch(t.Context(), s, events)
		if n != 2 || err != nil || h.outbox.Added(s) != 2 {
			t.Errorf("AddBatch = %d, %v, %d added; want 2", n, err, h.outbox.Added(s))
		}

		if left := h.outbox.Undelivered(s); len(left) != 1 || len(left[0].Events()) != len(events) {
			t.Errorf("%d batches are undelivered before a tick", len(left))
		}

		h.ticks(1)

		if owner.upTo.Load() != 2 || len(h.outbox.Undelivered(s)) != 0 {
			t.Errorf("delivered up to %d, %d batches left", owner.upTo.Load(), len(h.outbox.Undelivered(s)))
		}
	})
}
