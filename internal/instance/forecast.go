package instance

import (
	"context"
	"time"

	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/tokens"
)

// forecastEvery is how often credentials are looked at for an end that is near, and so
// how often a warning comes again.
const forecastEvery = 24 * time.Hour

// forecast warns, once a day, of credentials that end within tokens.WarnBefore. What
// has ended already shows in the polls.
func (c *crew) forecast(ctx context.Context, now time.Time) {
	if now.Before(c.nextForecast) {
		return
	}

	c.nextForecast = now.Add(forecastEvery)
	c.mu.Lock()

	var tenants []config.Tenant
	for _, m := range c.members {
		tenants = append(tenants, m.tenant)
	}
	c.mu.Unlock()

	for _, t := range tenants {
		for _, f := range c.forecasts(ctx, t, now) {
			if f.Soon && !f.Ended {
				c.log.log(collect.Warn, t.TenantName, f.Text+"; "+f.Remedy)
			}
		}
	}
}

func (c *crew) forecasts(ctx context.Context, t config.Tenant, now time.Time) (list []tokens.Forecast) {
	app := Application(t, func(string, string) {})
	if chain, ok, err := c.home.keeper.Load(ctx, app.ChainKey()); err == nil && ok {
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
