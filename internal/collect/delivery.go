package collect

import "time"

// Delivery hands the batches of an Outbox to Fluent Bit. All its methods are called on the thread of one collect callback; Pause and
// Resume may arrive from inside an append, on the same thread.
//
// A refusal has two causes. A full disk refuses everything and ends by itself; a processor that fails refuses the same event for ever. Only what is
// accepted meanwhile tells them apart. So a batch that was refused for long is taken apart, its events are put in doubt, where they
// are in nobody's way, and an event that is refused in the same tick in which something else is accepted afterwards is set aside.
type Delivery struct {
	outbox *Outbox
	mode   Mode
	now    func() time.Time

	paused   bool
	resumed  time.Time // when the last pause ended
	refusals int       // refusals of the head of the queue since a batch of the queue was accepted
	wary     time.Time // until then a batch that is refused is taken apart at once: an event was at fault not long ago
	doubtful []*batch  // events of batches that were taken apart; first in line is what was tried least
	proven   bool      // in the last tick something was accepted: the disk is not full
	returned *batch    // the batch given to the host by Take, until Taken
	unsure   []unsure  // best effort: appended, not yet counted as taken in
}

type unsure struct {
	batch *batch
	since time.Time
}

// Mode says what an append that succeeded means.
type Mode int

const (
	// Sure: an accepted batch is in the chunk (Threaded Off).
	Sure Mode = iota
	// BestEffort: an accepted batch is in a ring in memory, and counts as taken in at a later tick, at least a second after, without a pause in
	// between (threaded mode; interface.md 5).
	BestEffort
)

const (
	// ringBudget is how many appends one tick may make in threaded mode, where a full ring blocks.
	ringBudget = 64
	// splitAfter is for how many ticks a batch is refused, while nothing is paused, before it is taken apart, unless an event was found at
	// fault within waryFor.
	splitAfter = 30
	waryFor    = time.Hour
	// refusedBudget is how many appends a tick may make that are refused one after the other, since Fluent Bit logs each; half of them for
	// what is in doubt.
	refusedBudget = 64
	// manyDoubtful is how many events may be in doubt before the last one stays in the queue, where it keeps out what is beyond the limit of the
	// outbox: while a disk is full no more is read than fits.
	manyDoubtful = 16
)

// NewDelivery makes the delivery of an outbox.
func NewDelivery(o *Outbox, m Mode, now func() time.Time) *Delivery {
	return &Delivery{outbox: o, mode: m, now: now}
}

// Pause stops handing over until Resume.
func (d *Delivery) Pause() {
	d.paused = true
}

// Resume goes on.
func (d *Delivery) Resume() {
	if d.paused {
		d.paused, d.resumed = false, d.now()
	}
}

// Paused tells whether a pause is in force.
func (d *Delivery) Paused() bool { return d.paused }

// Append is Fluent Bit's own append: it tells whether the events were kept.
type Append func(tag string, events []byte) bool

// Tick hands over what is waiting, until there is no more, a pause or a refusal stops it, or it has taken as long as limit, at least one
// batch. more says that the limit was what stopped it.
func (d *Delivery) Tick(appendTo Append, limit time.Duration) (more bool) {
	t := &turn{Delivery: d, appendTo: appendTo, start: d.now(), limit: limit}
	d.confirm(t.start)
	defer t.end()
	most := 1 // while everything is refused, one attempt shows when that is over
	if d.proven {
		most = refusedBudget / 2
	}
	t.retry(len(d.doubtful), most)
	return t.queued()
}

// turn is one tick.
type turn struct {
	*Delivery
	appendTo Append
	start    time.Time
	limit    time.Duration
	refused  []*batch // events in doubt that were refused since something was accepted
	row      int      // appends refused one after the other
	accepted bool
}

func (t *turn) late() bool { return t.now().Sub(t.start) > t.limit }

