package instance

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/metrics"
	"fluent-bit-defender/internal/store"
)

// shared is what the instances of a process have in common.
type shared struct {
	mu         sync.Mutex
	homes      []*home
	live       map[store.FeedKey]bool
	gates      map[gateKey]*sharedGate
	transports map[transportKey]*http.Transport
	metrics    metrics.Servers
	clocks     clocks
}

// gateKey names who shares a quota.
type gateKey struct{ clientID, tenantID, apiURL, api string }

func newShared() *shared {
	return &shared{
		live:       make(map[store.FeedKey]bool),
		gates:      make(map[gateKey]*sharedGate),
		transports: make(map[transportKey]*http.Transport),
	}
}

// claim makes feeds this instance's own; two live inputs must not share one, since each
// would take the other's progress for its own. It gives the gates at which they now
// count, in order.
func (s *shared) claim(tenants []config.Tenant) ([]*sharedGate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	var errs []error

	for _, t := range tenants {
		if s.live[Feed(t)] {
			errs = append(
				errs,
				fmt.Errorf(
					"tenant_id: tenant %s with api %s is already polled by another [INPUT]: give this one another `state_id`, or use one input with `format json+cef`",
					t.TenantName,
					t.API,
				),
			)
		}
	}

	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}

	gates := make([]*sharedGate, len(tenants))
	for i, t := range tenants {
		s.live[Feed(t)] = true
		gates[i] = s.gateOf(t)
		gates[i].feeds++
	}

	return gates, nil
}

// release gives a feed back, and its place at a gate.
func (s *shared) release(key store.FeedKey, gate *sharedGate) {
	s.mu.Lock()
	defer s.mu.Unlock()

	delete(s.live, key)

	gate.feeds--
}

// move counts a feed, whose settings have changed, at the gate that it shares from now
// on.
func (s *shared) move(from *sharedGate, t config.Tenant) *sharedGate {
	s.mu.Lock()
	defer s.mu.Unlock()

	to := s.gateOf(t)
	from.feeds--
	to.feeds++

	return to
}

// sharedGate is a gate and how many live feeds use it.
type sharedGate struct {
	gate  *defender.Limiter
	feeds int
}

// gateOf is where everybody waits who shares the quota of an application in a tenant at
// an API; s.mu must be held. It is kept when the last feed has gone: the service goes
// on counting.
func (s *shared) gateOf(t config.Tenant) *sharedGate {
	key := gateKey{t.ClientID, t.TenantID, t.APIURL, string(t.API)}

	g := s.gates[key]
	if g == nil {
		g = &sharedGate{gate: defender.NewLimiter(
			time.Now,
			defender.Budget{
				Calls: t.Endpoint.PerMinute,
				Per:   time.Minute,
			},
			defender.Budget{Calls: t.Endpoint.PerHour, Per: time.Hour},
		)}
		s.gates[key] = g
	}

	return g
}

// gate gives the tenant's gate, and what counts its feeds.
func (s *shared) gate(t config.Tenant) (gate *defender.Limiter, feeds func() int) {
	s.mu.Lock()
	defer s.mu.Unlock()

	g := s.gateOf(t)

	return g.gate, func() int { return s.feeds(g) }
}

func (s *shared) feeds(g *sharedGate) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return g.feeds
}
