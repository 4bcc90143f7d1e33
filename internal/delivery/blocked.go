package delivery

import (
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/health"
)

// signs are the times that the sender shows to other goroutines, for Blocked. They are
// in nanoseconds since 1970; 0 means that it is not so.
type signs struct {
	refused atomic.Int64 // since this time everything is refused
	paused  atomic.Int64 // since this time the input is paused
	ticked  atomic.Int64 // at this time the collect callback came last
}

const (
	// blockedAfter is how long a pause or a refusal lasts before it is a blockage: a
	// pause of a second is usual.
	blockedAfter = 4 * time.Second
	// silentAfter is the same for a collect callback that does not come.
	silentAfter = 10 * time.Second
)

// Blockage says why and since when Fluent Bit accepts no events.
type Blockage struct {
	Since time.Time
	health.Trouble
}

// Blocked returns why Fluent Bit has accepted no events for some seconds. ok is false if
// it accepts them, or if nothing is queued. It may be called from any goroutine.
func (s *Sender) Blocked(now time.Time) (b Blockage, ok bool) {
	if s.outbox.Bytes() == 0 {
		return Blockage{}, false
	}

	for _, cause := range []struct {
		since  *atomic.Int64
		after  time.Duration
		reason string
		remedy string
	}{
		{
			since:  &s.signs.paused,
			after:  blockedAfter,
			reason: "it has paused the input",
			remedy: "see whether its outputs deliver, and `mem_buf_limit`, " +
				"`storage.max_chunks_up` and the disk of storage.path",
		},
		{
			since:  &s.signs.refused,
			after:  blockedAfter,
			reason: "it refuses every append",
			remedy: "see its log and make room on the disk of storage.path; " +
				"if there is room, look at the processors of the input",
		},
		{
			since:  &s.signs.ticked,
			after:  silentAfter,
			reason: "it does not call the input any more",
			remedy: "see its log; another input that is paused, or an output that hangs, may hold it up",
		},
	} {
		ns := cause.since.Load()
		if ns == 0 || now.Sub(time.Unix(0, ns)) < cause.after {
			continue
		}

		return Blockage{
			Since: time.Unix(0, ns),
			Trouble: health.Trouble{
				Reason:  advice.Blocked,
				Message: "Fluent Bit takes nothing: " + cause.reason,
				Remedy:  cause.remedy,
			},
		}, true
	}

	return Blockage{}, false
}
