package cli

import (
	"context"

	"fluent-bit-defender/internal/config"
)

// override puts what the flags say in place of what a configuration says about a
// tenant: addresses, proxy, CA bundle, and the application's credential where the
// command takes one. The environment's secret does not count here: the configuration
// has its own.
func (s *settings) override(ctx context.Context, t *config.Tenant) error {
	keys := config.Map{}

	for _, key := range []string{"login_url", "api_url", "resource", "ca_file", "proxy", "client_secret_file", "client_certificate_file"} {
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
	// Read as the section of some tenant, so that values are checked and written as
	// everywhere.
	some := config.Map{
		"tenant_id":   string(t.TenantID),
		"tenant_name": t.TenantName,
		"client_id":   string(t.ClientID),
		"grant":       "refresh_token",
	}
	for k, v := range keys {
		some[k] = v
	}

	read, err := s.c.tenant(some)
	if err != nil {
		return err
	}

	for key := range keys {
		switch key {
		case "login_url":
			t.LoginURL, t.Endpoint.LoginURL = read.LoginURL, read.LoginURL
		case "api_url":
			t.APIURL, t.Endpoint.APIURL = read.APIURL, read.APIURL
		case "resource":
			t.Resource, t.Endpoint.Resource = read.Resource, read.Resource
		case "ca_file":
			t.CAFile = read.CAFile
		case "proxy":
			t.Proxy = read.Proxy
		}
	}

	if !read.ClientSecret.IsZero() || read.ClientSecretFile != "" || read.ClientCertificateFile != "" {
		t.ClientSecret, t.ClientSecretFile, t.ClientCertificateFile = read.ClientSecret, read.ClientSecretFile, read.ClientCertificateFile
	}

	return nil
}
