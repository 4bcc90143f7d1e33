package config

import (
	"errors"
	"strings"

	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/secret"
)

// readTenant reads and checks all keys of one tenant.
func (r *reader) readTenant() Tenant {
	t := Tenant{}

	if name := r.raw("tenant_name").text; name != "" {
		r.tenant = name
	} else if id := strings.ToLower(r.raw("tenant_id").text); id != "" {
		r.tenant = id
	}

	t.TenantID = r.tenantID()
	if t.TenantName = r.label("tenant_name", 256); t.TenantName == "" {
		t.TenantName = t.TenantID
	}

	t.ClientID = r.clientID()
	grant, grantAt := r.enum("grant")
	t.Grant = grant
	r.credentials(&t, grantAt)

	api, apiAt := r.enum("api")
	name, cloudAt := r.enum("cloud")
	t.API, t.Cloud = cloud.API(api), cloud.Cloud(name)
	// What depends on an API or cloud that was refused is not judged by the default in
	// its place.
	known := !refused(api, apiAt) && !refused(name, cloudAt)
	r.addresses(&t, known)

	if known {
		t.Filter = r.filter(t.API)
	}

	t.PollInterval = r.duration("poll_interval")
	t.Lookback = r.duration("lookback")
	t.Overlap = r.duration("overlap")
	t.SweepInterval = r.duration("sweep_interval")

	t.SweepLookback = r.duration("sweep_lookback")
	if known {
		t.PageSize = r.pageSize(t.API, t.Endpoint)
	}

	t.Updates = r.boolean("updates")
	t.Format, _ = r.enum("format")
	t.CEFMaxBytes = int(r.size("cef_max_bytes"))
	t.TimeField, _ = r.enum("time_field")
	t.StateID = r.label("state_id", 128)
	t.Tag = r.tag()

	t.Proxy = secret.New(r.proxy())
	if t.CAFile = r.path("ca_file"); t.CAFile != "" {
		r.checkCAFile(t.CAFile)
	}

	t.HTTPTimeout = r.duration("http_timeout")

	return t
}

// addresses resolves cloud, API, region and the overrides.
func (r *reader) addresses(t *Tenant, known bool) {
	region, regionAt := r.enum("region")
	target, err := cloud.Lookup(t.Cloud, t.API, region)

	var wrong *cloud.KeyError
	if errors.As(err, &wrong) {
		// An address of one's own needs no region.
		own := r.raw("api_url").text != "" && region == "" && wrong.Key == "region"
		if known && !own && !refused(region, regionAt) {
			r.fault(wrong.Key, regionAt, wrong.Problem, wrong.Mend)
		}
	}

	t.Region = region

	t.LoginURL = r.address("login_url", target.LoginURL)
	if v := r.raw("login_url"); v.text != "" && !cloud.KnownLogin(t.LoginURL) {
		r.warning(
			"login_url",
			v,
			shown(
				t.LoginURL,
			)+" is no sign-in service of Microsoft, and is sent the application's secret and refresh tokens",
			"check the name; keep it only if you know whose it is",
		)
	}

	t.APIURL = r.address("api_url", target.APIURL)
	t.Resource = r.address("resource", target.Resource)
	t.Endpoint = target
	t.Endpoint.LoginURL, t.Endpoint.APIURL, t.Endpoint.Resource = t.LoginURL, t.APIURL, t.Resource
}

// pageSize gives the rows to ask for at a time, 0 where the API has no pages.
func (r *reader) pageSize(api cloud.API, target cloud.Target) int {
	if api == cloud.SIEM {
		if v := r.raw("page_size"); v.set && v.text != "" {
			r.fault("page_size", v, "api siem has no pages", "remove page_size")
		}

		return 0
	}

	most := target.MaxPage
	if most == 0 {
		return 0 // the API's own fault is reported already
	}

	return int(r.bounded("page_size", option("page_size").Least, int64(most), int64(target.DefaultPage)))
}

// credentials reads how the application and the user show who they are, and how these
// fit.
func (r *reader) credentials(t *Tenant, grantAt value) {
	app := r.group("client_secret", "client_secret_file", "client_certificate_file")
	names := []string{"client_secret", "client_secret_file", "client_certificate_file"}

	var (
		given []string
		at    value
	)

	for i, v := range app {
		if v.text != "" || v.bad {
			given = append(given, names[i])
			at = v
		}
	}

	if len(given) > 1 {
		r.fault(
			given[len(given)-1],
			at,
			strings.Join(given, " and ")+" are set: two credentials at once",
			"keep one of them",
		)
	}

	if v := app[0]; v.text != "" {
		t.ClientSecret = r.secretText("client_secret", v)
		r.adviseSecret("client_secret", v, t.ClientSecret)
	}

	if v := app[1]; v.text != "" {
		t.ClientSecretFile = v.text
		r.adviseSecret("client_secret_file", v, r.secretFile("client_secret_file", v))
	}

	if v := app[2]; v.text != "" {
		t.ClientCertificateFile = v.text
		r.checkCertificate(v)
	}

	user := r.group("refresh_token", "refresh_token_file")
	if user[0].text != "" && user[1].text != "" {
		r.fault(
			"refresh_token_file",
			user[1],
			"refresh_token and refresh_token_file are set: two tokens at once",
			"keep one of them",
		)
	}

	if v := user[0]; v.text != "" {
		t.RefreshToken = r.secretText("refresh_token", v)
	}

	if v := user[1]; v.text != "" {
		t.RefreshTokenFile = v.text
		r.secretFile("refresh_token_file", v)
	}

	token := user[0].text != "" || user[1].text != ""
	if t.Grant == "client_credentials" && token {
		r.fault("grant", grantAt, "client_credentials does not fit with a refresh token, which it would never use",
			"remove the refresh token, or use grant auto or refresh_token")
	}

	if len(given) == 0 && t.Grant != "refresh_token" {
		r.missing(
			"client_secret",
			r.raw("client_secret"),
			"no credential of the application is set",
			"add client_secret_file, client_certificate_file or client_secret, or for a public client grant refresh_token",
		)
	}
}
