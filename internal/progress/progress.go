package progress

import (
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/tick"
)

// Checkpoint is what a store keeps of a unit's progress, besides the seen-set. Times are
// ticks of the API's update time.
type Checkpoint struct {
	Floor     tick.Tick     // nothing updated earlier is ever emitted
	Watermark tick.Tick     // everything updated earlier was read and delivered
	SeenSince tick.Tick     // the seen-set holds every version emitted with this update time or a later one
	Swept     tick.Tick     // up to when the last complete sweep had read
	Lateness  time.Duration // the greatest that was observed: polls reach back that far
	Replay    bool          // what is emitted until a pass has been read to its end may be a repeat
}

// Progress is how far one unit has come. All methods may be called at the same time;
// Delivered never waits.
type Progress struct {
	reach     Reach
	delivered atomic.Uint64 // number of the event up to which all are delivered

	mu         sync.Mutex
	checkpoint Checkpoint // as the store has it
	unsaved    bool       // the store does not have checkpoint yet
	replay     bool       // what is emitted now may have been delivered before
	readMark   tick.Tick
	swept      tick.Tick
	lateness   time.Duration // the greatest that was observed
	recent     time.Duration // the greatest since recentFrom: see forgetLateness
	recentFrom time.Time
	marks      []mark
	pending    []pendingSeen // emitted and not committed, ascending by number
	seen       seenSet
	needed     tick.Tick // see Need
}

// mark says how far the unit has come when event seq is delivered: everything that was
// updated before watermark is delivered then.
type mark struct {
	seq       uint64
	watermark tick.Tick
	swept     tick.Tick
	whole     bool // a pass was read to its end
}

// pendingSeen is an entry of the seen-set that is committed after event seq is delivered.
type pendingSeen struct {
	seq  uint64
	seen Seen
}

// pruneMargin keeps entries a little longer than any poll reaches back, so that windows
// that a reader rounds outwards meet no gap.
const pruneMargin = 10 * tick.Minute

// New returns the progress of a unit. The caller then calls Start or Resume.
func New(reach Reach, budget *Budget) *Progress {
	return &Progress{reach: reach, seen: seenSet{budget: budget}}
}

// Start begins at a floor, for a unit of which the store has no checkpoint. replay says
// that a node that died may have delivered some of its events.
func (p *Progress) Start(floor tick.Tick, replay bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.replay = replay
	p.startAt(floor)
}

// startAt begins at a floor. p.mu must be held.
func (p *Progress) startAt(floor tick.Tick) {
	p.checkpoint = Checkpoint{
		Floor:     floor,
		Watermark: floor,
		SeenSince: floor,
		Replay:    p.replay,
	}
	p.readMark, p.unsaved = floor, true
	p.seen.load(nil, floor)
}

// Resume goes on from what was committed.
func (p *Progress) Resume(cp Checkpoint, seen []Seen) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.checkpoint, p.replay = cp, cp.Replay
	p.readMark, p.swept, p.lateness = cp.Watermark, cp.Swept, cp.Lateness
	p.seen.load(seen, cp.SeenSince)
}

// Begun reports whether Start or Resume has been called.
func (p *Progress) Begun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.readMark != 0
}

// Lower moves the floor to an earlier time as long as nothing was read, and reports
// whether it did.
func (p *Progress) Lower(floor tick.Tick) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	unread := p.readMark == p.checkpoint.Floor && p.swept == 0 && len(p.pending) == 0 && p.seen.times == nil
	if !unread || floor >= p.checkpoint.Floor {
		return false
	}

	p.startAt(floor)

	return true
}

// Rewind goes back to cp, which the store has already, and forgets what was emitted since
// its watermark, so that it is emitted again. Events that are not committed yet are not
// forgotten, since they are still on their way. No step may be under way.
func (p *Progress) Rewind(cp Checkpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.checkpoint, p.readMark, p.marks = cp, cp.Watermark, nil
	p.replay = cp.Replay

	for key, at := range p.seen.times {
		if at >= cp.Watermark {
			p.seen.drop(key)
		}
	}

	p.seen.since = min(p.seen.since, cp.SeenSince)
	p.seen.pruned = min(p.seen.pruned, cp.SeenSince)

	for _, e := range p.pending {
		p.seen.add(e.seen.Key, e.seen.Time)
	}
}

// End takes the seen-set out of its budget. It is called when the unit has ended.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.seen.close()
}

// Bounds returns the floor, and the time from which on the seen-set is complete.
func (p *Progress) Bounds() (floor, since tick.Tick) {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.checkpoint.Floor, p.seen.since
}

// Watermark returns the committed watermark. moved is false as long as it is at the
// floor.
func (p *Progress) Watermark() (w tick.Tick, moved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.checkpoint.Watermark, p.checkpoint.Watermark != p.checkpoint.Floor
}

// Need keeps the seen-set from forgetting what was updated at or after this time. It is
// for windows that are read later; 0 means that there are none.
func (p *Progress) Need(since tick.Tick) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.needed = since
}

// Repeated reports whether key was emitted before. If it now has a newer time, the time
// is committed after event seq is delivered.
func (p *Progress) Repeated(key [16]byte, at tick.Tick, seq uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	if !p.seen.has(key) {
		return false
	}

	if p.seen.add(key, at) {
		p.pending = append(p.pending, pendingSeen{seq, Seen{Key: key, Time: at}})
	}

	return true
}

// Earlier reports whether an event with this key was emitted before. created is when the
// alert was created. known is false if the answer may be wrong, since an entry may have
// been forgotten: the alert is older than the time from which on the seen-set is
// complete. If the seen-set is complete from the floor on, nothing was forgotten, since
// nothing older than the floor is ever emitted.
func (p *Progress) Earlier(key [16]byte, created tick.Tick) (earlier, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.seen.has(key) {
		return true, true
	}

	complete := p.seen.since
	if complete <= p.checkpoint.Floor {
		return false, true
	}

	return false, created >= complete
}

// Full reports whether the budget allows no new entry in the seen-set. An alert without
// an entry would be emitted again with every poll, so it has to wait.
func (p *Progress) Full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.seen.full()
}

// Emitted notes that event seq carries key.
func (p *Progress) Emitted(seq uint64, key [16]byte, at tick.Tick) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.seen.add(key, at)
	p.pending = append(p.pending, pendingSeen{seq, Seen{Key: key, Time: at}})
}

// Read notes that everything updated before t was read, and is in the events up to seq.
// swept, if it is not 0, is the time up to which a sweep has read.
func (p *Progress) Read(t tick.Tick, seq uint64, swept tick.Tick) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.read(t, seq, swept, false)
}

// ReadWhole is Read for the end of a pass, which also ends a replay: no other node has
// delivered what is emitted from then on.
func (p *Progress) ReadWhole(t tick.Tick, seq uint64, swept tick.Tick) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.replay = false
	p.read(t, seq, swept, true)
}

// Replay reports whether what is emitted now may have been delivered before, by a node
// that died. It is so until the first pass has been read to its end.
func (p *Progress) Replay() bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.replay
}

// read is Read and ReadWhole for a caller that holds p.mu.
func (p *Progress) read(t tick.Tick, seq uint64, swept tick.Tick, whole bool) {
	p.readMark = max(p.readMark, t)
	p.swept = max(p.swept, swept)

	m := mark{
		seq:       seq,
		watermark: p.readMark,
		swept:     p.swept,
		whole:     whole,
	}

	if n := len(p.marks); n > 0 && p.marks[n-1].seq == seq {
		m.whole = m.whole || p.marks[n-1].whole
		p.marks[n-1] = m

		return
	}

	p.marks = append(p.marks, m)
}
