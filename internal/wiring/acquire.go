package wiring

import (
	"net/url"
	"path/filepath"
	"slices"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/tokens"
)

// DefaultDataDir is the default of data_dir, which the command line shares.
const DefaultDataDir = "/var/lib/defender"

// acquireCommand returns the command with which a person signs in to a tenant so that
// this very input uses the token. It has every setting that decides about the chain,
// its store or the way to the service, unless that has its default.
func acquireCommand(t config.Tenant) string {
	usual, _ := cloud.Lookup(t.Cloud, t.API, t.Region) // empty for an API without a host there: api_url is set then
	cloudName := nonDefault(string(t.Cloud), string(cloud.Commercial))
	loginURL := nonDefault(t.LoginURL, usual.LoginURL)
	credential := []string{
		"--client-secret-file",
		AbsolutePath(t.ClientSecretFile),
		"--client-certificate-file",
		AbsolutePath(t.ClientCertificateFile),
	}
	machine := []string{
		"--ca-file",
		AbsolutePath(t.CAFile),
		"--proxy",
		proxyToShow(t),
	}
	machine = append(machine, storeFlags(t.Store, t.DataDir, t.KeyFile)...)

	if t.HomeTenantID != "" {
		hosts := []string{
			"--cloud",
			cloudName,
			"--login-url",
			loginURL,
			"--graph-url",
			nonDefault(t.GraphURL, cloud.GraphURL(t.Cloud)),
			"--partner-url",
			nonDefault(t.PartnerURL, cloud.PartnerURL),
		}

		return tokens.AcquireHomeCommand(
			string(t.HomeTenantID),
			string(t.ClientID),
			slices.Concat(credential, hosts, machine)...,
		)
	}

	name := []string{"--tenant-name", nonDefault(t.TenantName, string(t.TenantID))}
	api := []string{
		"--api",
		nonDefault(string(t.API), string(alert.DefaultAPI())),
		"--cloud",
		cloudName,
		"--region",
		t.Region,
		"--login-url",
		loginURL,
		"--api-url",
		nonDefault(t.APIURL, usual.APIURL),
		"--resource",
		nonDefault(t.Resource, usual.Resource),
	}

	return tokens.AcquireCommand(
		string(t.TenantID),
		string(t.ClientID),
		slices.Concat(name, credential, api, machine)...,
	)
}

// nonDefault returns a value, or "" if it is the default.
func nonDefault(value, usual string) string {
	if value == usual {
		return ""
	}

	return value
}

// proxyToShow returns the proxy, or "" for one with a password, which must not reach a
// log.
func proxyToShow(t config.Tenant) string {
	proxy := t.Proxy.Reveal()
	if u, err := url.Parse(proxy); err != nil || u.User != nil {
		return ""
	}

	return proxy
}

// AbsolutePath returns a path in absolute form: the person who reads it is seldom in
// Fluent Bit's working directory. An empty path, and one that cannot be made absolute,
// are returned as they are.
func AbsolutePath(path string) string {
	if path == "" {
		return ""
	}

	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}

	return path
}
