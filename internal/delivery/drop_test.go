package delivery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestNothingIsDeliveredWithoutTrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, trusted := newHost(t), true
		h.sender.OnlyWhile(func() bool { return trusted })

		s := h.stream()
		h.add(s, "1")
		h.ticks(1)
		h.add(s, "2")

		trusted = false

		h.ticks(100)

		if h.delivered != 1 || h.tried != 0 || h.sender.Next() != nil {
			t.Errorf("%d events delivered, want 1", h.delivered)
		}

		if b, blocked := h.sender.Blocked(time.Now()); blocked {
			t.Errorf("the missing trust shows as %+v", b)
		}

		trusted = true

		h.ticks(1)

		if h.delivered != 2 {
			t.Errorf("%d events delivered, want 2", h.delivered)
		}
	})
}

func TestTrustThatEndsInATickEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, asked := newHost(t), 0
		h.sender.OnlyWhile(func() bool { asked++; return asked <= 3 })

		for range 10 {
			h.add(h.stream(), "x")
		}

		h.ticks(1)

		if h.delivered != 3 {
			t.Errorf("%d events delivered, want 3", h.delivered)
		}
	})
}

func TestADroppedStreamDeliversNothing(t *testing.T) {
	for name, prepare := range map[string]func(h *host, s *Stream){
		"queued":     func(h *host, s *Stream) { h.add(s, "1", "2") },
		"not first":  func(h *host, s *Stream) { h.add(h.stream(), "other"); h.add(s, "1", "2") },
		"in batches": func(h *host, s *Stream) { addBatches(h.t, h.outbox, s, 5) },
		"suspects":   func(h *host, s *Stream) { h.full = true; h.add(s, "1", "2", "3"); h.ticks(40); h.full = false },
		"offered": func(h *host, s *Stream) {
			answer, err := h.outbox.Offer(h.t.Context(), s, event(h.t, "1"))
			if err != nil {
				h.t.Fatal(err)
			}

			h.t.Cleanup(func() {
				if <-answer {
					h.t.Error("what was offered counts as delivered")
				}
			})
		},
	} {
		t.Run(name, inTime(func(t *testing.T) {
			h, told := newHost(t), false
			s := NewStream("", &dropOwner{func(uint64) { told = true }})

			prepare(h, s)

			others := h.outbox.Events()
			h.outbox.Drop(s)
			h.delivered = 0

			h.sender.nextTry = time.Time{}
			h.sender.Tick(h.append, time.Second)

			if name == "not first" {
				others -= 2
			} else {
				others = 0
			}

			if h.delivered != others || told {
				t.Errorf("%d events delivered, want %d; the owner was told of a delivery: %t", h.delivered, others,
					told)
			}

			if h.outbox.Bytes() != 0 || h.outbox.Events() != 0 || s.bytes != 0 || len(s.undelivered) != 0 {
				t.Errorf("%d bytes and %d events are left, %d bytes of the stream", h.outbox.Bytes(), h.outbox.Events(),
					s.bytes)
			}

			if _, err := h.outbox.Add(t.Context(), s, event(t, "late"), nil); !errors.Is(err, ErrDropped) {
				t.Errorf("a later Add: %v", err)
			}
		}))
	}
}

// inTime runs a test with a clock that does not wait.
func inTime(run func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, run) }
}

// dropOwner notes what counts as delivered.
type dropOwner struct{ delivered func(uint64) }

func (o *dropOwner) Delivered(upTo uint64) { o.delivered(upTo) }
func (o *dropOwner) Rejected(*Batch)       {}

func TestADropDuringAnAppendCountsNothingAsDelivered(t *testing.T) {
	h, told := newHost(t), false
	s := NewStream("", &dropOwner{func(uint64) { told = true }})
	h.add(s, "1")
	h.add(h.stream(), "2")

	h.sender.Tick(func(string, []byte) bool {
		h.outbox.Drop(s)
		return true
	}, time.Second)

	if told || h.outbox.Bytes() != 0 {
		t.Errorf("the owner was told: %t; %d bytes are left", told, h.outbox.Bytes())
	}
}

func TestADropWakesWhoWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOutbox(100)
		s, _ := newStream(t)
		fill(t, o, s, 1, 100)

		errs := make(chan error, 1)

		go func() {
			_, err := o.Add(context.Background(), s, make([]byte, 50), nil)
			errs <- err
		}()

		synctest.Wait()
		o.Drop(s)

		if err := <-errs; !errors.Is(err, ErrDropped) {
			t.Errorf("got %v", err)
		}
	})
}
