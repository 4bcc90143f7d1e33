package collect

import (
	"fmt"
	"time"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// flowsFor is how long alerts have to be accepted again before that is said: a disk that
// is nearly full accepts one now and then.
const flowsFor = 30 * time.Second

// Blocked reports whether Fluent Bit has taken nothing for some seconds although
// something waits.
func (in *Input) Blocked() bool {
	_, is := in.Delivery.Blocked(in.cfg.Now())
	return is
}

// sayBlocked says once that Fluent Bit takes nothing, and once that it takes alerts
// again. It belongs to the reporter.
func (in *Input) sayBlocked() {
	now := in.cfg.Now()

	why, is := in.Delivery.Blocked(now)
	if is {
		in.blockedLast = now
	}

	switch {
	case is && !in.blockedSaid:
		in.log(
			Error,
			"",
			fmt.Sprintf("%s; %s. %d bytes wait for it, and are tried again by themselves every few seconds",
				why.Reason, why.Remedy, in.outbox.Bytes()),
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
	if !s.State.Good() {
		return
	}

	if why, is := in.Delivery.Blocked(s.UpdatedAt); is {
		s.State, s.Since, s.Reason, s.Remedy = health.Waiting, why.Since, why.Reason, why.Remedy
	}
}
