package instance

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/tokens"
)

// configureDiscovery puts new settings of discovery in force; with nil nothing is
// discovered. What is already known of the customers comes from the store.
func (s *tenantSet) configureDiscovery(settings *config.Discovery) error {
	if settings == nil {
		s.found.configure(nil, nil, nil)
		return nil
	}

	home := settings.Home
	home.TenantName = string(home.HomeTenantID) // shown to people; this is no discovered tenant

	parts, err := s.wiringParts(&home, new(collect.Skew), new(measure.Counters))
	if err != nil {
		return err
	}

	client, source, err := parts.Partner(s.dir.keeper)
	if err != nil {
		return err
	}

	s.found.configure(settings, client, source.Changed)

	return nil
}

// discover asks for a new list of the customers if it is time, in a goroutine of its own.
func (s *tenantSet) discover(ctx context.Context) {
	if !s.found.begin(ctx) {
		return
	}

	s.work.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				s.log.Error(fmt.Sprintf("a fault in the plugin, please report it: %v", p))
				s.log.Debug(string(debug.Stack()))
			}
		}()

		if !s.found.run(ctx) {
			return
		}

		s.mu.Lock()
		defer s.mu.Unlock()

		if !s.closed {
			s.replace(s.wanted(), "the list of customers has changed")
		}
	})
}

// wanted returns the tenants that the input is to have: those of the file and those
// that were discovered. If the new discovered ones cannot be made, the previous ones
// stay. s.mu must be held.
func (s *tenantSet) wanted() []config.Tenant {
	found, err := s.found.tenants()
	if err == nil {
		s.discovered = found
	} else {
		for _, line := range faults(err) {
			s.log.Error(line)
		}

		s.log.Error("the discovered tenants stay as they are")
	}

	return slices.Concat(s.cfg.Tenants, s.discovered)
}

// startDiscovered starts the tenants that the store knows from the last list. s.mu must
// not be held.
func (s *tenantSet) startDiscovered() {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, t := range s.wanted()[len(s.cfg.Tenants):] {
		s.pending[t.Unit()] = &pendingEntry{tenant: t}
	}

	s.startPending()
}

// customerSignIn gets the access tokens of a unit. To the error of a refusal it adds
// what the list of relationships says about it.
type customerSignIn struct {
	source *tokens.Source
	found  *discovery
	tenant *config.Tenant
	// refusedSince is when the account lost its access, and refusedLast when it was
	// refused last, in nanoseconds since 1970. Both are 0 while it has access.
	refusedSince, refusedLast atomic.Int64
}

// Token implements defender.TokenSource.
func (c *customerSignIn) Token(ctx context.Context) (tokens.Access, error) {
	access, err := c.source.Token(ctx)

	return access, c.explain(err)
}

// Invalidate implements defender.TokenSource.
func (c *customerSignIn) Invalidate(a tokens.Access) { c.source.Invalidate(a) }

// run signs in. The access token stays in the source, for whoever asks for it next.
func (c *customerSignIn) run(ctx context.Context) error {
	_, err := c.Token(ctx)
	return err
}

// explain returns the error of a sign-in, replaced by a clearer one where the
// relationships tell the reason.
func (c *customerSignIn) explain(err error) error {
	var e *tokens.Error
	if !errors.As(err, &e) || e.Reason != advice.GDAPEnded {
		c.refusedSince.Store(0)
		c.refusedLast.Store(0)

		return err
	}

	now := time.Now().UnixNano()
	c.refusedSince.CompareAndSwap(0, now)
	c.refusedLast.Store(now)

	customer, listed, ok := c.found.relationOf(c.tenant)

	switch {
	case !ok || customer.Gone():
		return err
	case listed.UnixNano() <= c.refusedSince.Load():
		c.found.hurry() // the list may be older than the end of the relationship
		return err
	}

	conflict := *e
	conflict.Reason = advice.GuestConflict
	conflict.Problem = "the relationship with the customer is in force, and the customer's tenant refuses the " +
		"account all the same: it has a guest object of the same user, or the user's group has no role in it"
	conflict.Remedy = "ask an administrator of the customer to delete the guest object, and check which security " +
		"groups the relationship has in Partner Center"

	return &conflict
}

// changed reports whether another try is worthwhile: something about the sign-in has
// changed, or a list says more about the refusal than the one before it.
func (c *customerSignIn) changed(ctx context.Context) bool {
	if last := c.refusedLast.Load(); last != 0 {
		_, listed, ok := c.found.relationOf(c.tenant)
		if ok && listed.UnixNano() > last {
			return true
		}
	}

	return c.source.Changed(ctx)
}
