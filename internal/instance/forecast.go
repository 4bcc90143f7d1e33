package instance

import (
	"context"
	"slices"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// warnOfEndsEvery is how often a warning about the end of a credential is repeated.
const warnOfEndsEvery = 24 * time.Hour

// warnOfEnds warns, once a day, of credentials that end within tokens.WarnBefore. The
// polls report those that have ended.
func (s *tenantSet) warnOfEnds(ctx context.Context, now time.Time) {
	if now.Before(s.nextEndsWarning) {
		return
	}

	s.nextEndsWarning = now.Add(warnOfEndsEvery)

	if names := s.found.endsSoon(now); len(names) > 0 {
		s.log.Warn("relationships with customers end soon and are not extended by themselves: " + joinNames(names) +
			"; ask for new ones, with auto-extend")
	}

	// Many customers may share a sign-in, or a certificate: one warning is enough.
	warned := map[string]bool{}

	for _, t := range s.tenants() {
		known := s.forecasts(ctx, *t, now)
		for _, f := range []tokens.Forecast{known.chain, known.credential} {
			text := f.Text + f.Remedy
			if f.Soon && !f.Ended && (t.HomeTenantID == "" || !warned[text]) {
				warned[text] = true

				logs.Tenant(s.log, t.TenantName).Warn(f.Text + "; " + f.Remedy)
			}
		}
	}
}

// warnOfDeprecatedEvery is how often a warning about an API that Microsoft advises
// against is repeated.
const warnOfDeprecatedEvery = 7 * 24 * time.Hour

// warnOfDeprecated warns, once a week and in one line for each API, of tenants that are
// read from an API that Microsoft advises against.
func (s *tenantSet) warnOfDeprecated(now time.Time) {
	if now.Before(s.nextDeprecatedWarning) {
		return
	}

	s.nextDeprecatedWarning = now.Add(warnOfDeprecatedEvery)

	users := map[alert.API][]string{}

	for _, t := range s.tenants() {
		if problem, _ := t.API.Deprecated(); problem != "" {
			users[t.API] = append(users[t.API], t.TenantName)
		}
	}

	for api, names := range users {
		slices.Sort(names)

		problem, remedy := api.Deprecated()
		s.log.Warn(problem + "; it is used for " + joinNames(names) + "; " + remedy)
	}
}

// forecasts are what is known about the ends of a tenant's credentials. A zero value
// stands for what is not known.
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
