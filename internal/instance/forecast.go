package instance

import (
	"context"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// forecastEvery is how often credentials are checked for an end that is near, and so
// how often a warning is repeated.
const forecastEvery = 24 * time.Hour

// forecast warns, once a day, of credentials that end within tokens.WarnBefore. What
// has ended already shows in the polls.
func (s *tenantSet) forecast(ctx context.Context, now time.Time) {
	if now.Before(s.nextForecast) {
		return
	}

	s.nextForecast = now.Add(forecastEvery)

	for _, t := range s.tenants() {
		for _, f := range s.forecasts(ctx, t, now) {
			if f.Soon && !f.Ended {
				logs.Tenant(s.log, t.TenantName).Warn(f.Text + "; " + f.Remedy)
			}
		}
	}
}

// tenants returns the tenants that the input has now.
func (s *tenantSet) tenants() []config.Tenant {
	s.mu.Lock()
	defer s.mu.Unlock()

	var list []config.Tenant
	for _, e := range s.entries {
		list = append(list, e.tenant)
	}

	return list
}

// forecasts returns what is known about the ends of a tenant's credentials.
func (s *tenantSet) forecasts(ctx context.Context, t config.Tenant, now time.Time) (list []tokens.Forecast) {
	app := wiring.Application(t, logs.Discard())
	if chain, ok, err := s.dir.keeper.Load(ctx, app.ChainKey()); err == nil && ok {
		list = append(list, chain.Forecast(now, app))
	}

	if t.ClientCertificateFile != "" {
		if pem, err := config.ReadPEM(t.ClientCertificateFile); err == nil {
			if info, err := tokens.InspectCertificate(pem); err == nil {
				list = append(list, info.Forecast(now))
			}
		}
	}

	return list
}
