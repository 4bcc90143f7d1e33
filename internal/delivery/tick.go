package delivery

import "time"

// Append is Fluent Bit's own append: it reports whether the events were accepted.
type Append func(tag string, events []byte) bool

// Tick delivers what is queued until nothing is left, a pause or a refusal stops it, or
// it has worked for longer than limit. It tries at least one batch. more reports that the
// limit has stopped it.
func (s *Sender) Tick(appendTo Append, limit time.Duration) (more bool) {
	t := &turn{
		Sender:   s,
		appendTo: appendTo,
		start:    s.now(),
		limit:    limit,
	}
	s.signs.ticked.Store(t.start.UnixNano())
	s.confirm(t.start)
	s.dropSuspects()

	if s.paused || t.start.Before(s.nextTry) {
		return false
	}

	defer t.end()

	most := 1 // while everything is refused, one attempt shows whether that is over
	if s.accepting {
		most = cautiousBudget / 2
	}

	t.trySuspects(len(s.suspects), most)

	return t.tryQueue()
}

// turn is one tick.
type turn struct {
	*Sender
	appendTo Append
	start    time.Time
	limit    time.Duration

	refused  []*Batch // suspects that were refused since something was accepted
	inARow   int      // appends refused one after the other
	refusals int      // appends refused
	accepts  int      // appends accepted
}

// overdue reports whether the tick has used up its time.
func (t *turn) overdue() bool { return t.now().Sub(t.start) > t.limit }

// append offers a batch to Fluent Bit. If it is accepted, then the suspects that were
// refused before it in this tick are rejected: Fluent Bit accepts others.
func (t *turn) append(b *Batch) bool {
	if !t.appendTo(b.stream.tag, b.events) {
		t.inARow++
		t.refusals++

		return false
	}

	t.inARow = 0
	t.accepts++
	t.allRefused = time.Time{}
	t.signs.refused.Store(0)

	if len(t.refused) > 0 {
		t.faultUntil = t.now().Add(faultMemory)
		for _, r := range t.refused {
			t.outbox.reject(r)
		}

		t.refused = nil
	}

	return true
}

// tryQueue delivers the queue from its head on.
func (t *turn) tryQueue() (more bool) {
	for n := 0; !t.paused && t.trusted(); n++ {
		if t.mode == BestEffort && n >= ringBudget || t.inARow >= t.budget() || t.refusals >= mostRefused {
			return false
		}

		b := t.head()
		if b == nil {
			if n == 0 {
				t.outbox.shrink()
			}

			return false
		}

		if !t.tryHead(b) {
			return false
		}

		if t.overdue() {
			return true
		}
	}

	return false
}

// tryHead offers the head of the queue. It reports whether the tick may go on with the
// next batch.
func (t *turn) tryHead(b *Batch) bool {
	switch {
	case b.answer != nil && t.inARow > 0 && t.blocked(): // it was rejected before, and shows nothing new
		t.outbox.removeHead()
		t.release(b, false)

		return true
	case t.append(b):
		t.headRefused = time.Time{}
		t.outbox.removeHead()
		t.accepted(b)

		return true
	}

	return !t.paused && t.headWasRefused(b)
}

// headWasRefused decides what becomes of the head of the queue. It reports whether the
// tick may go on with the next batch.
func (t *turn) headWasRefused(b *Batch) bool {
	switch {
	case t.mode == BestEffort: // the ring is full, and each further append would block
		return false
	case b.answer != nil: // its owner has it in a store, and offers it again
		t.outbox.removeHead()
		t.release(b, false)

		return true
	}

	if t.headRefused.IsZero() {
		t.headRefused = t.start
	}

	if t.start.Sub(t.headRefused) < splitAfter && !t.faultKnown() {
		return false
	}

	if t.outbox.alone(b) && len(t.suspects)+len(t.refused) >= manySuspects {
		return false
	}

	if len(t.suspects) == 0 {
		t.backOff = 0 // one of its events may show soon that others are accepted
	}

	return t.suspect(t.outbox.splitHead())
}

// suspect makes suspects of the events of a batch that was refused just now. Unless
// everything is refused it finds out at once which of them are refused. It reports
// whether the tick may go on.
func (t *turn) suspect(events []*Batch) bool {
	if len(events) == 1 {
		t.refused = append(t.refused, events[0])
		return t.faultKnown() || t.flowing()
	}

	t.suspects = append(events, t.suspects...)
	if !t.flowing() {
		return t.faultKnown()
	}

	t.trySuspects(len(events), t.inARow+t.budget()/2)

	return true
}

// trySuspects offers the first n suspects, and stops when most appends were refused one
// after the other.
func (t *turn) trySuspects(n, most int) {
	for ; n > 0 && !t.paused && t.trusted() && t.inARow < most && t.refusals < mostRefused; n-- {
		if t.accepts > 0 {
			most = max(most, acceptingBudget/2)
		}

		b := t.suspects[0]
		ok := t.append(b)

		switch {
		case ok:
			t.suspects = t.suspects[1:]
			t.accepted(b)
		case t.paused:
			return
		default:
			t.suspects = t.suspects[1:]
			t.refused = append(t.refused, b)
		}

		if t.overdue() {
			return
		}
	}
}

// budget returns how many appends may be refused one after the other.
func (t *turn) budget() int {
	switch {
	case t.accepts > 0:
		return acceptingBudget
	case t.blocked():
		return blockedBudget
	}

	return cautiousBudget
}

// faultKnown reports whether an event was rejected not long ago.
func (t *turn) faultKnown() bool { return t.start.Before(t.faultUntil) }

// flowing reports whether something was accepted in this tick or in the one before it.
func (t *turn) flowing() bool { return t.accepts > 0 || t.accepting }

// blocked reports whether everything is refused, as far as is known.
func (t *turn) blocked() bool { return t.accepts == 0 && !t.allRefused.IsZero() }

// end puts the suspects after which nothing was accepted behind all others, and decides
// when the next attempt is made.
func (t *turn) end() {
	t.suspects = append(t.suspects, t.refused...)

	tried := t.accepts+t.refusals > 0
	if !tried || t.paused {
		return
	}

	t.accepting = t.accepts > 0
	if !t.accepting && t.allRefused.IsZero() {
		t.allRefused = t.start
		t.signs.refused.Store(t.start.UnixNano())
	}

	if t.refusals <= t.accepts {
		t.backOff, t.nextTry = 0, time.Time{}
		return
	}

	t.backOff = min(max(firstBackOff, 2*t.backOff), longestBackOff)
	t.nextTry = t.start.Add(t.backOff - firstBackOff/2) // ticks do not come to the millisecond
}
