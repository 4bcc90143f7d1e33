package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/collect"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// assemble puts an input together: the store, and for each tenant sign-in, reader and encoder. On an error nothing is left open; after
// that, close gives everything back.
func (s *shared) assemble(cfg *config.Input, mode collect.Mode, log *logger) (in *collect.Input, close func(), err error) {
	if err := s.claim(cfg.Tenants); err != nil {
		return nil, nil, err
	}
	h, err := s.enter(cfg, log)
	if err != nil {
		s.release(cfg.Tenants)
		return nil, nil, err
	}
	close = func() {
		s.release(cfg.Tenants)
		s.leave(h, log)
	}
	in = collect.NewInput(collect.Config{Store: h.store, Now: time.Now, Log: log.log, BufferLimit: int(cfg.BufferLimit),
		MaxConcurrency: cfg.MaxConcurrency, Mode: mode})
	var errs []error
	for _, t := range cfg.Tenants {
		errs = append(errs, s.tenant(in, t, h.keeper, cfg.HealthInterval, log))
	}
	if err := errors.Join(errs...); err != nil {
		close()
		return nil, nil, err
	}
	return in, close, nil
}

// tenant adds one tenant to an input.
func (s *shared) tenant(in *collect.Input, t config.Tenant, chains tokens.ChainStore, health time.Duration, log *logger) error {
	client, err := s.client(t)
	if err != nil {
		return err
	}
	say := func(level, text string) { log.log(levelNamed(level), t.TenantName, text) }
	credential := credentialOf(t, say)
	grant, err := tokens.ParseGrant(t.Grant)
	if err != nil {
		return err
	}
	format, err := record.ParseFormat(t.Format)
	if err != nil {
		return err
	}
	gate := s.gate(t)
	in.Add(func(tenant *collect.Tenant) collect.TenantConfig {
		source, e := tokens.NewSource(tokens.SourceConfig{
			App: tokens.App{LoginURL: t.LoginURL, TenantID: t.TenantID, ClientID: t.ClientID, Version: versionOf(t.Endpoint),
				Resource: t.Resource, Credential: credential},
			Grant: grant, Seed: seedOf(t, say), Store: chains, HTTP: client, Now: time.Now,
			Log:        func(l slog.Level, text string) { log.log(levelOf(l), t.TenantName, text) },
			TenantName: t.TenantName, OnSkew: tenant.Skew,
		})
		if e != nil {
			err = e
			return collect.TenantConfig{}
		}
		reader, e := defender.NewReader(t.API, defender.Settings{
			BaseURL: t.APIURL, Path: t.Endpoint.Path, Resource: t.Resource, Filter: t.Filter, ClientID: t.ClientID, TenantID: t.TenantID,
			HTTP: client, Tokens: source, IdleTimeout: t.HTTPTimeout, Gate: gate, Now: time.Now, Skew: tenant.Skew,
			Notice: say, MaxPage: t.Endpoint.MaxPage, PageSize: t.PageSize, ByCreation: !t.Updates,
		})
		err = e
		return collect.TenantConfig{
			Key: feedKey(t), Name: t.TenantName, ClientID: t.ClientID, API: t.API, Tag: t.Tag,
			PollInterval: t.PollInterval, Lookback: t.Lookback, Overlap: t.Overlap,
			SweepInterval: t.SweepInterval, SweepLookback: t.SweepLookback, HealthInterval: health,
			Updates: t.Updates, TimeField: timeFieldOf(t.TimeField), Reader: reader, Gate: gate,
			Encoder: record.NewEncoder(record.Options{TenantID: t.TenantID, Tenant: t.TenantName, API: string(t.API), Format: format, CEFMaxBytes: t.CEFMaxBytes}),
			SignIn: func(ctx context.Context) error {
				_, err := source.Token(ctx)
				return err
			},
			Changed: source.Changed,
		}
	})
	return err
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
		read := watched("client_certificate_file", t.ClientCertificateFile, say)
		return tokens.Certificate(func() ([]byte, error) {
			pem, err := read()
			return []byte(pem.Reveal()), err
		})
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
