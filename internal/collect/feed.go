package collect

import (
	"cmp"
	"sync"
	"time"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/tick"
)

// feed is how far one tenant's polling has come: what was read, what of it was taken
// in, and what is written down.
//
// Three lines move in this order: readMark (everything before it was read and is in the
// outbox at least), the marks (read up to here when that event was added), and
// checkpoint.Watermark (all of that was taken in). Only the last one is stored.
type feed struct {
	key   store.FeedKey
	reach reach

	mu         sync.Mutex
	checkpoint store.Checkpoint // as the store has it, or will have after the commit under way
	unsaved    bool             // checkpoint differs from what the store has
	readMark   tick.Tick
	swept      tick.Tick
	lateness   time.Duration // the greatest that was observed, see wasLate
	recent     time.Duration // the greatest since recentFrom
	recentFrom time.Time
	marks      []mark
	pending    []pendingSeen // emitted, not written down yet; ascending by number
	seen       seenSet
	parked     []store.Deferred // to be put aside with the next commit: parked.go
	back       []parkedEntry    // what was parked before and is in the outbox again, by number
	oldest     tick.Tick        // where the oldest window begins that was set aside, 0 for none: the seen-set reaches that far in any case
}

// reach is how far polls reach back behind what was read.
type reach struct {
	overlap                      time.Duration
	sweepInterval, sweepLookback time.Duration // both positive, or there are no sweeps
}

func (r reach) sweeps() bool { return r.sweepInterval > 0 && r.sweepLookback > 0 }

// farthest is how far back any poll may reach.
func (r reach) farthest() time.Duration {
	if r.sweepInterval <= 0 {
		return r.overlap
	}

	return max(r.overlap, r.sweepLookback)
}

// mark says: when event seq is taken in, everything updated before watermark is.
type mark struct {
	seq       uint64
	watermark tick.Tick
	swept     tick.Tick
}

type pendingSeen struct {
	seq  uint64
	seen store.Seen
}

// parkedEntry is an entry of the store that is through when event seq is taken in.
type parkedEntry struct {
	seq uint64
	id  int64
}

// pruneMargin keeps entries a little longer than any poll reaches back, so that windows
// rounded outwards meet no gap.
const pruneMargin = 10 * tick.Minute

// start begins a feed that was never polled: the floor is where it begins for ever.
func (f *feed) start(floor tick.Tick) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.startAt(floor)
}

func (f *feed) startAt(floor tick.Tick) {
	f.checkpoint = store.Checkpoint{Floor: floor, Watermark: floor, SeenSince: floor}
	f.readMark, f.unsaved = floor, true
	f.seen.load(nil, floor)
}

// lower moves the floor of a feed down as long as nothing was read, and reports whether
// it did.
func (f *feed) lower(floor tick.Tick) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	unread := f.readMark == f.checkpoint.Floor && f.swept == 0 && len(f.pending) == 0 && f.seen.times == nil
	if !unread || floor >= f.checkpoint.Floor {
		return false
	}

	f.startAt(floor)

	return true
}

// begun tells whether start or resume has been called.
func (f *feed) begun() bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	return f.readMark != 0
}

// resume goes on from what the store kept.
func (f *feed) resume(cp store.Checkpoint, seen []store.Seen) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.checkpoint, f.readMark, f.swept, f.lateness = cp, cp.Watermark, cp.Swept, cp.Lateness
	f.seen.load(seen, cp.SeenSince)
}

// rewind goes on from cp and forgets what was emitted since, but for what is still on
// its way: that is not sent twice.
func (f *feed) rewind(cp store.Checkpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.checkpoint, f.readMark, f.marks = cp, cp.Watermark, nil
	for key, at := range f.seen.times {
		if at >= cp.Watermark {
			f.seen.drop(key)
		}
	}

	f.seen.since = min(f.seen.since, cp.SeenSince)

	f.seen.pruned = min(f.seen.pruned, cp.SeenSince)
	for _, p := range f.pending {
		f.seen.add(p.seen.Key, p.seen.Time)
	}
}

// latenessMemory is how long an alert that was listed late makes polls reach back
// further: a tenant that was slow once is not read twice as far for ever.
const latenessMemory = 24 * time.Hour

// wasLate notes a delay between an alert's update and its being listed, and tells
// whether it is greater than any of late.
func (f *feed) wasLate(d time.Duration) (greatest bool) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.recent = max(f.recent, d)
	if d <= f.lateness {
		return false
	}

	f.lateness = d

	return true
}

// nextPass decides how far the next poll reaches back. present is the local time start
// as the server's clock shows it.
func (f *feed) nextPass(start time.Time, present tick.Tick) *pass {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.forgetLateness(start)
	back := max(f.reach.overlap, min(f.lateness, f.reach.farthest()))
	sweep := f.reach.sweeps() && present-f.swept >= tick.FromDuration(f.reach.sweepInterval)

	from := f.readMark - tick.FromDuration(back)
	if sweep {
		// Counted from the last sweep, not from the present: what was listed since then
		// may be that much older.
		from = min(from, min(f.readMark, cmp.Or(f.swept, f.readMark))-tick.FromDuration(f.reach.sweepLookback))
	}

	from = max(from, f.checkpoint.Floor, f.seen.since)

	return &pass{
		started: start,
		from:    from,
		pos:     from,
		sweep:   sweep,
		begun:   f.readMark,
	}
}

