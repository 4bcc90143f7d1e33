// Package connector reads the files by which other SIEM connectors were configured for
// Microsoft's alert exporter: ArcSight's WDATP-connector.properties and Splunk's
// inputs.conf or authentication properties.
//
// The ArcSight file is described at
// https://learn.microsoft.com/defender-endpoint/configure-arcsight; the keys of Splunk's
// REST input are those of its stanza. The contents of the file that the portal offers to
// MSSPs are not public: any mix of the known names is read.
//
// # Caveats
//
//   - Nothing is asked over the network, and nothing is checked but form: package
//     config does that.
//   - What belongs to one tenant is never combined with what belongs to another one.
//     Where a file leaves that open, it is refused.
package connector

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"fluent-bit-defender/internal/secret"
)

// MaxBytes bounds the size of a file. Real ones have about a kilobyte.
const MaxBytes = 1 << 20

// Settings are what a file, or a stanza of it, sets. What it leaves blank is empty.
type Settings struct {
	// TenantID is from the first segment of the token URL's path; LoginURL its scheme and
	// host.
	TenantID, LoginURL string
	ClientID           string
	ClientSecret       secret.Text
	RefreshToken       secret.Text
	// Resource is what tokens are asked for.
	Resource string
	// EventsURL is scheme and host of the API, Region the part of it that names one; both
	// are known from Splunk's files only.
	EventsURL, Region string
	// Sealed lists the keys whose values are encrypted by Splunk: only that Splunk can
	// read them, so they count as blank.
	Sealed []string
}

// Stanza is one connector of a file.
type Stanza struct {
	// Name is what stands between the brackets; empty for a file without stanzas.
	Name string
	// Disabled reports whether the stanza says that it is switched off.
	Disabled bool
	Settings
	// Err is what is wrong with this stanza; the others of the file can be used.
	Err error
}

// ErrNothing is wrapped when a file has none of the keys that are looked for.
var ErrNothing = errors.New("has no token_url, client_id or refresh token of a connector")

// A field is a setting of a connector. Each kind of file has keys of its own for it.
type field int

const (
	fieldClient field = iota
	fieldSecret
	fieldRefresh
	fieldToken
	fieldAuth
	fieldProps
	fieldResource
	fieldEvents
	fieldDisabled
)

// names are the keys of all kinds of files, in lower case.
var names = map[field][]string{
	fieldClient:  {"client_id", "oauth2_client_id", "clientid", "oauth 2 client id", "client id"},
	fieldSecret:  {"client_secret", "oauth2_client_secret", "clientsecret", "oauth 2 client secret", "client secret"},
	fieldRefresh: {"refresh_token", "oauth2_refresh_token", "oauth 2 refresh token", "refresh token"},
	fieldToken: {"token_url", "oauth2_refresh_url", "oauth2_token_url", "oauth 2 token refresh url", "token " +
		"refresh url"},
	fieldAuth:     {"auth_url", "oauth2_auth_url"},
	fieldProps:    {"oauth2_refresh_props"},
	fieldResource: {"resource"},
	fieldEvents:   {"endpoint", "events_url", "endpoint_url", "url"},
	fieldDisabled: {"disabled"},
}

// fields finds the field of a key.
var fields = func() map[string]field {
	m := map[string]field{}

	for f, keys := range names {
		for _, k := range keys {
			m[k] = f
		}
	}

	return m
}()

// Read reads a file. With section headers, as Splunk writes them, it has one stanza for
// each connector; without them it is a file of Java properties
// (https://docs.oracle.com/javase/8/docs/api/java/util/Properties.html) and has one. Keys
// match in any case; unknown ones are ignored. Errors hold no values.
func Read(data []byte) ([]Stanza, error) {
	if len(data) > MaxBytes {
		return nil, errors.New("is too large to be a connector's configuration")
	}

	text, err := decode(data)
	if err != nil {
		return nil, err
	}

	sections, err := split(text)
	if err != nil {
		return nil, err
	}

	var all []Stanza

	common := sections[0]
	for _, s := range sections[1:] {
		if s.isConnector(common) {
			all = append(all, s.stanza(common))
		}
	}

	if len(all) == 0 && common.isConnector(section{}) {
		all = append(all, common.stanza(section{}))
	}

	if len(all) == 0 {
		return nil, ErrNothing
	}

	return all, nil
}

