// Package connector reads the files by which other SIEM connectors were configured for Microsoft's alert exporter: ArcSight's
// WDATP-connector.properties and Splunk's authentication properties.
//
// The ArcSight file is described at https://learn.microsoft.com/defender-endpoint/configure-arcsight; the keys of Splunk's REST input are
// those of its stanza. The contents of the file that the portal offers to MSSPs are not public: any mix of the known names is read.
//
// # Caveats
//
// Nothing is asked over the network, and nothing is checked but form: package config does that.
package connector

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/magiconair/properties"

	"fluent-bit-defender/internal/secret"
)

// MaxBytes bounds a file; real ones have a kilobyte.
const MaxBytes = 1 << 20

// Settings is what such a file says; what it leaves blank is empty.
type Settings struct {
	// TenantID is from the first segment of the token URL's path; LoginURL its scheme and host.
	TenantID, LoginURL string
	ClientID           string
	ClientSecret       secret.Text
	RefreshToken       secret.Text
	// Resource is what tokens are asked for.
	Resource string
	// EventsURL is scheme and host of the API, Region the part of it that names one; both are known from Splunk's files only.
	EventsURL, Region string
}

// ErrNothing is wrapped when a file has none of the keys that are looked for.
var ErrNothing = errors.New("has no token_url, client_id or refresh token of a connector")

// names are the keys of both kinds of file, in lower case, and where they go. Of several that stand in a file the first in this order
// counts.
var names = []struct {
	field string
	keys  []string
}{
	{"client", []string{"client_id", "oauth2_client_id", "clientid", "oauth 2 client id", "client id"}},
	{"secret", []string{"client_secret", "oauth2_client_secret", "clientsecret", "oauth 2 client secret", "client secret"}},
	{"refresh", []string{"refresh_token", "oauth2_refresh_token", "oauth 2 refresh token", "refresh token"}},
	{"token", []string{"token_url", "oauth2_refresh_url", "oauth2_token_url", "oauth 2 token refresh url", "token refresh url"}},
	{"auth", []string{"auth_url", "oauth2_auth_url"}},
	{"props", []string{"oauth2_refresh_props"}},
	{"resource", []string{"resource"}},
	{"events", []string{"endpoint", "events_url", "endpoint_url", "url"}},
}

// Parse reads a file: Java properties (https://docs.oracle.com/javase/8/docs/api/java/util/Properties.html), with section headers of
// an INI file passed over. Keys match in any case; ones it does not know are ignored. Its errors hold no values.
func Parse(data []byte) (Settings, error) {
	if len(data) > MaxBytes {
		return Settings{}, errors.New("is too large to be a connector's configuration")
	}
	values, err := load(data)
	if err != nil {
		return Settings{}, err
	}
	v := map[string]string{}
	for _, n := range names {
		for _, k := range n.keys {
			if v[n.field] == "" {
				v[n.field] = values[k]
			}
		}
	}
	if v["client"] == "" && v["token"] == "" && v["auth"] == "" && v["refresh"] == "" {
		return Settings{}, ErrNothing
	}
	s := Settings{ClientID: v["client"], ClientSecret: secret.New(v["secret"]), RefreshToken: secret.New(v["refresh"])}
	for _, address := range []string{v["token"], v["auth"]} {
		if address == "" || s.TenantID != "" {
			continue
		}
		if s.LoginURL, s.TenantID, err = tenantOf(address); err != nil {
			return Settings{}, err
		}
	}
	s.Resource = resourceOf(v)
	s.EventsURL, s.Region = eventsOf(v["events"])
	return s, nil
}

// load reads keys in lower case and trimmed values.
func load(data []byte) (map[string]string, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	var lines []string
	for line := range strings.Lines(text) {
		if t := strings.TrimSpace(line); strings.HasPrefix(t, "[") && strings.HasSuffix(t, "]") && !strings.ContainsAny(t, "=:") || strings.HasPrefix(t, "[") && strings.Contains(t, "://") {
			continue // a stanza of Splunk's inputs.conf
		}
		lines = append(lines, spacedKey(line))
	}
	l := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	p, err := l.LoadBytes([]byte(strings.Join(lines, "")))
	if err != nil {
		return nil, errors.New("is not a properties file") // the library's error quotes the line, which may hold a secret
	}
	values := map[string]string{}
	for _, k := range p.Keys() {
		value, _ := p.Get(k)
		if k = strings.ToLower(strings.TrimSpace(k)); values[k] == "" {
			values[k] = strings.TrimSpace(value)
		}
	}
	return values, nil
}

// spacedKey escapes the blanks in a key such as "OAuth 2 Client ID: …", which Java would end there. Such names are what the portal shows.
func spacedKey(line string) string {
	lower := strings.ToLower(strings.TrimSpace(line))
	for _, n := range names {
		for _, k := range n.keys {
			rest, ok := strings.CutPrefix(lower, k)
			if rest = strings.TrimSpace(rest); !ok || !strings.Contains(k, " ") || !strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, ":") {
				continue
			}
			trimmed := strings.TrimLeft(line, " \t")
			return strings.ReplaceAll(trimmed[:len(k)], " ", `\ `) + trimmed[len(k):]
		}
	}
	return line
}

// tenantOf takes sign-in service and tenant out of https://login.microsoftonline.com/<tenant>/oauth2/token.
func tenantOf(address string) (login, tenant string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", "", errors.New("its token_url is not an address such as https://login.microsoftonline.com/<tenant>/oauth2/token")
	}
	tenant, _, _ = strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if tenant == "" {
		return "", "", errors.New("its token_url names no tenant: it must be such as https://login.microsoftonline.com/<tenant>/oauth2/token")
	}
	return strings.ToLower(u.Scheme + "://" + u.Host), strings.ToLower(tenant), nil
}

// resourceOf finds the resource: by its own key, in Splunk's list of refresh parameters, in the query of the authorization address, or
// of the token address.
func resourceOf(v map[string]string) string {
	if v["resource"] != "" {
		return v["resource"]
	}
	for _, pair := range strings.Split(v["props"], ",") {
		if key, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(key, "resource") {
			return strings.TrimSpace(value)
		}
	}
	for _, address := range []string{v["auth"], v["token"]} {
		if u, err := url.Parse(address); err == nil && u.Query().Get("resource") != "" {
			return u.Query().Get("resource")
		}
	}
	return ""
}

// eventsOf takes host and region out of https://wdatp-alertexporter-eu.windows.com/api/alerts.
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
