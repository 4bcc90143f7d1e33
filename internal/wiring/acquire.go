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

// acquireCommand is the command by which a person signs in for a tenant so that this
// very input uses the token: every setting that decides about the chain, its store or
// the way to the service is in it, unless it has its default.
func acquireCommand(t config.Tenant) string {
	usual, _ := cloud.Lookup(t.Cloud, t.API, t.Region) // where it knows no host, api_url is one's own
	cloudName := unless(string(t.Cloud), string(cloud.Commercial))
	loginURL := unless(t.LoginURL, usual.LoginURL)
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
			unless(t.GraphURL, cloud.GraphURL(t.Cloud)),
			"--partner-url",
			unless(t.PartnerURL, cloud.PartnerURL),
		}

		return tokens.AcquireHomeCommand(
			string(t.HomeTenantID),
			string(t.ClientID),
			slices.Concat(credential, hosts, machine)...,
		)
	}

	name := []string{"--tenant-name", unless(t.TenantName, string(t.TenantID))}
	api := []string{
		"--api",
		unless(string(t.API), string(alert.DefaultAPI())),
		"--cloud",
		cloudName,
		"--region",
		t.Region,
		"--login-url",
		loginURL,
		"--api-url",
		unless(t.APIURL, usual.APIURL),
		"--resource",
		unless(t.Resource, usual.Resource),
	}

	return tokens.AcquireCommand(
		string(t.TenantID),
		string(t.ClientID),
		slices.Concat(name, credential, api, machine)...,
	)
}

// unless returns a value, or nothing for the usual one.
func unless(value, usual string) string {
	if value == usual {
		return ""
	}

	return value
}

// proxyToShow returns the proxy, or nothing for one with a password, which has no place
// in a log.
func proxyToShow(t config.Tenant) string {
	proxy := t.Proxy.Reveal()
	if u, err := url.Parse(proxy); err != nil || u.User != nil {
		return ""
	}

	return proxy
}

// AbsolutePath returns a path as it reads from any directory, since a person's is seldom
// Fluent Bit's. It returns an empty path, and one that cannot be made absolute, as it is.
func AbsolutePath(path string) string {
	if path == "" {
		return ""
	}

	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}

	return path
}
