package collect

import "time"

// Delivery hands the batches of an Outbox to Fluent Bit: doc.go draws the states. All
// its methods but Blocked are called on the thread of one collect callback; Pause and
// Resume may arrive from inside an append, on the same thread.
//
// A refusal has two causes. A full disk refuses everything and ends by itself; a
// processor that fails refuses the same event for ever. Only what is accepted meanwhile
// tells them apart. So while everything is refused there is one attempt every few
// seconds. A batch that was refused for long is taken apart, its events become
// suspects, where they are in nobody's way, and a suspect that is refused in the same
// tick in which something else is accepted afterwards is rejected.
type Delivery struct {
	outbox *Outbox
	mode   Mode
	now    func() time.Time

	paused      bool
	resumed     time.Time // when the last pause ended
	wary        time.Time // until then a batch that is refused is taken apart at once: an event was at fault not long ago
	suspects    []*batch  // events of batches that were taken apart; first in line is what was tried least
	accepted    bool      // in the last tick that tried something was accepted: the disk is not full
	returned    *batch    // the batch given to the host by Take, until Taken
	unconfirmed []unconfirmed

	// stuck is since when the head of the queue was refused; zero when a batch of the
	// queue was accepted last.
	stuck time.Time

	refused time.Time // since when everything is refused
	// While more is refused than accepted: when the next attempt is due, and how long
	// the wait is.
	nextTry time.Time
	wait    time.Duration

	blocked blockage
}

// unconfirmed is a batch that was appended in best-effort mode and does not count as
// delivered yet.
type unconfirmed struct {
	batch *batch
	since time.Time
}

// Mode says what an append that succeeded means.
type Mode int

const (
	// Sure: an accepted batch is in the chunk (Threaded Off).
	Sure Mode = iota
	// BestEffort: an accepted batch is in a ring in memory, and counts as delivered at
	// a later tick, at least a second after, without a pause in between (threaded
	// mode).
	BestEffort
)

const (
	// ringBudget is how many appends one tick may make in threaded mode, where a full
	// ring blocks.
	ringBudget = 64
	// splitAfter is for how long a batch is refused, while nothing is paused, before it
	// is taken apart, unless an event was found at fault within waryFor.
	splitAfter = 30 * time.Second
	waryFor    = time.Hour
	// refusedBudget is how many appends a tick may make that are refused one after the
	// other once something is accepted, since Fluent Bit logs each; half of them for
	// suspects.
	refusedBudget = 16
	// mostRefused is how many may be refused in all: on a disk that is nearly full
	// small events are accepted and larger ones are not.
	mostRefused = 20
	// waryBudget is the same as refusedBudget before something is accepted, also where
	// an event was at fault not long ago: the disk may have filled up.
	waryBudget = 8
	// blockedBudget is the same while everything is refused.
	blockedBudget = 3
	// manySuspects is how many events may be suspects before the last one stays in the
	// queue, where it keeps out what is beyond the limit of the outbox: while a disk is
	// full no more is read than fits.
	manySuspects = 16
	// While more is refused than accepted the next attempt comes after firstWait, then
	// after twice as long each time, up to longestWait: each one leaves lines in Fluent
	// Bit's log and an empty chunk file.
	firstWait   = time.Second
	longestWait = 10 * time.Second
)

// NewDelivery makes the delivery of an outbox.
func NewDelivery(o *Outbox, m Mode, now func() time.Time) *Delivery {
	d := &Delivery{outbox: o, mode: m, now: now}
	d.blocked.ticked.Store(now().UnixNano())

	return d
}

// Pause stops handing over until Resume.
func (d *Delivery) Pause() {
	if !d.paused {
		d.paused = true
		d.blocked.paused.Store(d.now().UnixNano())
	}
}

// Resume goes on.
func (d *Delivery) Resume() {
	if !d.paused {
		return
	}

	d.paused, d.resumed = false, d.now()
	d.blocked.paused.Store(0)

	if !d.stuck.IsZero() {
		d.stuck = d.resumed // nothing was tried during the pause
	}
}

