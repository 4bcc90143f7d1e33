package wiring

import (
	"net/url"
	"path/filepath"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/tokens"
)

// DefaultDataDir is the default of data_dir, which the command line shares.
const DefaultDataDir = "/var/lib/defender"

// acquireCommand is the command by which a person signs in for a tenant so that this
// very input uses the token: every setting that decides about the chain, its store or
// the way to the service is in it, unless it has its default.
func acquireCommand(t config.Tenant) string {
	unless := func(value, usual string) string {
		if value == usual {
			return ""
		}

		return value
	}
	usual, _ := cloud.Lookup(t.Cloud, t.API, t.Region) // where it knows no host, api_url is one's own

	proxy := t.Proxy.Reveal()
	if u, err := url.Parse(proxy); err != nil || u.User != nil {
		proxy = "" // a password has no place in a log
	}

	return tokens.AcquireCommand(
		string(t.TenantID),
		string(t.ClientID),
		"--tenant-name",
		unless(t.TenantName, string(t.TenantID)),
		"--client-secret-file",
		absolute(t.ClientSecretFile),
		"--client-certificate-file",
		absolute(t.ClientCertificateFile),
		"--api",
		unless(string(t.API), string(alert.Graph)),
		"--cloud",
		unless(string(t.Cloud), string(cloud.Commercial)),
		"--region",
		t.Region,
		"--login-url",
		unless(t.LoginURL, usual.LoginURL),
		"--api-url",
		unless(t.APIURL, usual.APIURL),
		"--resource",
		unless(t.Resource, usual.Resource),
		"--ca-file",
		absolute(t.CAFile),
		"--proxy",
		proxy,
		"--data-dir",
		unless(absolute(t.DataDir), DefaultDataDir),
		"--key-file",
		absolute(t.KeyFile),
	)
}

// absolute is a path as it reads from any directory: a person's is seldom Fluent Bit's.
func absolute(path string) string {
	if path == "" {
		return ""
	}

	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}

	return path
}
