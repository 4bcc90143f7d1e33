package collect

import (
	"time"

	"fluent-bit-defender/internal/record"
)

// Delivery hands the batches of an Outbox to Fluent Bit. All its methods are called on the thread of one collect callback; Pause and
// Resume may arrive from inside an append, on the same thread.
type Delivery struct {
	outbox *Outbox
	mode   Mode
	now    func() time.Time
	// setAside is told of events that Fluent Bit refuses although it takes others; Lane.Fill is to be called when they are safe. It must
	// not wait, and copies what it keeps.
	setAside func(l *Lane, events []byte)

	paused   bool
	refusals int       // appends refused in a row while not paused
	returned *batch    // the batch given to the host by Take, until Taken
	unsure   []unsure  // best effort: appended, not yet counted as taken in
	resumed  time.Time // when the last pause ended
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
	// splitAfter is how many ticks a batch is refused, while nothing is paused, before it is taken apart: a full disk refuses everything for a
	// while and ends by itself, a processor that fails refuses the same batch for ever.
	splitAfter = 30
)

// NewDelivery makes the delivery of an outbox.
func NewDelivery(o *Outbox, m Mode, now func() time.Time, setAside func(l *Lane, events []byte)) *Delivery {
	return &Delivery{outbox: o, mode: m, now: now, setAside: setAside}
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
	start := d.now()
	d.confirm(start)
	for n := 0; !d.paused; n++ {
		if d.mode == BestEffort && n >= ringBudget {
			return false
		}
		b := d.outbox.first()
		if b == nil {
			if n == 0 {
				d.outbox.quiet()
			}
			return false
		}
		if !appendTo(b.lane.tag, b.events) {
			d.refused(b, appendTo)
			return false
		}
		d.refusals = 0
		d.accepted(b)
		if d.now().Sub(start) > limit {
			return true
		}
	}
	return false
}

func (d *Delivery) accepted(b *batch) {
	d.outbox.detach(b)
	if d.mode == Sure {
		d.outbox.settle(b)
		return
	}
	d.unsure = append(d.unsure, unsure{b, d.now()})
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
		d.outbox.settle(u.batch)
		d.unsure = d.unsure[1:]
	}
}

// refused counts a batch that was not kept. A pause explains it, so does a full disk. After many ticks it is found out whether it is the
// batch: the events that are refused although others of the same moment are accepted are at fault, and are set aside.
func (d *Delivery) refused(b *batch, appendTo Append) {
	if d.paused || d.mode == BestEffort { // there it says that the ring is full, and each further try would block
		return
	}
	if d.refusals++; d.refusals < splitAfter {
		return
	}
	d.refusals = 0
	if b.lane.hole.Load() != 0 {
		return // one at a time
	}
	if event, rest, err := record.Next(b.events); err == nil && len(rest) > 0 {
		d.takeApart(b, event, rest, appendTo)
		return
	}
	d.blame(b, b.events, appendTo)
}

// blame sets events aside, all that is left of the first batch, if Fluent Bit accepts the next batch at this moment. Else everything is
// refused: nothing says that they are at fault.
func (d *Delivery) blame(b *batch, events []byte, appendTo Append) {
	other := d.outbox.second()
	if other == nil || !appendTo(other.lane.tag, other.events) {
		return
	}
	b.lane.hole.Store(b.first)
	d.outbox.detach(other)
	d.outbox.settle(other)
	d.setAside(b.lane, events)
	d.outbox.detach(b)
	d.outbox.settle(b)
}

// takeApart hands over a batch event by event. What is refused although a later one is accepted is at fault; what is refused
// after the last one that was accepted may find the disk full: it stays.
func (d *Delivery) takeApart(b *batch, event, rest []byte, appendTo Append) {
	var faulty, left []byte
	accepted := false
	for {
		if !d.paused && appendTo(b.lane.tag, event) {
			accepted = true
			faulty, left = append(faulty, left...), nil
		} else {
			left = append(left, event...)
		}
		if len(rest) == 0 {
			break
		}
		var err error
		if event, rest, err = record.Next(rest); err != nil {
			left = append(left, event...)
			break
		}
	}
	if !accepted {
		if !d.paused {
			d.blame(b, left, appendTo)
		}
		return
	}
	if len(faulty) > 0 {
		b.lane.hole.Store(b.first)
		d.setAside(b.lane, faulty)
	}
	if len(left) > 0 {
		d.outbox.replace(b, left)
		return
	}
	d.outbox.detach(b)
	d.outbox.settle(b)
}

// Take gives one batch to hand over by return value, nil if there is none. It is taken in when Taken is called.
func (d *Delivery) Take() []byte {
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
		d.accepted(b)
	}
}