// Paused reports whether a pause is in force.
func (d *Delivery) Paused() bool { return d.paused }

// Append is Fluent Bit's own append: it reports whether the events were kept.
type Append func(tag string, events []byte) bool

// Tick hands over what is waiting, until there is no more, a pause or a refusal stops
// it, or it has taken as long as limit, at least one batch. more says that the limit
// was what stopped it.
func (d *Delivery) Tick(appendTo Append, limit time.Duration) (more bool) {
	t := &turn{
		Delivery: d,
		appendTo: appendTo,
		start:    d.now(),
		limit:    limit,
	}
	d.blocked.ticked.Store(t.start.UnixNano())
	d.confirm(t.start)

	if d.paused || t.start.Before(d.nextTry) {
		return false
	}

	defer t.end()

	most := 1 // while everything is refused, one attempt shows whether that is over
	if d.accepted {
		most = waryBudget / 2
	}

	t.retry(len(d.suspects), most)

	return t.queued()
}

// turn is one tick.
type turn struct {
	*Delivery
	appendTo  Append
	start     time.Time
	limit     time.Duration
	suspected []*batch // suspects that were refused since something was accepted
	row       int      // appends refused one after the other
	down      int      // appends refused
	up        int      // appends accepted
	tried     bool
	taken     bool // something was accepted
}

func (t *turn) late() bool { return t.now().Sub(t.start) > t.limit }

// append hands a batch over. What is accepted shows that the suspects refused before it
// are at fault.
func (t *turn) append(b *batch) bool {
	t.tried = true
	if !t.appendTo(b.lane.tag, b.events) {
		t.row++
		t.down++

		return false
	}

	t.row, t.taken = 0, true
	t.up++
	t.unblock()

	if len(t.suspected) > 0 {
		t.wary = t.now().Add(waryFor)
		for _, r := range t.suspected {
			t.outbox.keep(r)
		}

		t.suspected = nil
	}

	return true
}

// queued hands over the queue.
func (t *turn) queued() (more bool) {
	for n := 0; !t.paused; n++ {
		if t.mode == BestEffort && n >= ringBudget || t.row >= t.budget() || t.down >= mostRefused {
			return false
		}

		b := t.outbox.first()
		switch {
		case b == nil:
			if n == 0 {
				t.outbox.quiet()
			}

			return false
		case b.answer != nil && t.row > 0 && t.blockedNow(): // known to be at fault, it shows nothing more
			t.outbox.detach()
			t.done(b, false)
		case t.append(b):
			t.stuck = time.Time{}
			t.outbox.detach()
			t.handedOver(b)
		case t.paused || !t.turnDown(b):
			return false
		}

		if t.late() {
			return true
		}
	}

	return false
}

// turnDown decides about the head of the queue, which was refused just now. It reports
// whether the tick may go on with what stands behind it.
func (t *turn) turnDown(b *batch) bool {
	switch {
	case t.mode == BestEffort: // the ring is full, and each further try would block
		return false
	case b.answer != nil: // it is written down, and comes again
		t.outbox.detach()
		t.done(b, false)

		return true
	}

	if t.stuck.IsZero() {
		t.stuck = t.start
	}

	if t.start.Sub(t.stuck) < splitAfter && !t.start.Before(t.wary) {
		return false
	}

	if t.outbox.alone(b) && len(t.suspects)+len(t.suspected) >= manySuspects {
		return false
	}

	if len(t.suspects) == 0 {
		t.wait = 0 // one of its events may show soon that others are accepted
	}

	return t.suspect(t.outbox.split())
}

