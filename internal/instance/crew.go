package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/store"
)

// crew is an input together with what it was put together from, so that tenants can
// come and go with the tenants file.
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
	// members are the tenants whose feeds belong to this input, those that are on their
	// way out included; wanted are those that could not start yet, or not with their
	// new settings. Both are guarded by mu.
	members map[store.FeedKey]*member
	wanted  map[store.FeedKey]*wish
	closed  bool
}

// member is a tenant of the input.
type member struct {
	tenant  config.Tenant
	gate    *sharedGate // at which it counts
	leaving bool
}

// wish is a tenant that waits to start.
type wish struct {
	tenant config.Tenant
	told   string // why it cannot, as it was last reported
}

func newCrew(s *shared, log *logger) *crew {
	return &crew{
		shared:  s,
		log:     log,
		members: make(map[store.FeedKey]*member),
		wanted:  make(map[store.FeedKey]*wish),
	}
}

// claim makes tenants this input's own.
func (c *crew) claim(tenants ...config.Tenant) error {
	gates, err := c.shared.claim(tenants)
	if err != nil {
		return err
	}

	for i, t := range tenants {
		c.members[Feed(t)] = &member{tenant: t, gate: gates[i]}
	}

	return nil
}

// release gives feeds, places at gates and metrics back: another input may have them.
func (c *crew) release() {
	if c.leaveMetrics != nil {
		c.leaveMetrics()
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	c.closed = true
	for key, m := range c.members {
		c.shared.release(key, m.gate)
	}

	clear(c.members)
}

// leave gives the data directory back, when nothing of the input uses it any more.
func (c *crew) leave() {
	if c.home != nil {
		c.shared.leave(c.home, c.log)
	}
}

// end gives back what is shared, after the input was stopped. The directory is left
// when the last goroutine has ended, so that a new input joins it, with its locks, as
// long as an answer to this one may still arrive. end waits for that only while a
// redemption is on its way, and until ctx ends.
func (c *crew) end(ctx context.Context) {
	c.release()
	c.home.hush(c.log)

	if !c.home.keeper.Busy() {
		var cancel context.CancelFunc

		ctx, cancel = context.WithTimeout(ctx, endTime)
		defer cancel()
	}

	ended := c.input.Ended()
	select {
	case <-ended:
		c.leave()
	case <-ctx.Done():
		go func() {
			<-ended
			c.leave()
		}()
	}
}

// endTime is how long the end waits for goroutines that have nothing to lose.
const endTime = 100 * time.Millisecond

// upkeep writes tokens that could not be written before, and follows the tenants file.
func (c *crew) upkeep(ctx context.Context, ending bool) {
	// A fault has been reported by the keeper, once; here it would be repeated every
	// few seconds.
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
		c.startWanted()
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

		c.log.log(
			collect.Error,
			"",
			"the new version of tenants_file is refused as a whole, and the one before it stays in force",
		)

		return
	}

	if cfg != nil {
		c.follow(cfg.Tenants)
	}
}

// follow starts tenants that were added, ends those that were removed, and restarts
// those that have changed.
func (c *crew) follow(next []config.Tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.closed {
		return
	}

	gone := make(map[store.FeedKey]*member)

	for key, m := range c.members {
		if !m.leaving {
			gone[key] = m
		}
	}

	clear(c.wanted)

	kept, changed, added := 0, 0, 0

	for _, t := range next {
		m := gone[Feed(t)]
		delete(gone, Feed(t))

		switch {
		case m == nil:
			added++
		case m.tenant.Equal(t):
			kept++
			continue
		default:
			changed++
		}

		c.wanted[Feed(t)] = &wish{tenant: t}
	}

	for key, m := range gone {
		m.leaving = true

		c.input.Retire(key, func() { go c.gone(key, m) })
	}

	c.log.log(
		collect.Info,
		"",
		fmt.Sprintf(
			"tenants_file has changed: %d tenants go on, %d restart, %d start, %d end",
			kept,
			changed,
			added,
			len(gone),
		),
	)
	c.startWanted()
}

// gone gives back the feed of a tenant that has left and has everything written down.
func (c *crew) gone(key store.FeedKey, m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.members[key] == m {
		delete(c.members, key)
		c.shared.release(key, m.gate)
	}
}

// startWanted starts what can start. What cannot is tried again at the next upkeep: its
// feed is another input's or still on its way out here, or a file that it needs is not
// there. c.mu must be held.
func (c *crew) startWanted() {
	for key, w := range c.wanted {
		err := c.begin(key, w.tenant)
		if err == nil {
			delete(c.wanted, key)
			continue
		}

		if text := strings.Join(faults(err), "; "); text != w.told {
			w.told = text
			c.log.log(collect.Warn, w.tenant.TenantName, text+"; it is tried again every few seconds")
		}
	}
}

// begin starts a tenant, or goes on with its new settings; until it can, those before
// it stay in force. c.mu must be held.
func (c *crew) begin(key store.FeedKey, t config.Tenant) error {
	if m := c.members[key]; m != nil {
		if m.leaving {
			return errors.New("it cannot start yet: what it read before it was removed is still being handed over")
		}

		parts, err := c.parts(t)
		if err != nil {
			return err
		}

		m.tenant, m.gate = t, c.shared.move(m.gate, t)
		c.input.Retire(key, nil)
		c.input.Add(parts)

		return nil
	}

	if err := c.claim(t); err != nil {
		return err
	}

	parts, err := c.parts(t)
	if err != nil {
		c.shared.release(key, c.members[key].gate)
		delete(c.members, key)

		return err
	}

	c.input.Add(parts)

	return nil
}
