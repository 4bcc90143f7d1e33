package instance

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
)

// crew is an input together with what it was put together from, so that tenants can come and go with the tenants file.
type crew struct {
	shared       *shared
	log          *logger
	home         *home
	input        *collect.Input
	health       time.Duration
	leaveMetrics func()
	watch        *config.Watch // nil without a tenants file
	nextForecast time.Time

	mu sync.Mutex
	// claimed are the tenants whose feeds belong to this input, those that are on their way out included; wanted are those of the tenants
	// file that could not start yet, since another input still has their feed. Both are guarded by mu, and by units.
	claimed map[string]config.Tenant
	wanted  map[string]config.Tenant
	leaving map[string]bool // claimed, but on the way out
	closed  bool
}

// claim makes tenants this input's own.
func (c *crew) claim(tenants ...config.Tenant) error {
	if err := c.shared.claim(tenants); err != nil {
		return err
	}
	if c.claimed == nil {
		c.claimed, c.wanted, c.leaving = make(map[string]config.Tenant), make(map[string]config.Tenant), make(map[string]bool)
	}
	for _, t := range tenants {
		c.claimed[unit(t)] = t
	}
	return nil
}

// close gives back what is shared.
func (c *crew) close() {
	if c.leaveMetrics != nil {
		c.leaveMetrics()
	}
	c.mu.Lock()
	c.closed = true
	for _, t := range c.claimed {
		c.shared.release([]config.Tenant{t})
	}
	c.mu.Unlock()
	if c.home != nil {
		c.shared.leave(c.home, c.log)
	}
}

// upkeep writes tokens that could not be written before, and follows the tenants file.
func (c *crew) upkeep(ctx context.Context, ending bool) {
	// A fault has been reported by the keeper, once; here it would be repeated every few seconds.
	_ = c.home.keeper.Flush(ctx)
	if ending {
		return
	}
	c.forecast(ctx, time.Now())
	if c.watch == nil {
		return
	}
	c.mu.Lock()
	if !c.closed {
		c.startWanted(false)
	}
	c.mu.Unlock()
	cfg, warnings, err := c.watch.Poll()
	for _, w := range warnings {
		c.log.log(collect.Warn, w.Tenant, w.String())
	}
	if err != nil {
		for _, line := range faults(err) {
			c.log.log(collect.Error, "", line)
		}
		c.log.log(collect.Error, "", "the new version of tenants_file is refused as a whole, and the one before it stays in force")
		return
	}
	if cfg != nil {
		c.follow(cfg.Tenants)
	}
}

// follow starts tenants that were added, ends those that were removed, and restarts those that have changed.
func (c *crew) follow(next []config.Tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	before := maps.Clone(c.claimed)
	maps.DeleteFunc(before, func(u string, _ config.Tenant) bool { return c.leaving[u] })
	clear(c.wanted)
	kept, changed := 0, 0
	for _, t := range next {
		old, ok := before[unit(t)]
		delete(before, unit(t))
		switch {
		case !ok:
			c.wanted[unit(t)] = t
		case old.Equal(t):
			kept++
		default:
			changed++
			c.input.Retire(feedKey(old), nil)
			c.begin(t)
		}
	}
	for u, t := range before {
		c.leaving[u] = true
		c.input.Retire(feedKey(t), func() { go c.gone(t) })
	}
	c.log.log(collect.Info, "", fmt.Sprintf("tenants_file has changed: %d tenants go on, %d restart, %d start, %d end", kept, changed, len(c.wanted), len(before)))
	c.startWanted(true)
}

// gone gives back the feed of a tenant that has left and has everything written down.
func (c *crew) gone(t config.Tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.claimed[unit(t)]; ok && !c.closed {
		delete(c.claimed, unit(t))
		delete(c.leaving, unit(t))
		c.shared.release([]config.Tenant{t})
	}
}

// startWanted starts what can start; what cannot, since its feed is another input's or still on its way out here, is tried again at the next
// upkeep. say reports those. c.mu must be held.
func (c *crew) startWanted(say bool) {
	for u, t := range c.wanted {
		err := c.claim(t)
		if err == nil {
			delete(c.wanted, u)
			c.begin(t)
			continue
		}
		if say {
			for _, line := range faults(err) {
				c.log.log(collect.Warn, t.TenantName, line+"; it starts when that has ended")
			}
		}
	}
}

// begin starts a tenant that is claimed; c.mu must be held.
func (c *crew) begin(t config.Tenant) {
	c.claimed[unit(t)] = t
	if err := c.add(t); err != nil {
		for _, line := range faults(err) {
			c.log.log(collect.Error, t.TenantName, line)
		}
	}
}

// unit is what makes a tenant of the file the same one in the next version.
func unit(t config.Tenant) string {
	k := feedKey(t)
	return k.LoginHost + "\n" + k.TenantID + "\n" + k.API + "\n" + k.StateID
}
