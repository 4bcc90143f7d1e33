package instance

import (
	"context"
	"fmt"
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

	// tenants are those that are claimed; after Open they belong to upkeep, and after the input has stopped to close.
	tenants []config.Tenant

	nextForecast time.Time
}

// close gives back what is shared.
func (c *crew) close() {
	if c.leaveMetrics != nil {
		c.leaveMetrics()
	}
	c.shared.release(c.tenants)
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
	before := make(map[string]config.Tenant, len(c.tenants))
	for _, t := range c.tenants {
		before[unit(t)] = t
	}
	var start []config.Tenant
	kept := 0
	for _, t := range next {
		old, ok := before[unit(t)]
		delete(before, unit(t))
		if ok && old.Equal(t) {
			kept++
			continue
		}
		if ok {
			c.input.Retire(feedKey(old))
			c.shared.release([]config.Tenant{old})
		}
		start = append(start, t)
	}
	for _, t := range before {
		c.input.Retire(feedKey(t))
		c.shared.release([]config.Tenant{t})
	}
	running := c.running(next, start)
	for _, t := range start {
		err := c.shared.claim([]config.Tenant{t})
		if err == nil {
			if err = c.add(t); err != nil {
				c.shared.release([]config.Tenant{t})
			}
		}
		if err != nil {
			for _, line := range faults(err) {
				c.log.log(collect.Error, t.TenantName, line)
			}
			continue
		}
		running = append(running, t)
	}
	c.log.log(collect.Info, "", fmt.Sprintf("tenants_file has changed: %d tenants go on, %d start or restart, %d end", kept, len(start), len(before)))
	c.tenants = running
}

// running are the tenants of next that are not in start.
func (c *crew) running(next, start []config.Tenant) (list []config.Tenant) {
	fresh := make(map[string]bool, len(start))
	for _, t := range start {
		fresh[unit(t)] = true
	}
	for _, t := range next {
		if !fresh[unit(t)] {
			list = append(list, t)
		}
	}
	return list
}

// unit is what makes a tenant of the file the same one in the next version.
func unit(t config.Tenant) string {
	k := feedKey(t)
	return k.LoginHost + "\n" + k.TenantID + "\n" + k.API + "\n" + k.StateID
}