// forgetLateness lets go of delays that were not seen again for latenessMemory; f.mu
// must be held.
func (f *feed) forgetLateness(now time.Time) {
	switch {
	case f.recentFrom.IsZero():
		f.recentFrom = now
	case now.Sub(f.recentFrom) >= latenessMemory:
		f.lateness, f.recent, f.recentFrom = f.recent, 0, now
	}
}

// emitted notes that event seq carries key.
func (f *feed) emitted(seq uint64, key [16]byte, at tick.Tick) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.seen.add(key, at)
	f.pending = append(f.pending, pendingSeen{seq, store.Seen{Key: key, Time: at}})
}

// full reports whether the seen-set takes no new entry.
func (f *feed) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	return f.seen.full()
}

// end lets the seen-set no longer count among those of the process.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.seen.close()
}

// repeated tells whether key was emitted before. A repeat with a newer time is written
// down, so that it is not forgotten before its time.
func (f *feed) repeated(key [16]byte, at tick.Tick, seq uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	if !f.seen.has(key) {
		return false
	}

	if _, later := f.seen.add(key, at); later {
		f.pending = append(f.pending, pendingSeen{seq, store.Seen{Key: key, Time: at}})
	}

	return true
}

// bounds tells the floor, and the time before which the seen-set is not complete.
func (f *feed) bounds() (floor, since tick.Tick) {
	f.mu.Lock()
	defer f.mu.Unlock()

	return f.checkpoint.Floor, f.seen.since
}

// read says that everything updated before t has been read; seq is the newest event of
// it.
func (f *feed) read(t tick.Tick, seq uint64, swept tick.Tick) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.readMark = max(f.readMark, t)
	f.swept = max(f.swept, swept)

	m := mark{seq, f.readMark, f.swept}
	if n := len(f.marks); n > 0 && f.marks[n-1].seq == seq {
		f.marks[n-1] = m
		return
	}

	f.marks = append(f.marks, m)
}

// gather collects what can be written down now: what was taken in. ok is false if that
// is nothing new. After the commit, saved is to be called with the numbers that gather
// returned.
func (f *feed) gather(taken uint64) (c store.Commit, saved func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()

	cp, marks := f.checkpoint, 0
	for marks < len(f.marks) && f.marks[marks].seq <= taken {
		m := f.marks[marks]
		cp.Watermark, cp.Swept = max(cp.Watermark, m.watermark), max(cp.Swept, m.swept)
		marks++
	}

	n := 0
	for n < len(f.pending) && f.pending[n].seq <= taken {
		n++
	}

	back := 0
	for back < len(f.back) && f.back[back].seq <= taken {
		c.Dropped = append(c.Dropped, f.back[back].id)
		back++
	}

	if n == 0 && marks == 0 && back == 0 && len(f.parked) == 0 && !f.unsaved {
		return c, nil, false
	}

	cp.Lateness = f.lateness

	bound := cp.Watermark
	if f.reach.sweeps() && cp.Swept != 0 {
		bound = min(bound, cp.Swept) // the next sweep reaches back from the last one
	}

	keep := tick.FromDuration(f.reach.farthest())

	bound -= keep + pruneMargin
	if f.oldest != 0 {
		bound = min(bound, f.oldest)
	}

	f.seen.prune(max(f.seen.since, bound), max(keep/8, tick.Minute))
	cp.SeenSince = f.seen.since

	c.Key, c.Checkpoint, c.Deferred = f.key, cp, f.parked
	for _, p := range f.pending[:n] {
		c.Seen = append(c.Seen, p.seen)
	}

	return c, func() { f.saved(cp, n, marks, back) }, true
}

// park lets the next commit put events aside that waited.
func (f *feed) park(a store.Deferred) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.parked = append(f.parked, a)
}

// tookBack notes that entry id of the store, parked once, is through when event seq is.
func (f *feed) tookBack(seq uint64, id int64) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.back = append(f.back, parkedEntry{seq, id})
}

func (f *feed) saved(cp store.Checkpoint, pending, marks, back int) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.parked, f.back = nil, drop(f.back, back)
	if f.checkpoint.Floor == cp.Floor { // else lower began it anew meanwhile
		f.checkpoint, f.unsaved = cp, false
	}

	f.pending = drop(f.pending, pending)
	f.marks = drop(f.marks, marks)
}

// remember keeps what was emitted of windows that were set aside from being forgotten
// before they are read.
func (f *feed) remember(windows []asideWindow) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.oldest = 0
	for _, w := range windows {
		if f.oldest == 0 || w.From < f.oldest {
			f.oldest = w.From
		}
	}
}

// writtenDown tells whether everything up to event seq is in the store.
func (f *feed) writtenDown(taken, seq uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	return taken >= seq && (len(f.pending) == 0 || f.pending[0].seq > seq)
}

// settled tells whether everything up to event last is taken in and written down.
func (f *feed) settled(taken, last uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	return taken >= last && len(f.pending) == 0 && len(f.marks) == 0 && len(f.back) == 0 && !f.unsaved
}

// watermark is before what everything was taken in and written down. begun is false as
// long as that is nothing.
func (f *feed) watermark() (w tick.Tick, begun bool) {
	f.mu.Lock()
	defer f.mu.Unlock()

	return f.checkpoint.Watermark, f.checkpoint.Watermark != f.checkpoint.Floor
}

// drop takes n elements off the front and gives the memory back when nothing is left.
func drop[T any](s []T, n int) []T {
	if n == len(s) {
		return nil
	}

	return s[n:]
}
