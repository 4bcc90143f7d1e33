package instance

import (
	"context"
	"sync"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/measure"
)

const (
	// endsAge is how long what is known of a tenant's credentials is used before it is
	// looked up again, and endsRetry how soon that happens while nothing is known.
	endsAge   = 5 * time.Minute
	endsRetry = 10 * time.Second
	// endsAtOnce is how many tenants are looked up in one call of upkeep: each is a
	// call of the store.
	endsAtOnce = 250
)

// ends remembers when the credentials of each unit end. The metrics and the page ask
// often, and the answers are in the store and in files. The zero value knows nothing.
type ends struct {
	mu    sync.Mutex // guards known
	known map[alert.UnitKey]knownEnds
}

// knownEnds says when the credentials of one unit end, and when that was looked up.
type knownEnds struct {
	measure.Ends
	at time.Time
}

// fill writes what is known into units.
func (e *ends) fill(units []measure.Unit) {
	e.mu.Lock()
	defer e.mu.Unlock()

	for i := range units {
		units[i].Ends = e.known[units[i].Key].Ends
	}
}

// due returns the tenants that are to be looked up now, and forgets those that are gone.
func (e *ends) due(tenants []*config.Tenant, now time.Time) []*config.Tenant {
	e.mu.Lock()
	defer e.mu.Unlock()

	known := make(map[alert.UnitKey]knownEnds, len(tenants))

	var due []*config.Tenant

	for _, t := range tenants {
		k, found := e.known[t.Unit()]
		if found {
			known[t.Unit()] = k
		}

		age := endsAge
		if k.Ends == (measure.Ends{}) {
			age = endsRetry
		}

		if len(due) < endsAtOnce && (!found || now.Sub(k.at) >= age) {
			due = append(due, t)
		}
	}

	e.known = known

	return due
}

// set records when the credentials of a unit end.
func (e *ends) set(key alert.UnitKey, found measure.Ends, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()

	e.known[key] = knownEnds{found, now}
}

// lookUpEnds looks up when the credentials of some tenants end. Only the goroutine that
// calls upkeep calls it.
func (s *tenantSet) lookUpEnds(ctx context.Context, now time.Time) {
	for _, t := range s.ends.due(s.tenants(), now) {
		f := s.forecasts(ctx, *t, now)
		s.ends.set(t.Unit(), measure.Ends{
			RefreshToken: f.chain.Ends,
			Credential:   f.credential.Ends,
		}, now)
	}
}
