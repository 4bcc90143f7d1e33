package collect

import "fluent-bit-defender/internal/store"

// What is queued when the input ends in an orderly way is parked: it is put into the
// store, in the same transaction in which progress goes past it, and delivered first when
// the input starts again. Otherwise it would have to be read again, and a version that
// was replaced by a later one meanwhile would be lost.

// parkedReason is what the store says of such an entry, for people.
const parkedReason = "waiting for Fluent Bit when the input ended"

// mostParked bounds how many bytes are parked, in the little time there is at an end.
// What is beyond that is read again.
const mostParked = 64 << 20

// parked is what of a unit was parked, or is to be. It is guarded by Input.commit. A nil
// one is nothing, and only queuedAgain needs another.
type parked struct {
	// batches are to be parked with the next commit.
	batches []store.Deferred
	// returned were parked at the end of an earlier run, and are in the outbox again;
	// ascending by number.
	returned []returnedEntry
}

// returnedEntry is an entry of the store that is not needed any more when event seq is
// delivered.
type returnedEntry struct {
	seq uint64
	id  int64
}

// parkedWork returns what of the unit is parked, to be changed. Input.commit must be
// held.
func (u *Unit) parkedWork() *parked {
	if u.parked == nil {
		u.parked = new(parked)
	}

	return u.parked
}

// queuedAgain notes that entry id of the store is in the outbox again, up to event seq.
func (p *parked) queuedAgain(seq uint64, id int64) {
	p.returned = append(p.returned, returnedEntry{seq, id})
}

// due returns what the next commit is to park, and the entries that are delivered.
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

// committed notes that the store has parked the batches, and dropped so many entries.
func (p *parked) committed(dropped int) {
	if p != nil {
		p.batches, p.returned = nil, p.returned[dropped:]
	}
}

// park lets go of what is queued. It is for the very end: nothing is added or delivered
// any more.
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
