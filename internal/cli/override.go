package cli

import (
	"context"
	"maps"

	"fluent-bit-defender/internal/config"
)

// overrides are the keys of a configuration that flags override.
var overrides = []string{
	"login_url",
	"api_url",
	"resource",
	"ca_file",
	"proxy",
	"client_secret_file",
	"client_certificate_file",
	"graph_url",
	"partner_url",
}

// override puts what the flags say in place of what a configuration says about a
// tenant: addresses, proxy, CA bundle, and the application's credential where the
// command takes one. The environment's secret does not count here: the configuration
// has its own.
func (s *settings) override(ctx context.Context, t *config.Tenant) error {
	keys := config.Map{}

	for _, key := range overrides {
		if v := s.get(key); v != "" {
			keys[key] = v
		}
	}

	if s.clientSecret != "" || isStream(keys["client_secret_file"]) {
		if err := s.credential(ctx, keys); err != nil {
			return err
		}
	}

	if len(keys) == 0 {
		return nil
	}

	// The flags are read as the section of some tenant, so that their values are
	// checked as those of a configuration are.
	section := config.Map{
		"tenant_id":   string(t.TenantID),
		"tenant_name": t.TenantName,
		"client_id":   string(t.ClientID),
		"grant":       "refresh_token",
	}
	maps.Copy(section, keys)

	read, err := s.c.tenant(section)
	if err != nil {
		return err
	}

	take(t, read, keys)

	return nil
}

// take puts in t what the keys have in read.
func take(t *config.Tenant, read config.Tenant, keys config.Map) {
	for key := range keys {
		switch key {
		case "login_url":
			t.LoginURL, t.Endpoint.LoginURL = read.LoginURL, read.LoginURL
		case "api_url":
			t.APIURL, t.Endpoint.APIURL = read.APIURL, read.APIURL
		case "resource":
			t.Resource, t.Endpoint.Resource = read.Resource, read.Resource
		case "graph_url":
			t.GraphURL = read.GraphURL
		case "partner_url":
			t.PartnerURL = read.PartnerURL
		case "ca_file":
			t.CAFile = read.CAFile
		case "proxy":
			t.Proxy = read.Proxy
		}
	}

	if !read.ClientSecret.IsZero() || read.ClientSecretFile != "" || read.ClientCertificateFile != "" {
		t.ClientSecret = read.ClientSecret
		t.ClientSecretFile = read.ClientSecretFile
		t.ClientCertificateFile = read.ClientCertificateFile
	}
}
