package instance

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/metrics"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// resources are what the instances of a process have in common.
type resources struct {
	transports wiring.Transports
	// redemptions spreads the redemptions of refresh tokens over time.
	redemptions tokens.Redemptions
	metrics     metrics.Servers
	clocks      clocks

	mu       sync.Mutex // guards the fields below
	dirs     []*dataDir
	live     map[alert.UnitKey]bool
	limiters map[quota]*sharedLimiter
}

// quota names what the service counts calls by: units with the same quota share one
// limiter.
type quota struct {
	clientID alert.ClientID
	tenantID alert.TenantID
	apiURL   string
	api      alert.API
}

// sharedLimiter is the limiter of a quota, and how many live units share it.
type sharedLimiter struct {
	limiter *defender.Limiter
	units   int // guarded by resources.mu
}

func newResources() *resources {
	return &resources{
		live:     make(map[alert.UnitKey]bool),
		limiters: make(map[quota]*sharedLimiter),
	}
}

// claim reserves the units of tenants for one input: two live inputs must not share a
// unit, since each would take the other's progress for its own. It returns the limiters
// that the units share from now on, in the order of tenants. On an error nothing is
// claimed.
func (r *resources) claim(tenants []config.Tenant) ([]*sharedLimiter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()

	var errs []error

	for _, t := range tenants {
		if r.live[t.Unit()] {
			errs = append(errs, fmt.Errorf("tenant_id: tenant %s with api %s is already polled by another [INPUT]: "+
				"give this one another `state_id`, or use one input with `format json+cef`", t.TenantName, t.API))
		}
	}

	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}

	limiters := make([]*sharedLimiter, len(tenants))
	for i, t := range tenants {
		r.live[t.Unit()] = true
		limiters[i] = r.limiterOf(t)
		limiters[i].units++
	}

	return limiters, nil
}

// release makes a unit free for another input, and ends its share of a limiter.
func (r *resources) release(key alert.UnitKey, limiter *sharedLimiter) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.live, key)

	limiter.units--
}

// move moves a unit whose settings have changed to the limiter that it shares from now
// on, and returns that limiter.
func (r *resources) move(from *sharedLimiter, t config.Tenant) *sharedLimiter {
	r.mu.Lock()
	defer r.mu.Unlock()

	to := r.limiterOf(t)
	from.units--
	to.units++

	return to
}

// limiterOf returns the limiter of a tenant's quota. It is kept when the last unit has
// gone: the service goes on counting. r.mu must be held.
func (r *resources) limiterOf(t config.Tenant) *sharedLimiter {
	key := quota{
		clientID: t.ClientID,
		tenantID: t.TenantID,
		apiURL:   t.APIURL,
		api:      t.API,
	}

	l := r.limiters[key]
	if l == nil {
		l = &sharedLimiter{limiter: wiring.NewLimiter(t, time.Now)}
		r.limiters[key] = l
	}

	return l
}

// limiter returns the tenant's limiter, and a function that counts the units that share
// it.
func (r *resources) limiter(t config.Tenant) (limiter *defender.Limiter, units func() int) {
	r.mu.Lock()
	defer r.mu.Unlock()

	l := r.limiterOf(t)

	return l.limiter, func() int {
		r.mu.Lock()
		defer r.mu.Unlock()

		return l.units
	}
}
