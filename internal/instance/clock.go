package instance

import (
	"fmt"
	"net/url"
	"sync"
	"time"

	"fluent-bit-defender/internal/collect"
)

// A server's clock, as its Date header has it, and ours differ noticeably from skewed on, and agree again below agreed. Windows end at the earlier of
// the two: a wrong clock loses nothing, but alerts come late.
const (
	skewed = 5 * time.Minute
	agreed = 4 * time.Minute
)

// clocks knows which servers' clocks differ from ours, so that it is said once, when that changes.
type clocks struct {
	mu  sync.Mutex
	off map[string]bool
}

// watch gives next what it is given, and says when the clock of the server at address is wrong, or ours.
func (c *clocks) watch(address string, say func(level collect.Level, text string), next func(server, local time.Time)) func(server, local time.Time) {
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Host
	}
	return func(server, local time.Time) {
		next(server, local)
		ahead := server.Sub(local).Round(time.Second)
		c.mu.Lock()
		before := c.off[host]
		now := ahead.Abs() >= skewed || before && ahead.Abs() >= agreed
		if now != before {
			if c.off == nil {
				c.off = make(map[string]bool)
			}
			c.off[host] = now
		}
		c.mu.Unlock()
		switch direction := "ahead of"; {
		case now == before:
		case !now:
			say(collect.Info, "the clock of "+host+" and this machine's agree again")
		default:
			if ahead < 0 {
				direction = "behind"
			}
			say(collect.Warn, fmt.Sprintf("the clock of %s is %v %s this machine's: set this machine's clock (NTP), and if it is right check what answers for %s; until then alerts may come late", host, ahead.Abs(), direction, host))
		}
	}
}
