package instance

import (
	"context"
	"slices"
	"time"

	"fluent-bit-defender/internal/alert"
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
		known := s.forecasts(ctx, *t, now)
		for _, f := range []tokens.Forecast{known.chain, known.credential} {
			text := f.Text + f.Remedy
			if f.Soon && !f.Ended && (t.HomeTenantID == "" || !said[text]) {
				said[text] = true

				logs.Tenant(s.log, t.TenantName).Warn(f.Text + "; " + f.Remedy)
			}
		}
	}
}

// deprecatedEvery is how often users of an API that Microsoft advises against are told.
const deprecatedEvery = 7 * 24 * time.Hour

// deprecated says once a week, in one line for each API, that tenants are read from an
// API that Microsoft advises against.
func (s *tenantSet) deprecated(now time.Time) {
	if now.Before(s.nextDeprecated) {
		return
	}

	s.nextDeprecated = now.Add(deprecatedEvery)

	users := map[alert.API][]string{}

	for _, t := range s.tenants() {
		if problem, _ := t.API.Deprecated(); problem != "" {
			users[t.API] = append(users[t.API], t.TenantName)
		}
	}

	for api, names := range users {
		slices.Sort(names)

		problem, remedy := api.Deprecated()
		s.log.Warn(problem + "; it is used for " + someOf(names) + "; " + remedy)
	}
}

// tenants returns the tenants that the input has now.
func (s *tenantSet) tenants() []*config.Tenant {
	s.mu.Lock()
	defer s.mu.Unlock()

	list := make([]*config.Tenant, 0, len(s.entries))
	for _, e := range s.entries {
		list = append(list, e.tenant)
	}

	return list
}
