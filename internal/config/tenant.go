package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/record"
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
		t.TenantName = string(t.TenantID)
	}

	t.ClientID = r.clientID()
	signIn, grantAt := r.enum("grant")
	t.Grant = grant.Grant(signIn)
	r.home(&t, grantAt)
	r.credentials(&t, grantAt)
	t.ClientSecretExpires = r.secretExpires(&t)

	api, apiAt := r.enum("api")
	name, cloudAt := r.enum("cloud")
	t.API, t.Cloud = alert.API(api), cloud.Cloud(name)
	// If API or cloud was refused, what depends on it is not checked: the default in
	// its place would lead to wrong faults.
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
		t.PageSize = r.pageSize(t.API)
	}

	t.Updates = r.boolean("updates")
	t.CEFMaxBytes = int(r.size("cef_max_bytes"))

	format, _ := r.enum("format")
	t.Format = parsed(record.ParseFormat(format))

	field, _ := r.enum("time_field")
	t.TimeField = parsed(alert.ParseTimeField(field))
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
		// With api_url no region is needed.
		own := r.raw("api_url").text != "" && region == "" && wrong.Key == "region"
		if known && !own && !refused(region, regionAt) {
			r.fault(wrong.Key, regionAt, wrong.Problem, wrong.Remedy)
		}
	}

	t.Region = region

	t.LoginURL = r.address("login_url", target.LoginURL)
	if v := r.raw("login_url"); v.text != "" && !cloud.KnownLogin(t.LoginURL) {
		r.warning("login_url", v,
			shown(t.LoginURL)+" is not a sign-in service of Microsoft, "+
				"and would get the application's secret and refresh tokens",
			"check the name; keep it only if you know whose it is")
	}

	t.APIURL = r.address("api_url", target.APIURL)
	t.Resource = r.address("resource", target.Resource)
	t.Endpoint = target
	t.Endpoint.LoginURL, t.Endpoint.APIURL, t.Endpoint.Resource = t.LoginURL, t.APIURL, t.Resource
}

// pageSize returns the number of rows to ask for at a time, 0 where the API has no pages.
func (r *reader) pageSize(api alert.API) int {
	facts, err := api.Descriptor()
	if err != nil {
		return 0 // the API's own fault is reported already
	}

	if facts.MaxPage == 0 {
		if v := r.raw("page_size"); v.set && v.text != "" {
			r.fault("page_size", v, fmt.Sprintf("api %s has no pages", api), "remove page_size")
		}

		return 0
	}

	return int(r.bounded("page_size", option("page_size").Least, int64(facts.MaxPage), int64(facts.MaxPage)))
}

// credentials reads the credentials of application and user, and checks that they fit
// together.
func (r *reader) credentials(t *Tenant, grantAt value) {
	application := r.applicationCredential(t)
	token := r.seedToken(t)

	if t.Grant == grant.ClientCredentials && token {
		r.fault("grant", grantAt, "client_credentials does not fit with a refresh token, which it would never use",
			"remove the refresh token, or use grant auto or refresh_token")
	}

	if !application && t.Grant != grant.RefreshToken {
		r.missing("client_secret", r.raw("client_secret"), "no credential of the application is set",
			"add client_secret_file, client_certificate_file or client_secret, "+
				"or for a public client grant refresh_token")
	}
}

// applicationCredential reads the credential of the application, and reports whether
// one is configured, usable or not.
func (r *reader) applicationCredential(t *Tenant) bool {
	keys := []string{"client_secret", "client_secret_file", "client_certificate_file"}
	values := r.group(keys...)

	var (
		given []string
		last  value
	)

	for i, v := range values {
		if v.text != "" || v.bad {
			given = append(given, keys[i])
			last = v
		}
	}

	if len(given) > 1 {
		r.fault(given[len(given)-1], last, strings.Join(given, " and ")+" are set: two credentials at once",
			"keep one of them")
	}

	if v := values[0]; v.text != "" {
		t.ClientSecret = r.secretText(keys[0], v)
		r.adviseSecret(keys[0], v, t.ClientSecret)
	}

	if v := values[1]; v.text != "" {
		t.ClientSecretFile = v.text
		r.adviseSecret(keys[1], v, r.secretFile(keys[1], v))
	}

	if v := values[2]; v.text != "" {
		t.ClientCertificateFile = v.text
		r.checkCertificate(v)
	}

	return len(given) > 0
}

// secretExpires reads the day on which the secret ends.
func (r *reader) secretExpires(t *Tenant) time.Time {
	const key = "client_secret_expires"

	day := r.date(key)
	if day.IsZero() || !t.ClientSecret.IsZero() || t.ClientSecretFile != "" {
		return day
	}

	if v := r.raw(key); !v.inherited { // a tenant with a certificate may inherit it
		r.warning(key, v, "has no effect without a client secret", "remove it")
	}

	return time.Time{}
}

// seedToken reads the refresh token that starts a chain, and reports whether there is
// one.
func (r *reader) seedToken(t *Tenant) bool {
	values := r.group("refresh_token", "refresh_token_file")
	text, file := values[0], values[1]

	if !r.seedFits(*t, values) {
		return false
	}

	if text.text != "" && file.text != "" {
		r.fault("refresh_token_file", file, "refresh_token and refresh_token_file are set: two tokens at once",
			"keep one of them")
	}

	if text.text != "" {
		t.RefreshToken = r.secretText("refresh_token", text)
	}

	if file.text != "" {
		t.RefreshTokenFile = file.text
		r.secretFile("refresh_token_file", file)
	}

	return text.text != "" || file.text != ""
}
