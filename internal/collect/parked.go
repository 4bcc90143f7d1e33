package collect

import (
	"context"
	"fmt"
	"time"

	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
)

// Events that are queued when the input ends in an orderly way are parked: they are put
// into the store, in the same transaction that commits progress past them, and delivered
// first when the input starts again. Otherwise they would have to be read again, and a
// version that was replaced by a later one meanwhile would be lost.

// parkedReason is what the store says of such an entry, for people.
const parkedReason = "waiting for Fluent Bit when the input ended"

// mostParked is how many bytes are parked at most, since an end has to be quick. What is
// beyond that is read again.
const mostParked = 64 << 20

// parked has the batches of a unit that were parked, and those that are to be parked. It
// is guarded by Input.commit. Nil has none; due and committed may be called on it.
type parked struct {
	// batches are to be parked with the next commit.
	batches []store.Deferred
	// returned were parked at the end of an earlier run, and are in the outbox again;
	// ascending by number.
	returned []returnedEntry
}

// returnedEntry is an entry of the store that can be dropped when event seq is delivered.
type returnedEntry struct {
	seq uint64
	id  int64
}

// parkedWork returns u.parked, which it makes if it is nil. Input.commit must be held.
func (u *Unit) parkedWork() *parked {
	if u.parked == nil {
		u.parked = new(parked)
	}

	return u.parked
}

// queuedAgain notes that the events of entry id of the store are in the outbox again, the
// last one as event seq.
func (p *parked) queuedAgain(seq uint64, id int64) {
	p.returned = append(p.returned, returnedEntry{seq, id})
}

// due returns the batches that the next commit is to park, and the entries that it is to
// drop, since they are delivered.
func (p *parked) due(delivered uint64) (batches []store.Deferred, dropped []int64) {
	if p == nil {
		return nil, nil
	}

	for _, e := range p.returned {
		if e.seq > delivered {
			break
		}

		dropped = append(dropped, e.id)
	}

	return p.batches, dropped
}

// committed notes that the store has the batches of due, and has dropped its entries, as
// many as dropped.
func (p *parked) committed(dropped int) {
	if p != nil {
		p.batches, p.returned = nil, p.returned[dropped:]
	}
}

// park takes what is queued out of the outbox, to be parked with the next commit. It is
// called at the very end: nothing is added or delivered any more.
func (in *Input) park() {
	in.commit.Lock()
	defer in.commit.Unlock()

	left := mostParked

	for _, u := range in.all() {
		if u.abandoned.Load() {
			continue
		}

		for _, b := range in.outbox.Undelivered(u.stream) {
			if left -= len(b.Events()); left < 0 {
				return
			}

			p := u.parkedWork()
			p.batches = append(p.batches, store.Deferred{
				Kind:    store.ParkedBatch,
				Events:  b.Events(),
				Reason:  parkedReason,
				NextTry: u.now(),
			})
			in.outbox.Release(b)
		}
	}
}

// returnParked puts what an earlier run parked into the outbox, before anything is read.
// It returns false if ctx ended before.
func (p *poller) returnParked(ctx context.Context) bool {
	for ; len(p.toReturn) > 0; p.toReturn = p.toReturn[1:] {
		id := p.toReturn[0].ID

		events, ok := p.parkedEvents(ctx, id)
		if !ok {
			return false
		}

		if p.toReturn[0].Replay {
			events = record.MarkReplays(events)
		}

		if len(events) > 0 {
			n, err := p.in.outbox.AddBatch(ctx, p.stream, events)
			if err != nil {
				return false
			}

			p.queued = n
		}

		p.in.commit.Lock()
		p.parkedWork().queuedAgain(p.queued, id)
		p.in.commit.Unlock()
	}

	return true
}

// parkedEvents reads the events of an entry from the store, and tries again until the
// store answers. ok is false if ctx ended before.
func (p *poller) parkedEvents(ctx context.Context, id int64) (events []byte, ok bool) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		events, _, err := p.in.cfg.Store.DeferredEvents(ctx, p.cfg.Key, id)
		if err == nil {
			return events, true
		}

		p.log.Debug(fmt.Sprintf("a parked batch cannot be read from the store yet: %v", err))

		if pause.For(ctx, wait) != nil {
			return nil, false
		}
	}
}
