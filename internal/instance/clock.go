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
	// A server's clock, as its Date header shows it, and ours differ noticeably from
	// skewed on.
	skewed = 5 * time.Minute
	// They agree again when they differed by less than agreed for agreedFor: a host
	// with several clocks behind one name is one fault, not one fault per answer.
	agreed    = 4 * time.Minute
	agreedFor = 15 * time.Minute
)

// clocks knows which servers' clocks differ from ours, so that it is said once.
type clocks struct {
	mu    sync.Mutex
	hosts map[string]*hostClock
}

// hostClock is what was seen of the clock of one host that differs from ours.
type hostClock struct {
	differed time.Time // when it last did
	said     clockFault
}

// clockFault is how wrong a clock is.
type clockFault int

const (
	clockRight      clockFault = iota
	clockOff                   // windows end at the earlier of the two clocks
	clockUnbelieved            // further off than collect.MaxSkew: our clock is used
)

// watch returns a function that passes what it is given on to skew, which may be nil, and
// logs when the clock of the server at address is wrong, or ours.
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

// note takes down by how much a host's clock is ahead of ours, and reports whether that
// is news: a fault that is worse than what was said, or its end.
func (c *clocks) note(host string, ahead time.Duration, now time.Time) (fault clockFault, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()

	h := c.hosts[host]
	switch {
	case ahead.Abs() > collect.MaxSkew:
		fault = clockUnbelieved
	case ahead.Abs() >= skewed, h != nil && ahead.Abs() >= agreed:
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
	if fault <= h.said {
		return fault, false
	}

	h.said = fault

	return fault, true
}

// clockLine is the line about a clock that differs from ours, and is believed or not.
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
