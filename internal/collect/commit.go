package collect

import (
	"fluent-bit-defender/internal/progress"
	"fluent-bit-defender/internal/store"
)

// parkedEntry is an entry of the store that is not needed any more when event seq is
// delivered.
type parkedEntry struct {
	seq uint64
	id  int64
}

// returns notes that entry id of the store, parked once, is in the outbox again, and
// delivered when event seq is.
func (t *Tenant) returns(seq uint64, id int64) {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.returned = append(t.returned, parkedEntry{seq, id})
}

// commit returns what the store does not know yet of what was delivered; ok is false if
// it knows everything. When it is in the store, committed is to be called. It belongs to
// the committer.
func (t *Tenant) commit() (c store.Commit, committed func(), ok bool) {
	delivered := t.progress.DeliveredUpTo()
	step, due := t.progress.Due()

	t.mu.Lock()
	defer t.mu.Unlock()

	for _, e := range t.returned {
		if e.seq > delivered {
			break
		}

		c.Dropped = append(c.Dropped, e.id)
	}

	if !due && len(c.Dropped) == 0 && len(t.parked) == 0 {
		return c, nil, false
	}

	c.Key, c.Checkpoint, c.Deferred = t.cfg.Key, store.Checkpoint(step.Checkpoint), t.parked
	c.Seen = make([]store.Seen, len(step.Seen))

	for i, s := range step.Seen {
		c.Seen[i] = store.Seen(s)
	}

	return c, func() { t.committed(step, len(c.Dropped)) }, true
}

// committed notes that the store has a step, and dropped so many entries that were parked.
func (t *Tenant) committed(step progress.Step, dropped int) {
	t.progress.Commit(step)

	t.mu.Lock()
	defer t.mu.Unlock()

	t.parked, t.returned = nil, t.returned[dropped:]
}

// allCommitted reports whether everything that the tenant has read is delivered and in
// the store.
func (t *Tenant) allCommitted() bool {
	_, _, due := t.commit()
	return !due && t.progress.Committed(t.in.outbox.Added(t.stream))
}
