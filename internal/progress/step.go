package progress

import "fluent-bit-defender/internal/tick"

// Step is what a commit writes: progress over what was delivered.
type Step struct {
	Checkpoint Checkpoint
	Seen       []Seen // new entries, and new times of old ones

	marks, pending int // how many this step covers
}

// Delivered notes that every event up to this number is delivered. It never waits.
func (p *Progress) Delivered(upTo uint64) { p.delivered.Store(upTo) }

// DeliveredUpTo returns the number of the event up to which all are delivered.
func (p *Progress) DeliveredUpTo() uint64 { return p.delivered.Load() }

// Committed reports whether the events up to this number are delivered and the store
// knows all their entries of the seen-set.
func (p *Progress) Committed(seq uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.delivered.Load() >= seq && (len(p.pending) == 0 || p.pending[0].seq > seq)
}

// Due returns the step that can be committed now. due is false if the store has all of it
// already. When the step is in the store, the caller calls Commit with it. Only one step
// may be under way at a time.
func (p *Progress) Due() (step Step, due bool) {
	delivered := p.delivered.Load()

	p.mu.Lock()
	defer p.mu.Unlock()

	cp := p.checkpoint

	for step.marks < len(p.marks) && p.marks[step.marks].seq <= delivered {
		m := p.marks[step.marks]
		cp.Watermark, cp.Swept = max(cp.Watermark, m.watermark), max(cp.Swept, m.swept)
		cp.Replay = cp.Replay && !m.whole
		step.marks++
	}

	for step.pending < len(p.pending) && p.pending[step.pending].seq <= delivered {
		step.pending++
	}

	if step.pending == 0 && step.marks == 0 && !p.unsaved {
		step.Checkpoint = cp
		return step, false
	}

	p.prune(cp)
	cp.Lateness, cp.SeenSince = p.lateness, p.seen.since

	step.Checkpoint = cp
	if step.pending > 0 {
		step.Seen = make([]Seen, step.pending)
		for i := range step.Seen {
			step.Seen[i] = p.pending[i].seen
		}
	}

	return step, true
}

// prune forgets the entries that no poll reaches back to once cp is committed; p.mu must
// be held.
func (p *Progress) prune(cp Checkpoint) {
	bound := cp.Watermark
	if p.reach.sweeps() && cp.Swept != 0 {
		bound = min(bound, cp.Swept) // the next sweep reaches back from the last one
	}

	farthest := tick.FromDuration(p.reach.farthest())

	bound -= farthest + pruneMargin
	if p.needed != 0 {
		bound = min(bound, p.needed)
	}

	p.seen.prune(max(p.seen.since, bound), max(farthest/8, tick.Minute))
}

// Commit notes that the store has the step that Due returned.
func (p *Progress) Commit(step Step) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.checkpoint.Floor == step.Checkpoint.Floor { // else Lower was called meanwhile
		p.checkpoint, p.unsaved = step.Checkpoint, false
	}

	p.pending = dropFirst(p.pending, step.pending)
	p.marks = dropFirst(p.marks, step.marks)
}

// dropFirst returns s without its first n elements. If none is left it returns nil, so
// that the memory is freed.
func dropFirst[T any](s []T, n int) []T {
	if n == len(s) {
		return nil
	}

	return s[n:]
}
