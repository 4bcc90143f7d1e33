package delivery

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/tick"
)

// recorder is an Owner that remembers what it was told.
type recorder struct {
	upTo   atomic.Uint64
	reject func(*Batch) // nil: nothing may be rejected
	t      testing.TB
}

func (r *recorder) Delivered(upTo uint64) { r.upTo.Store(upTo) }

func (r *recorder) Rejected(b *Batch) {
	if r.reject == nil {
		r.t.Error("an event was rejected")
		return
	}

	r.reject(b)
}

// newStream returns a stream of which nothing may be rejected.
func newStream(t testing.TB) (*Stream, *recorder) {
	r := &recorder{t: t}
	return NewStream("", r), r
}

// event is an alert with this id, encoded.
func event(tb testing.TB, id string) []byte {
	tb.Helper()

	encoder, err := record.NewEncoder(record.Options{TenantID: "x", API: alert.SIEM})
	if err != nil {
		tb.Fatal(err)
	}

	key := alert.MakeID("x", "siem", []byte(id), nil)

	encoded, err := encoder.Alert(nil, alert.Version{
		Time: tick.FromTime(time.Now()),
		ID:   key,
	}, []byte(`{"FullId":"`+id+`"}`))
	if err != nil {
		tb.Fatal(err)
	}

	return encoded
}

// fill adds n events of size bytes.
func fill(tb testing.TB, o *Outbox, s *Stream, n, size int) {
	tb.Helper()

	event := bytes.Repeat([]byte{0xc0}, size)
	for range n {
		if _, err := o.Add(tb.Context(), s, event, nil); err != nil {
			tb.Fatal(err)
		}
	}
}

// filled is an outbox with n events in one batch.
func filled(t *testing.T, n int) (*Outbox, *Stream, *recorder) {
	t.Helper()

	o := NewOutbox(1 << 20)

	s, r := newStream(t)
	for i := range n {
		if _, err := o.Add(t.Context(), s, event(t, fmt.Sprint(i)), nil); err != nil {
			t.Fatal(err)
		}
	}

	return o, s, r
}

// addBatches adds n batches of one event.
func addBatches(t *testing.T, o *Outbox, s *Stream, n int) {
	t.Helper()

	for range n {
		o.mu.Lock()
		s.open = nil
		o.mu.Unlock()

		if _, err := o.Add(t.Context(), s, []byte{0x92, 0x00, 0x80}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// drain delivers everything that is queued and returns its size.
func drain(o *Outbox) (size int) {
	for b := o.head(); b != nil; b = o.head() {
		size += len(b.events)

		o.removeHead()
		o.Release(b)
	}

	return size
}

// host is a Sender whose appends the test sees. Events that contain "bad" are refused,
// and all events while full.
type host struct {
	t         *testing.T
	outbox    *Outbox
	sender    *Sender
	full      bool
	delivered int // events
	rejected  int // events
	tried     int // appends in the last tick
}

func newHost(t *testing.T) *host {
	h := &host{t: t, outbox: NewOutbox(1 << 20)}
	h.sender = NewSender(h.outbox, Sure, time.Now)

	return h
}

// stream returns a stream whose owner releases what is rejected at once.
func (h *host) stream() *Stream {
	return NewStream("", &recorder{t: h.t, reject: func(b *Batch) { h.rejected++; h.outbox.Release(b) }})
}

func (h *host) add(s *Stream, ids ...string) {
	for _, id := range ids {
		if _, err := h.outbox.Add(h.t.Context(), s, event(h.t, id), nil); err != nil {
			h.t.Fatal(err)
		}
	}
}

// ticks lets so many seconds pass, with a tick in each.
func (h *host) ticks(n int) {
	for range n {
		time.Sleep(time.Second)

		h.tried = 0
		h.sender.Tick(h.append, time.Second)
	}
}

func (h *host) append(_ string, events []byte) bool {
	h.tried++
	if h.full || bytes.Contains(events, []byte("bad")) {
		return false
	}

	for rest := events; len(rest) > 0; h.delivered++ {
		_, more, err := record.Next(rest)
		if err != nil {
			h.t.Fatal(err)
		}

		rest = more
	}

	return true
}
