package collect

import (
	"fmt"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/store"
)

// blockage is what keeps events from Fluent Bit, for other goroutines than its own to
// see. The times are nanoseconds since 1970, 0 for not at all.
type blockage struct {
	refused atomic.Int64 // since when everything is refused
	paused  atomic.Int64 // since when the input is paused
	ticked  atomic.Int64 // when the collect callback last came
}

const (
	// blockedAfter is how long nothing may be taken before it shows: a pause of a
	// second is usual.
	blockedAfter = 4 * time.Second
	// silentAfter is the same for a collect callback that does not come.
	silentAfter = 10 * time.Second
	// flowsFor is how long alerts have to be taken again before that is said: a disk
	// that is nearly full takes one now and then.
	flowsFor = 30 * time.Second
)

// blocked is why Fluent Bit takes nothing, and since when.
type blocked struct {
	since          time.Time
	reason, remedy string
}

// blockedBy returns what has kept Fluent Bit from taking anything for some seconds; ok
// is false when nothing does.
func (b *blockage) blockedBy(now time.Time) (why blocked, ok bool) {
	for _, cause := range []struct {
		since  *atomic.Int64
		after  time.Duration
		reason string
		remedy string
	}{
		{
			since:  &b.paused,
			after:  blockedAfter,
			reason: "it has paused the input",
			remedy: "see whether its outputs deliver, and `mem_buf_limit`, `storage.max_chunks_up` and the disk of storage.path",
		},
		{
			since:  &b.refused,
			after:  blockedAfter,
			reason: "it refuses every append",
			remedy: "see its log and make room on the disk of storage.path; if there is room, look at the processors of the input",
		},
		{
			since:  &b.ticked,
			after:  silentAfter,
			reason: "it does not call the input any more",
			remedy: "see its log; another input that is paused, or an output that hangs, may hold it up",
		},
	} {
		ns := cause.since.Load()
		if ns == 0 || now.Sub(time.Unix(0, ns)) < cause.after {
			continue
		}

		return blocked{
			since:  time.Unix(0, ns),
			reason: "Fluent Bit takes nothing: " + cause.reason,
			remedy: cause.remedy,
		}, true
	}

	return blocked{}, false
}

// blockedBy returns why Fluent Bit takes nothing although something waits for it.
func (in *Input) blockedBy(now time.Time) (blocked, bool) {
	if in.outbox.Bytes() == 0 {
		return blocked{}, false
	}

	return in.Delivery.blocked.blockedBy(now)
}

// Blocked reports whether Fluent Bit has taken nothing for some seconds although
// something waits.
func (in *Input) Blocked() bool {
	_, is := in.blockedBy(in.cfg.Now())
	return is
}

// sayBlocked says once that Fluent Bit takes nothing, and once that it takes alerts
// again. It belongs to the reporter.
func (in *Input) sayBlocked() {
	now := in.cfg.Now()

	why, is := in.blockedBy(now)
	if is {
		in.blockedLast = now
	}

	switch {
	case is && !in.blockedSaid:
		in.log(
			Error,
			"",
			fmt.Sprintf("%s; %s. %d bytes wait for it, and are tried again by themselves every few seconds",
				why.reason, why.remedy, in.outbox.Bytes()),
		)
		in.blockedSaid = true
	case !is && in.blockedSaid && now.Sub(in.blockedLast) >= flowsFor:
		in.log(Info, "", "Fluent Bit takes alerts again")
		in.blockedSaid = false
	}
}

// showBlocked makes the status of a tenant that does not fail by itself say that Fluent
// Bit takes nothing.
func (in *Input) showBlocked(s *store.Status) {
	if s.State != "ok" && s.State != "starting" {
		return
	}

	if why, is := in.blockedBy(s.UpdatedAt); is {
		s.State, s.Since, s.Reason, s.Remedy = "waiting", why.since, why.reason, why.remedy
	}
}
