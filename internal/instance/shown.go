package instance

import (
	"context"
	"sync"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// Units implements metrics.Source.
func (s *tenantSet) Units() []measure.Unit {
	units := s.input.Measure()
	if s.node != nil {
		units = s.withElsewhere(units)
	}

	s.ends.fill(units)

	for i := range units {
		units[i].Ends.Relationship = units[i].Status.RelationshipEnd
	}

	return units
}

// Input implements metrics.Source.
func (s *tenantSet) Input() measure.Input {
	in := s.input.MeasureInput()
	in.FileRejected = s.refused.Load() != nil
	in.Discovery = s.found.measure()
	in.Nodes = s.nodes()

	return in
}

// Ready implements metrics.Source.
func (s *tenantSet) Ready(ctx context.Context) error { return s.input.Ready(ctx) }

const (
	// endsAge is how old what is known of a tenant's credentials gets before it is
	// looked up again, and endsRetry how old it gets while nothing is known.
	endsAge   = 5 * time.Minute
	endsRetry = 10 * time.Second
	// endsAtOnce is how many tenants are looked up at a time: each is a call of the
	// store.
	endsAtOnce = 250
)

// ends remembers when what each unit is reached with ends: the metrics and the page ask
// often, and the answers are in the store and in files. The zero value knows nothing.
type ends struct {
	mu    sync.Mutex // guards known
	known map[alert.UnitKey]knownEnds
}

// knownEnds are the ends of one unit, and when they were looked up.
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

// set notes the ends of a unit.
func (e *ends) set(key alert.UnitKey, found measure.Ends, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()

	e.known[key] = knownEnds{found, now}
}

// lookUpEnds looks up when the credentials of some tenants end. It belongs to the
// goroutine that calls upkeep.
func (s *tenantSet) lookUpEnds(ctx context.Context, now time.Time) {
	for _, t := range s.ends.due(s.tenants(), now) {
		f := s.forecasts(ctx, *t, now)
		s.ends.set(t.Unit(), measure.Ends{
			RefreshToken: f.chain.Ends,
			Credential:   f.credential.Ends,
		}, now)
	}
}

// forecasts are what is known about the ends of a tenant's credentials. What is not
// known is the zero value.
type forecasts struct {
	chain      tokens.Forecast // the refresh tokens
	credential tokens.Forecast // the certificate, or the secret
}

// forecasts returns what is known about the ends of a tenant's credentials.
func (s *tenantSet) forecasts(ctx context.Context, t config.Tenant, now time.Time) (f forecasts) {
	app := wiring.Application(&t, logs.Discard())
	if chain, ok, err := s.dir.keeper.Load(ctx, app.ChainKey()); err == nil && ok {
		f.chain = chain.Forecast(now, app)
	}

	f.credential = wiring.CredentialForecast(t, now)

	return f
}
