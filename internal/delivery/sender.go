package delivery

import (
	"slices"
	"time"
)

// Sender delivers the batches of an Outbox to Fluent Bit: doc.go draws the states. All
// its methods but Blocked are called on the thread of one collect callback. Pause and
// Resume may arrive from inside an append, on the same thread.
type Sender struct {
	outbox  *Outbox
	mode    Mode
	now     func() time.Time
	trusted func() bool // see OnlyWhile

	paused      bool
	resumed     time.Time // when the last pause ended
	suspects    []*Batch  // single events; the one that was tried longest ago comes first
	returned    *Batch    // the batch that Next returned, until Copied
	unconfirmed []unconfirmed

	// faultUntil is set when an event is rejected. Until then a batch that is refused is
	// split at once: the next event like that may be in it.
	faultUntil time.Time
	// headRefused is the time since when the head of the queue is refused; zero when a
	// batch of the queue was accepted last.
	headRefused time.Time

	// accepting says that something was accepted in the last tick that tried. The disk is
	// not full then.
	accepting bool
	// allRefused is the time since when everything is refused; zero when something was
	// accepted last.
	allRefused time.Time
	// nextTry is when the next attempt is due while more is refused than accepted, and
	// backOff how long the wait for it is.
	nextTry time.Time
	backOff time.Duration

	signs signs
}

// unconfirmed is a batch that was accepted in mode BestEffort and is not delivered yet.
type unconfirmed struct {
	batch *Batch
	since time.Time
}

// Mode says what an append that succeeded means.
type Mode int

const (
	// Sure is for Threaded Off: an accepted batch is in the chunk. It is delivered.
	Sure Mode = iota
	// BestEffort is for threaded mode: an accepted batch is in a ring in memory. It is
	// delivered at a later tick, at least a second later, if there is no pause in
	// between.
	BestEffort
)

const (
	// ringBudget is how many appends one tick may make in mode BestEffort, where an
	// append to a full ring blocks.
	ringBudget = 64
	// splitAfter is how long a batch is refused, pauses not counted, before it is split.
	// Within faultMemory after an event was rejected a batch is split at once.
	splitAfter  = 30 * time.Second
	faultMemory = time.Hour
	// confirmAfter is how long after its append an unconfirmed batch counts as delivered.
	confirmAfter = time.Second

	// How many appends of a tick may be refused one after the other. Fluent Bit logs
	// each of them. acceptingBudget is for a tick in which something was accepted,
	// cautiousBudget for one in which nothing was yet, blockedBudget while everything
	// is refused.
	acceptingBudget = 16
	cautiousBudget  = 8
	blockedBudget   = 3
	// mostRefused is how many appends of a tick may be refused in all: on a disk that is
	// nearly full small events are accepted and larger ones are not.
	mostRefused = 20
	// manySuspects is how many events may be suspects before the last one stays in the
	// queue, where it counts against the limit of the outbox: while a disk is full no
	// more is read than fits.
	manySuspects = 16

	// While more is refused than accepted the next attempt comes after firstBackOff, then
	// after twice as long each time, up to longestBackOff: each attempt leaves lines in
	// Fluent Bit's log and an empty chunk file.
	firstBackOff   = time.Second
	longestBackOff = 10 * time.Second
)

// NewSender returns the sender of an outbox.
func NewSender(o *Outbox, m Mode, now func() time.Time) *Sender {
	s := &Sender{
		outbox:  o,
		mode:    m,
		now:     now,
		trusted: func() bool { return true },
	}
	s.signs.ticked.Store(now().UnixNano())

	return s
}

// OnlyWhile makes the sender call trusted before each append, and deliver nothing while
// it returns false. It is called once, before the first tick.
func (s *Sender) OnlyWhile(trusted func() bool) { s.trusted = trusted }

// Pause stops the delivery until Resume.
func (s *Sender) Pause() {
	if !s.paused {
		s.paused = true
		s.signs.paused.Store(s.now().UnixNano())
	}
}

// Resume ends a pause.
func (s *Sender) Resume() {
	if !s.paused {
		return
	}

	s.paused, s.resumed = false, s.now()
	s.signs.paused.Store(0)

	if !s.headRefused.IsZero() {
		s.headRefused = s.resumed // nothing was tried during the pause
	}
}

// Paused reports whether a pause is in force.
func (s *Sender) Paused() bool { return s.paused }

// Next returns one batch, for a host that takes events as a return value; nil if there is
// none. The batch is delivered when Copied is called, in mode BestEffort later.
func (s *Sender) Next() []byte {
	now := s.now()
	s.signs.ticked.Store(now.UnixNano())
	s.confirm(now)

	if s.paused || s.returned != nil || !s.trusted() {
		return nil
	}

	s.returned = s.head()
	if s.returned == nil {
		s.outbox.shrink()
		return nil
	}

	return s.returned.events
}

// head returns the first batch of the queue, nil if there is none. It discards those of
// dropped streams.
func (s *Sender) head() *Batch {
	for {
		b := s.outbox.head()
		if b == nil || !b.stream.dropped.Load() {
			return b
		}

		s.outbox.dropHead()
	}
}

// dropSuspects discards the suspects whose stream was dropped.
func (s *Sender) dropSuspects() {
	s.suspects = slices.DeleteFunc(s.suspects, func(b *Batch) bool {
		if !b.stream.dropped.Load() {
			return false
		}

		s.outbox.Release(b)

		return true
	})
}

// Copied is called when the host has copied the batch that Next returned.
func (s *Sender) Copied() {
	b := s.returned

	s.returned = nil
	if b != nil {
		s.outbox.removeHead()
		s.accepted(b)
	}
}

// accepted notes a batch, out of the queue, whose append returned success.
func (s *Sender) accepted(b *Batch) {
	if s.mode == Sure {
		s.release(b, true)
		return
	}

	s.unconfirmed = append(s.unconfirmed, unconfirmed{b, s.now()})
}

// confirm releases, as delivered, the batches that were accepted at least confirmAfter
// ago, if there was no pause since.
func (s *Sender) confirm(now time.Time) {
	for len(s.unconfirmed) > 0 && !s.paused {
		u := s.unconfirmed[0]

		since := u.since
		if s.resumed.After(since) {
			since = s.resumed // during a pause the ring is not emptied
		}

		if now.Sub(since) < confirmAfter {
			return
		}

		s.release(u.batch, true)
		s.unconfirmed = s.unconfirmed[1:]
	}
}

// release releases a batch that is out of the queue. If the batch was offered again, it
// answers the offer.
func (s *Sender) release(b *Batch, delivered bool) {
	s.outbox.Release(b)

	if b.answer != nil {
		b.answer <- delivered
	}
}
