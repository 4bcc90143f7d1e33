package collect

import (
	"fmt"

	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
)

// Blocked reports whether Fluent Bit has accepted no events for some seconds although
// some wait.
func (in *Input) Blocked() bool {
	_, blocked := in.Delivery.Blocked(in.cfg.Now())
	return blocked
}

// logBlocked logs once that Fluent Bit accepts no events, and once that it accepts them
// again. Only the reporter calls it.
func (in *Input) logBlocked() {
	now := in.cfg.Now()

	why, blocked := in.Delivery.Blocked(now)
	if blocked {
		in.blockedLast = now

		if in.blocked.due(now) {
			in.log.Error(fmt.Sprintf("%s; %s. %d bytes wait for it, and are tried again by themselves "+
				"every few seconds", why.Message, why.Remedy, in.outbox.Bytes()))
		}

		return
	}

	if now.Sub(in.blockedLast) >= flowsFor && in.blocked.over() {
		in.log.Info("Fluent Bit takes alerts again")
	}
}

// showBlocked makes the status say that Fluent Bit accepts no events, unless the unit
// itself is failing.
func (in *Input) showBlocked(s *store.Status) {
	if !s.State.Good() {
		return
	}

	if why, blocked := in.Delivery.Blocked(s.UpdatedAt); blocked {
		s.State, s.Since, s.Trouble = health.Waiting, why.Since, why.Trouble
	}
}
