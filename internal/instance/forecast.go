package instance

import (
	"context"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
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

	if names := s.found.endsSoon(now); len(names) > 0 {
		s.log.Warn("relationships with customers end soon and are not extended by themselves: " + someOf(names) +
			"; ask for new ones, with auto-extend")
	}

	// Many tenants may have a sign-in, or a certificate, in common.
	said := map[string]bool{}

	for _, t := range s.tenants() {
		known := s.forecasts(ctx, t, now)
		for _, f := range []tokens.Forecast{known.chain, known.credential} {
			text := f.Text + f.Remedy
			if f.Soon && !f.Ended && (t.HomeTenantID == "" || !said[text]) {
				said[text] = true

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