// append hands a batch over. What is accepted shows that the events refused before it are at fault.
func (t *turn) append(b *batch) bool {
	if !t.appendTo(b.lane.tag, b.events) {
		t.row++
		return false
	}
	t.row, t.accepted = 0, true
	if len(t.refused) > 0 {
		t.wary = t.now().Add(waryFor)
		for _, r := range t.refused {
			t.outbox.keep(r)
		}
		t.refused = nil
	}
	return true
}

// queued hands over the queue.
func (t *turn) queued() (more bool) {
	for n := 0; !t.paused; n++ {
		if t.mode == BestEffort && n >= ringBudget || t.row >= refusedBudget {
			return false
		}
		b := t.outbox.first()
		switch {
		case b == nil:
			if n == 0 {
				t.outbox.quiet()
			}
			return false
		case t.append(b):
			t.refusals = 0
			t.outbox.detach()
			t.handedOver(b)
		case t.paused || t.mode == BestEffort: // there it says that the ring is full, and each further try would block
			return false
		case b.answer != nil: // it is written down, and comes again
			t.outbox.detach()
			t.done(b, false)
		default:
			t.refusals++
			if t.refusals < splitAfter && !t.start.Before(t.wary) {
				return false
			}
			if t.outbox.alone(b) && len(t.doubtful)+len(t.refused) >= manyDoubtful {
				return false
			}
			t.doubt(t.outbox.split())
		}
		if t.late() {
			return true
		}
	}
	return false
}

// doubt puts the events of a batch in doubt that was refused just now, and finds out which of them are at fault.
func (t *turn) doubt(events []*batch) {
	if len(events) == 1 {
		t.refused = append(t.refused, events[0])
		return
	}
	t.doubtful = append(events, t.doubtful...)
	t.retry(len(events), t.row+refusedBudget/2)
}

// retry hands over the first n events that are in doubt, until most appends were refused one after the other.
func (t *turn) retry(n, most int) {
	for ; n > 0 && !t.paused && t.row < most; n-- {
		b := t.doubtful[0]
		switch {
		case t.append(b):
			t.doubtful = t.doubtful[1:]
			t.handedOver(b)
		case t.paused:
			return
		default:
			t.doubtful = t.doubtful[1:]
			t.refused = append(t.refused, b)
		}
		if t.late() {
			return
		}
	}
}

// end leaves in doubt, behind all others, what nothing was accepted after.
func (t *turn) end() {
	t.doubtful = append(t.doubtful, t.refused...)
	t.proven = t.accepted
}

// handedOver notes a batch that was accepted.
func (d *Delivery) handedOver(b *batch) {
	if d.mode == Sure {
		d.done(b, true)
		return
	}
	d.unsure = append(d.unsure, unsure{b, d.now()})
}

func (d *Delivery) done(b *batch, taken bool) {
	d.outbox.settle(b)
	if b.answer != nil {
		b.answer <- taken
	}
}

// confirm counts as taken in what was appended at least a second ago with no pause since.
func (d *Delivery) confirm(now time.Time) {
	for len(d.unsure) > 0 && !d.paused {
		u := d.unsure[0]
		since := u.since
		if d.resumed.After(since) {
			since = d.resumed // what sat in the ring during the pause is drained after it
		}
		if now.Sub(since) < time.Second {
			return
		}
		d.done(u.batch, true)
		d.unsure = d.unsure[1:]
	}
}

// Take gives one batch to hand over by return value, nil if there is none. It is taken in when Taken is called, in threaded mode later.
func (d *Delivery) Take() []byte {
	d.confirm(d.now())
	if d.paused || d.returned != nil {
		return nil
	}
	if d.returned = d.outbox.first(); d.returned == nil {
		d.outbox.quiet()
		return nil
	}
	return d.returned.events
}

// Taken says that the host has copied the batch that Take gave.
func (d *Delivery) Taken() {
	b := d.returned
	d.returned = nil
	if b != nil {
		d.outbox.detach()
		d.handedOver(b)
	}
}