// isConnector reports whether a section describes a connector: by a key of its own, or by
// an address of events to which the keys that all sections share belong.
func (s section) isConnector(common section) bool {
	own := func(s section) bool {
		return s.has(fieldClient) || s.has(fieldToken) || s.has(fieldAuth) || s.has(fieldRefresh)
	}

	return s.err != nil || own(s) || s.has(fieldEvents) && (common.err != nil || own(common))
}

// stanza reads a section, with what it takes over from the common one.
func (s section) stanza(common section) Stanza {
	v := s.inherit(common)

	st := Stanza{Name: s.name, Err: v.err}
	switch strings.ToLower(v.get(fieldDisabled)) {
	case "1", "true", "t", "yes", "y", "on":
		st.Disabled = true
	}

	st.ClientID = v.get(fieldClient)
	st.ClientSecret = st.unsealed(v, fieldSecret)
	st.RefreshToken = st.unsealed(v, fieldRefresh)
	st.Resource = v.resource()

	st.EventsURL, st.Region = eventsOf(v.get(fieldEvents))
	if st.Err == nil {
		st.LoginURL, st.TenantID, st.Err = v.tenant()
	}

	return st
}

// unsealed returns a secret, unless Splunk has encrypted it: such values begin with $1$
// or $7$.
func (s *Settings) unsealed(v section, f field) secret.Text {
	value := v.get(f)
	if strings.HasPrefix(value, "$1$") || strings.HasPrefix(value, "$7$") {
		s.Sealed = append(s.Sealed, v.values[f].key)
		return secret.Text{}
	}

	return secret.New(value)
}

// tenant finds sign-in service and tenant: in the token address, else in that of the
// authorization page. Where both stand in one place they must agree.
func (s section) tenant() (login, tenant string, err error) {
	for _, f := range []field{fieldToken, fieldAuth} {
		address := s.get(f)
		if address == "" {
			continue
		}

		l, t, err := tenantOf(address)
		switch {
		case err != nil && tenant != "", tenant != "" && forAnyTenant(t):
			continue
		case err != nil:
			return "", "", err
		case tenant != "" && tenant != t:
			return "", "", fmt.Errorf(
				"line %d names another tenant than line %d: it is not clear whose token this is",
				s.values[fieldAuth].line,
				s.values[fieldToken].line,
			)
		case tenant == "":
			login, tenant = l, t
		}
	}

	return login, tenant, nil
}

// forAnyTenant reports whether the name stands for a tenant that is chosen at sign-in.
func forAnyTenant(tenant string) bool {
	return tenant == "common" || tenant == "organizations" || tenant == "consumers"
}

// tenantOf takes sign-in service and tenant out of
// https://login.microsoftonline.com/<tenant>/oauth2/token.
func tenantOf(address string) (login, tenant string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", "", errors.New("its token_url is not an address such as " +
			"https://login.microsoftonline.com/<tenant>/oauth2/token")
	}

	tenant, _, _ = strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if tenant == "" {
		return "", "", errors.New("its token_url names no tenant: it must be such as " +
			"https://login.microsoftonline.com/<tenant>/oauth2/token")
	}

	return strings.ToLower(u.Scheme + "://" + u.Host), strings.ToLower(tenant), nil
}

// resource finds the resource: by its own key, in Splunk's list of refresh parameters, in
// the query of the authorization address, or of the token address.
func (s section) resource() string {
	if r := s.get(fieldResource); r != "" {
		return r
	}

	for _, pair := range strings.Split(s.get(fieldProps), ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(key, "resource") {
			return strings.TrimSpace(value)
		}
	}

	for _, f := range []field{fieldAuth, fieldToken} {
		if u, err := url.Parse(s.get(f)); err == nil && u.Query().Get("resource") != "" {
			return u.Query().Get("resource")
		}
	}

	return ""
}

// eventsOf takes host and region out of
// https://wdatp-alertexporter-eu.windows.com/api/alerts.
func eventsOf(address string) (base, region string) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", ""
	}

	if _, after, ok := strings.Cut(strings.ToLower(u.Hostname()), "wdatp-alertexporter-"); ok {
		region, _, _ = strings.Cut(after, ".")
	}

	return strings.ToLower(u.Scheme + "://" + u.Host), region
}

// String names what was found, without any secret.
func (s Settings) String() string {
	return fmt.Sprintf("client %s in tenant %s at %s, resource %s", s.ClientID, s.TenantID, s.LoginURL, s.Resource)
}
