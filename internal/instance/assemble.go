package instance

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/delivery"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/metrics"
	"fluent-bit-defender/internal/wiring"
)

// assemble puts an input together: its data directory, its tenants and its metrics. On
// an error nothing is left open. Otherwise the caller closes everything with
// tenantSet.end.
func (r *resources) assemble(cfg *config.Input, mode delivery.Mode, log *slog.Logger) (_ *tenantSet, err error) {
	s := newTenantSet(r, log)
	s.leased = cfg.Store.Shared()

	defer func() {
		if err != nil {
			s.release()
			s.leaveNode(true)
			s.leave()
		}
	}()

	if err := s.claim(cfg.Tenants...); err != nil {
		return nil, err
	}

	s.dir, err = r.enter(cfg, log)
	if err != nil {
		return nil, err
	}

	if s.node, err = s.dir.join(); err != nil {
		return nil, err
	}

	s.input = collect.NewInput(collect.Config{
		Store:          s.dir.store,
		Now:            time.Now,
		Log:            log,
		BufferLimit:    int(cfg.BufferLimit),
		MaxConcurrency: cfg.MaxConcurrency,
		Mode:           mode,
		Lease:          s.lease(),
		Upkeep:         s.upkeep,
	})

	s.healthInterval = cfg.HealthInterval
	s.watch = watchOf(cfg)

	if err := s.addAll(cfg.Tenants); err != nil {
		return nil, err
	}

	s.cfg = cfg
	s.found.store = s.dir.store

	if err := s.configureDiscovery(cfg.Discovery); err != nil {
		return nil, err
	}

	s.startDiscovered()

	if cfg.MetricsListen != "" {
		s.leaveMetrics, err = r.metrics.Serve(metricsSettings(cfg, log), s)
		if err != nil {
			return nil, err
		}
	}

	return s, nil
}

// watchOf returns the watch of the tenants file; nil if there is none.
func watchOf(cfg *config.Input) *config.Watch {
	if cfg.TenantsFile == "" {
		return nil
	}

	return cfg.Watch(config.Sources{})
}

// addAll adds the tenants that an input starts with. Where several machines share the
// store, it only checks that they can be added. Its error joins those of all tenants.
func (s *tenantSet) addAll(tenants []config.Tenant) error {
	var errs []error

	for _, t := range tenants {
		e := s.entries[t.Unit()]

		parts, err := s.unitConfig(e.tenant)
		if err != nil {
			errs = append(errs, err)
			continue
		}

		s.add(e, parts)
	}

	return errors.Join(errs...)
}

// metricsSettings returns how the metrics of an input are served.
func metricsSettings(cfg *config.Input, log *slog.Logger) metrics.Settings {
	settings := metrics.Settings{
		Address:   cfg.MetricsListen,
		TokenFile: cfg.MetricsTokenFile,
		Hosts:     cfg.MetricsHosts,
		Log:       log,
	}
	if cfg.MetricsTokenFile != "" {
		settings.Token = wiring.SecretFile("metrics_token_file", cfg.MetricsTokenFile, log)
	}

	return settings
}

// wiringParts returns what a tenant's parts are made of. skew learns the clock of the
// API, and counters counts its answers. The clock of the sign-in service says nothing
// about the time of alerts: a difference is only logged.
func (s *tenantSet) wiringParts(
	t *config.Tenant, skew *collect.Skew, counters *measure.Counters,
) (wiring.Parts, error) {
	client, err := s.shared.transports.Client(*t)
	if err != nil {
		return wiring.Parts{}, err
	}

	return wiring.Parts{
		Tenant:     t,
		HTTP:       client,
		Now:        time.Now,
		Log:        logs.Tenant(s.log, t.TenantName),
		LoginClock: s.shared.clocks.watch(t.LoginURL, s.log, nil),
		APIClock:   s.shared.clocks.watch(t.APIURL, s.log, skew),
		Answered:   counters.Answered,

		Redemptions: &s.shared.redemptions,
	}, nil
}

// unitConfig returns the configuration of a tenant's unit: its reader, limiter, encoder
// and sign-in.
func (s *tenantSet) unitConfig(t *config.Tenant) (collect.UnitConfig, error) {
	var none collect.UnitConfig

	skew := s.dir.skew()
	counters := new(measure.Counters)

	parts, err := s.wiringParts(t, skew, counters)
	if err != nil {
		return none, err
	}

	source, err := parts.Source(s.dir.keeper)
	if err != nil {
		return none, err
	}

	limiter, units := s.shared.limiter(*t)
	signIn := &customerSignIn{source: source, found: &s.found, tenant: t}

	reader, err := parts.Reader(signIn, limiter)
	if err != nil {
		return none, err
	}

	identifier, err := wiring.NewIdentifier(*t)
	if err != nil {
		return none, err
	}

	encoder, err := wiring.NewEncoder(*t)
	if err != nil {
		return none, err
	}

	return collect.UnitConfig{
		Key:            t.Unit(),
		Name:           t.TenantName,
		ClientID:       t.ClientID,
		HomeTenantID:   t.HomeTenantID,
		Tag:            t.Tag,
		PollInterval:   t.PollInterval,
		Lookback:       t.Lookback,
		Overlap:        t.Overlap,
		SweepInterval:  t.SweepInterval,
		SweepLookback:  t.SweepLookback,
		HealthInterval: s.healthInterval,
		Reader:         reader,
		Limiter:        limiter,
		SharedBy:       units,
		Skew:           skew,
		Counters:       counters,
		Identifier:     identifier,
		Encoder:        encoder,
		SignIn:         signIn.run,
		Relationship:   func() collect.Relationship { return s.found.relationship(t) },
		Account:        func(ctx context.Context) string { return s.account(ctx, *t, source) },
		Changed:        signIn.changed,
	}, nil
}
