package instance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// assemble puts an input together: the store, and for each tenant sign-in, reader and encoder. On an error nothing is left open; after
// that, close gives everything back.
func (s *shared) assemble(cfg *config.Input, mode collect.Mode, log *logger) (in *collect.Input, close func(), err error) {
	c := &crew{shared: s, log: log}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if err := c.claim(cfg.Tenants...); err != nil {
		return nil, nil, err
	}
	if c.home, err = s.enter(cfg, log); err != nil {
		return nil, nil, err
	}
	c.input = collect.NewInput(collect.Config{Store: c.home.store, Now: time.Now, Log: log.log, BufferLimit: int(cfg.BufferLimit),
		MaxConcurrency: cfg.MaxConcurrency, Mode: mode, Upkeep: c.upkeep})
	c.health = cfg.HealthInterval
	if cfg.TenantsFile != "" {
		c.watch = cfg.Watch(config.Sources{})
	}
	var errs []error
	for _, t := range cfg.Tenants {
		errs = append(errs, c.add(t))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	if cfg.MetricsListen != "" {
		if c.leaveMetrics, err = s.metrics.Serve(cfg.MetricsListen, c.input); err != nil {
			return nil, nil, err
		}
	}
	return c.input, c.close, nil
}

// add makes one tenant part of the input.
func (c *crew) add(t config.Tenant) error {
	client, err := c.shared.client(t)
	if err != nil {
		return err
	}
	say := func(level, text string) { c.log.log(levelNamed(level), t.TenantName, text) }
	skew := new(collect.Skew)
	source, err := newSource(t, c.home.keeper, client, time.Now, say, skew.Note)
	if err != nil {
		return err
	}
	gate, feeds := c.shared.gate(t)
	reader, err := newReader(t, source, client, gate, time.Now, say, skew.Note)
	if err != nil {
		return err
	}
	encoder, err := NewEncoder(t)
	if err != nil {
		return err
	}
	c.input.Add(collect.TenantConfig{
		Key: feedKey(t), Name: t.TenantName, ClientID: t.ClientID, API: t.API, Tag: t.Tag,
		PollInterval: t.PollInterval, Lookback: t.Lookback, Overlap: t.Overlap,
		SweepInterval: t.SweepInterval, SweepLookback: t.SweepLookback, HealthInterval: c.health,
		Updates: t.Updates, TimeField: timeFieldOf(t.TimeField), Reader: reader, Gate: gate, Feeds: feeds, Skew: skew,
		Encoder: encoder,
		SignIn: func(ctx context.Context) error {
			_, err := source.Token(ctx)
			return err
		},
		Changed: source.Changed,
	})
	return nil
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

// credentialOf is how the application proves itself: a secret, a secret file that is read again when it changes, a certificate, or nothing.
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

// watched reads a secret file again when it changes. When it is gone later, the last content stays in use and one line says so.
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

// keyOf reads the key that encrypts stored tokens; none if there is no key_file.
func keyOf(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	key, err := config.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("key_file %s: %w", path, err)
	}
	return key, nil
}
