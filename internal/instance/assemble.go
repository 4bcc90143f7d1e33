package instance

import (
	"context"
	"errors"
	"time"

	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/metrics"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// assemble puts an input together: the store, and for each tenant sign-in, reader and
// encoder. On an error nothing is left open; after that, the crew's end gives
// everything back.
func (s *shared) assemble(cfg *config.Input, mode delivery.Mode, log *logger) (_ *crew, err error) {
	c := newCrew(s, log)

	defer func() {
		if err != nil {
			c.release()
			c.leave()
		}
	}()

	if err := c.claim(cfg.Tenants...); err != nil {
		return nil, err
	}

	if c.home, err = s.enter(cfg, log); err != nil {
		return nil, err
	}

	c.input = collect.NewInput(collect.Config{
		Store:          c.home.store,
		Now:            time.Now,
		Log:            log.log,
		BufferLimit:    int(cfg.BufferLimit),
		MaxConcurrency: cfg.MaxConcurrency,
		Mode:           mode,
		Upkeep:         c.upkeep,
	})

	c.health = cfg.HealthInterval
	if cfg.TenantsFile != "" {
		c.watch = cfg.Watch(config.Sources{})
	}

	var errs []error

	for _, t := range cfg.Tenants {
		parts, err := c.parts(t)
		if err != nil {
			errs = append(errs, err)
			continue
		}

		c.input.Add(parts)
	}

	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	if cfg.MetricsListen != "" {
		if c.leaveMetrics, err = s.metrics.Serve(metricsSettings(cfg, log), c.input); err != nil {
			return nil, err
		}
	}

	return c, nil
}

// metricsSettings says how the metrics of an input are served.
func metricsSettings(cfg *config.Input, log *logger) metrics.Settings {
	say := func(level, text string) { log.log(levelNamed(level), "", text) }

	settings := metrics.Settings{
		Address:   cfg.MetricsListen,
		TokenFile: cfg.MetricsTokenFile,
		Hosts:     cfg.MetricsHosts,
		Log:       say,
	}
	if cfg.MetricsTokenFile != "" {
		settings.Token = watched("metrics_token_file", cfg.MetricsTokenFile, say)
	}

	return settings
}

// parts puts together what one tenant is polled by.
func (c *crew) parts(t config.Tenant) (collect.TenantConfig, error) {
	var none collect.TenantConfig

	client, err := c.shared.client(t)
	if err != nil {
		return none, err
	}

	say := func(level, text string) { c.log.log(levelNamed(level), t.TenantName, text) }
	skew := new(collect.Skew)
	clock := func(address string, next func(server, local time.Time)) func(server, local time.Time) {
		return c.shared.clocks.watch(
			address,
			func(level collect.Level, text string) { c.log.log(level, "", text) },
			next,
		)
	}

	// The sign-in service's clock says nothing about the time of alerts: it is only
	// watched.
	source, err := newSource(t, c.home.keeper, client, time.Now, say, clock(t.LoginURL, nil))
	if err != nil {
		return none, err
	}

	gate, feeds := c.shared.gate(t)

	reader, err := newReader(t, source, client, gate, time.Now, say, clock(t.APIURL, skew.Note))
	if err != nil {
		return none, err
	}

	encoder, err := NewEncoder(t)
	if err != nil {
		return none, err
	}

	return collect.TenantConfig{
		Key:            Feed(t),
		Name:           t.TenantName,
		ClientID:       t.ClientID,
		API:            t.API,
		Tag:            t.Tag,
		PollInterval:   t.PollInterval,
		Lookback:       t.Lookback,
		Overlap:        t.Overlap,
		SweepInterval:  t.SweepInterval,
		SweepLookback:  t.SweepLookback,
		HealthInterval: c.health,
		Updates:        t.Updates,
		TimeField:      timeFieldOf(t.TimeField),
		Reader:         reader,
		Limiter:        gate,
		Feeds:          feeds,
		Skew:           skew,
		Encoder:        encoder,
		SignIn: func(ctx context.Context) error {
			_, err := source.Token(ctx)
			return err
		},
		Changed: source.Changed,
	}, nil
}

func versionOf(e cloud.Target) tokens.Version {
	if e.V1 {
		return tokens.V1
	}

	return tokens.V2
}

func timeFieldOf(name string) collect.TimeField {
	switch name {
	case "created":
		return collect.TimeCreated
	case "now":
		return collect.TimeNow
	}

	return collect.TimeUpdated
}

// credentialOf is how the application proves itself: a secret, a secret file that is
// read again when it changes, a certificate, or nothing.
func credentialOf(t config.Tenant, say func(level, text string)) tokens.Credential {
	switch {
	case !t.ClientSecret.IsZero():
		return tokens.Secret(func() (secret.Text, error) { return t.ClientSecret, nil })
	case t.ClientSecretFile != "":
		return tokens.Secret(watched("client_secret_file", t.ClientSecretFile, say))
	case t.ClientCertificateFile != "":
		return tokens.Certificate(certificateFile(t.ClientCertificateFile, say))
	}

	return nil
}

// seedOf gives the configured refresh token, if there is one.
func seedOf(t config.Tenant, say func(level, text string)) func() (secret.Text, error) {
	switch {
	case !t.RefreshToken.IsZero():
		return func() (secret.Text, error) { return t.RefreshToken, nil }
	case t.RefreshTokenFile != "":
		return watched("refresh_token_file", t.RefreshTokenFile, say)
	}

	return nil
}

// watched reads a secret file again when it changes. When it is gone later, the last
// content stays in use and one line says so.
func watched(key, path string, say func(level, text string)) func() (secret.Text, error) {
	file := config.WatchFile(path)

	return func() (secret.Text, error) {
		value, err := file.Value()
		if err != nil && !value.IsZero() {
			say("error", key+": "+err.Error())
			err = nil
		}

		return value, err
	}
}