// suspect makes suspects of the events of a batch that was refused just now. It finds
// out at once which of them are at fault, unless everything is refused, and reports
// whether the tick may go on.
func (t *turn) suspect(events []*batch) bool {
	wary := t.start.Before(t.wary)
	if len(events) == 1 {
		t.suspected = append(t.suspected, events[0])
		return wary || t.flowing()
	}

	t.suspects = append(events, t.suspects...)
	if !t.flowing() {
		return wary
	}

	t.retry(len(events), t.row+t.budget()/2)

	return true
}

// budget is how many appends may be refused one after the other: few until something is
// accepted.
func (t *turn) budget() int {
	switch {
	case t.taken:
		return refusedBudget
	case t.blockedNow():
		return blockedBudget
	}

	return waryBudget
}

// flowing reports whether Fluent Bit has accepted something in this tick or in the one
// before it.
func (t *turn) flowing() bool { return t.taken || t.accepted }

// blockedNow reports whether everything is refused, as far as is known.
func (t *turn) blockedNow() bool { return !t.taken && !t.refused.IsZero() }

// retry hands over the first n suspects, until most appends were refused one after the
// other.
func (t *turn) retry(n, most int) {
	for ; n > 0 && !t.paused && t.row < most && t.down < mostRefused; n-- {
		if t.taken {
			most = max(most, refusedBudget/2)
		}

		b := t.suspects[0]
		switch {
		case t.append(b):
			t.suspects = t.suspects[1:]
			t.handedOver(b)
		case t.paused:
			return
		default:
			t.suspects = t.suspects[1:]
			t.suspected = append(t.suspected, b)
		}

		if t.late() {
			return
		}
	}
}

// end puts the suspects after which nothing was accepted behind all others, and decides
// when the next attempt is made.
func (t *turn) end() {
	t.suspects = append(t.suspects, t.suspected...)
	if !t.tried || t.paused {
		return
	}

	t.accepted = t.taken
	if !t.taken && t.refused.IsZero() {
		t.refused = t.start
		t.blocked.refused.Store(t.refused.UnixNano())
	}

	if t.down <= t.up {
		t.wait, t.nextTry = 0, time.Time{}
		return
	}

	t.wait = min(max(firstWait, 2*t.wait), longestWait)
	t.nextTry = t.start.Add(t.wait - firstWait/2) // ticks do not come to the millisecond
}

// unblock notes that something was accepted.
func (d *Delivery) unblock() {
	if !d.refused.IsZero() {
		d.refused = time.Time{}
		d.blocked.refused.Store(0)
	}
}

// handedOver notes a batch that was accepted.
func (d *Delivery) handedOver(b *batch) {
	if d.mode == Sure {
		d.done(b, true)
		return
	}

	d.unconfirmed = append(d.unconfirmed, unconfirmed{b, d.now()})
}

func (d *Delivery) done(b *batch, delivered bool) {
	d.outbox.settle(b)

	if b.answer != nil {
		b.answer <- delivered
	}
}

// confirm counts as delivered what was appended at least a second ago with no pause
// since.
func (d *Delivery) confirm(now time.Time) {
	for len(d.unconfirmed) > 0 && !d.paused {
		u := d.unconfirmed[0]

		since := u.since
		if d.resumed.After(since) {
			since = d.resumed // what sat in the ring during the pause is drained after it
		}

		if now.Sub(since) < time.Second {
			return
		}

		d.done(u.batch, true)
		d.unconfirmed = d.unconfirmed[1:]
	}
}

// Take returns one batch to hand over by return value, nil if there is none. It counts
// as delivered when Taken is called, in threaded mode later.
func (d *Delivery) Take() []byte {
	now := d.now()
	d.blocked.ticked.Store(now.UnixNano())
	d.confirm(now)

	if d.paused || d.returned != nil {
		return nil
	}

	d.returned = d.outbox.first()
	if d.returned == nil {
		d.outbox.quiet()
		return nil
	}

	return d.returned.events
}

// Taken says that the host has copied the batch that Take returned.
func (d *Delivery) Taken() {
	b := d.returned

	d.returned = nil
	if b != nil {
		d.outbox.detach()
		d.handedOver(b)
	}
}
