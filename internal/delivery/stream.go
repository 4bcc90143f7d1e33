package delivery

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// Owner learns which events of its stream were delivered, and which were rejected. Its
// methods must not wait, since they are called on Fluent Bit's thread: Rejected always,
// Delivered mostly.
type Owner interface {
	// Delivered says that every event up to this number is delivered or was released. It
	// is called with the lock of the outbox held, and must not call the outbox.
	Delivered(upTo uint64)
	// Rejected passes on an event that Fluent Bit refuses although it accepts others. The
	// event counts as not delivered, and takes up room in the outbox, until
	// Outbox.Release.
	Rejected(event *Batch)
}

// Stream is one owner's way through the outbox. Its events are numbered 1, 2, 3… in the
// order in which they are added. They may be delivered in another order. All fields but
// the first three are guarded by Outbox.mu.
type Stream struct {
	tag   string
	owner Owner // nil for an event that is offered again
	// dropped says that nothing of the stream is delivered any more; see Outbox.Drop. An
	// event that is offered again shares it with the stream that it came from.
	dropped *atomic.Bool

	added       uint64
	undelivered []*Batch // ascending by number
	open        *Batch   // the last batch of this stream in the queue, if it may still grow
	busy        bool     // the stream fills its batches: see Outbox.buffer
	bytes       int      // of its events that are not delivered
	round       uint64   // of its newest batch: see Outbox.push
}

// NewStream returns a stream whose events carry tag. An empty tag stands for the input's
// own.
func NewStream(tag string, owner Owner) *Stream {
	return &Stream{tag: tag, owner: owner, dropped: new(atomic.Bool)}
}

// Batch is what is appended at once: some events of one stream.
type Batch struct {
	stream   *Stream
	events   []byte
	first    uint64 // numbers of its first event and its last
	last     uint64
	round    uint64 // its place in the queue: see Outbox.push
	rejected bool
	answer   chan bool // for an event that is offered again, see Outbox.Offer
}

// Events returns the encoded events, one behind the other. They must not be changed.
func (b *Batch) Events() []byte { return b.events }

// close prevents further events from being added to the batch.
func (b *Batch) close() {
	if b.stream.open == b {
		b.stream.open = nil
		b.stream.busy = len(b.events) > MaxBatch/2
	}
}

// find returns the index of a batch in undelivered, or where it would be.
func (s *Stream) find(b *Batch) int {
	i, _ := slices.BinarySearchFunc(
		s.undelivered,
		b.first,
		func(x *Batch, n uint64) int { return cmp.Compare(x.first, n) },
	)

	return i
}

// release forgets a batch, and tells the owner up to which number its events are
// delivered now.
func (s *Stream) release(b *Batch) {
	if i := s.find(b); i == 0 { // as nearly always
		s.undelivered[0] = nil
		s.undelivered = s.undelivered[1:]
	} else {
		s.undelivered = slices.Delete(s.undelivered, i, i+1)
	}

	upTo := s.added
	if len(s.undelivered) == 0 {
		s.undelivered = nil
	} else {
		upTo = s.undelivered[0].first - 1
	}

	if s.owner != nil {
		s.owner.Delivered(upTo)
	}
}
