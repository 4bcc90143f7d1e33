package instance

import (
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"fluent-bit-defender/internal/collect"
)

const (
	// skewLimit is the difference between a server's clock (its Date header) and ours
	// from which on a warning is logged.
	skewLimit = 5 * time.Minute
	// agreeLimit and agreedFor say when the clocks agree again: when they differed by
	// less than agreeLimit for agreedFor. So a host name with several machines behind
	// it, one of them wrong, is one fault and not one fault per answer.
	agreeLimit = 4 * time.Minute
	agreedFor  = 15 * time.Minute
)

// clocks knows which servers' clocks differ from ours, so that each fault is logged
// once.
type clocks struct {
	mu    sync.Mutex // guards hosts
	hosts map[string]*hostClock
}

// hostClock is what is known of a host whose clock differs from ours.
type hostClock struct {
	differed time.Time  // when it last differed
	logged   clockFault // the worst fault that was logged
}

// clockFault is how wrong a clock is.
type clockFault int

const (
	clockRight      clockFault = iota
	clockOff                   // windows end at the earlier of the two clocks
	clockUnbelieved            // further off than collect.MaxSkew: our clock is used
)

// watch returns a function that is called with the clock of the server at address and
// ours. It passes both on to skew, which may be nil, and logs when they differ too
// much.
func (c *clocks) watch(address string, log *slog.Logger, skew *collect.Skew) func(server, local time.Time) {
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Host
	}

	return func(server, local time.Time) {
		if skew != nil {
			skew.Note(server, local)
		}

		ahead := server.Sub(local).Round(time.Second)

		fault, changed := c.note(host, ahead, local)
		switch {
		case !changed:
		case fault == clockRight:
			log.Info("the clock of " + host + " and this machine's agree again")
		default:
			log.Warn(clockLine(host, ahead, fault, skew != nil && skew.Believes(ahead)))
		}
	}
}

// note records by how much a host's clock is ahead of ours. changed reports whether a
// line is to be logged: the fault is worse than the one last logged, or it has ended.
func (c *clocks) note(host string, ahead time.Duration, now time.Time) (fault clockFault, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()

	h := c.hosts[host]
	switch {
	case ahead.Abs() > collect.MaxSkew:
		fault = clockUnbelieved
	case ahead.Abs() >= skewLimit, h != nil && ahead.Abs() >= agreeLimit:
		fault = clockOff
	case h == nil || now.Sub(h.differed) < agreedFor:
		return clockRight, false
	default:
		delete(c.hosts, host)
		return clockRight, true
	}

	if h == nil {
		if c.hosts == nil {
			c.hosts = make(map[string]*hostClock)
		}

		h = &hostClock{}
		c.hosts[host] = h
	}

	h.differed = now
	if fault <= h.logged {
		return fault, false
	}

	h.logged = fault

	return fault, true
}

// clockLine returns the warning about a clock that differs from ours. believed says
// that the plugin uses that clock all the same, since the clock of the database agrees
// with it.
func clockLine(host string, ahead time.Duration, fault clockFault, believed bool) string {
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}

	effect := "until then alerts may come late"

	switch {
	case fault == clockUnbelieved && believed:
		effect = "the clock of the database agrees with it, and alerts are read by that"
	case fault == clockUnbelieved:
		effect = fmt.Sprintf("more than %v is not believed, and this machine's clock is used", collect.MaxSkew)
	}

	return fmt.Sprintf("the clock of %s is %v %s this machine's: set this machine's clock (NTP), and if it is right "+
		"check what answers for %s; %s", host, ahead.Abs(), direction, host, effect)
}
