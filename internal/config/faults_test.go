package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fluent-bit-defender/internal/test/golden"
)

// brokenSections are sections with what is wrong in them; DIR stands for the workshop.
func brokenSections() map[string]Map {
	long := strings.Repeat("x", 10000)

	return map[string]Map{
		"nothing at all":                 {},
		"no client_id":                   good("client_id", ""),
		"no tenant_id":                   good("tenant_id", ""),
		"tenant_id common":               good("tenant_id", "Common"),
		"tenant_id organizations":        good("tenant_id", "organizations"),
		"tenant_id consumers":            good("tenant_id", "consumers"),
		"tenant_id of personal accounts": good("tenant_id", personalAccounts),
		"tenant_id one label":            good("tenant_id", "contoso"),
		"tenant_id in braces":            good("tenant_id", "{"+contoso+"}"),
		"tenant_id an address":           good("tenant_id", "https://login.microsoftonline.com/"+contoso),
		"tenant_id an IP address":        good("tenant_id", "10.0.0.1"),
		"tenant_id beyond ASCII":         good("tenant_id", "bücher.example"),
		"tenant_id quoted":               good("tenant_id", `"`+contoso+`"`),
		"tenant_id with a line break":    good("tenant_id", "a.example\nb.example"),
		"tenant_id endless":              good("tenant_id", long),
		"client_id and secret swapped": good(
			"client_id", hidden+" ",
			"client_secret", app,
			"state_id", "a\nb",
		),
		"client_id with a secret inside":        good("client_id", hidden+"&="),
		"client_id a path":                      good("client_id", "api://"+app),
		"no credential":                         good("client_secret", ""),
		"no credential, refresh token and auto": good("client_secret", "", "refresh_token", "0.A"),
		"no credential for client_credentials":  good("client_secret", "", "grant", "client_credentials"),
		"two credentials":                       good("client_secret_file", "DIR/secret"),
		"three credentials": good(
			"client_secret_file", "DIR/secret",
			"client_certificate_file", "DIR/both.pem",
		),
		"client_secret_expires no date":          good("client_secret_expires", "31.01.2027"),
		"client_secret_expires no such day":      good("client_secret_expires", "2027-02-30"),
		"two refresh tokens":                     good("refresh_token", "0.A", "refresh_token_file", "DIR/token"),
		"refresh token for client_credentials":   good("refresh_token", "0.A", "grant", "client_credentials"),
		"home_tenant_id a domain":                good("home_tenant_id", "provider.example"),
		"home_tenant_id with client_credentials": good("home_tenant_id", home, "grant", "client_credentials"),
		"graph_url with a path":                  good("graph_url", "https://graph.microsoft.com/v1.0"),
		"partner_url http beyond loopback":       good("partner_url", "http://api.partnercenter.microsoft.com"),
		"unknown grant":                          good("grant", "refresh-token"),
		"secret with a line break":               good("client_secret", hidden+"\n"+hidden),
		"secret file missing":                    good("client_secret", "", "client_secret_file", "DIR/none"),
		"secret file empty":                      good("client_secret", "", "client_secret_file", "DIR/empty"),
		"secret file of two lines":               good("client_secret", "", "client_secret_file", "DIR/lines"),
		"secret file binary":                     good("client_secret", "", "client_secret_file", "DIR/binary"),
		"secret file latin-1":                    good("client_secret", "", "client_secret_file", "DIR/latin1"),
		"secret file too large":                  good("client_secret", "", "client_secret_file", "DIR/big"),
		"secret file a directory":                good("client_secret", "", "client_secret_file", "DIR"),
		"secret file a device":                   good("client_secret", "", "client_secret_file", "/dev/zero"),
		"refresh token file missing":             good("refresh_token_file", "DIR/none"),
		"refresh token beyond ASCII":             good("refresh_token", "0.A–"+hidden),
		"refresh token file beyond ASCII":        good("refresh_token_file", "DIR/typographic"),
		"refresh token file endless":             good("refresh_token_file", "DIR/endless"),
		"secret file in half of UTF-16":          good("client_secret", "", "client_secret_file", "DIR/half16"),
		"key_file binary":                        good("key_file", "DIR/binary"),
		"certificate without key":                good("client_secret", "", "client_certificate_file", "DIR/cert.pem"),
		"key without certificate":                good("client_secret", "", "client_certificate_file", "DIR/key.pem"),
		"certificate of another key":             good("client_secret", "", "client_certificate_file", "DIR/mixed.pem"),
		"certificate with encrypted key": good(
			"client_secret", "",
			"client_certificate_file", "DIR/encrypted.pem",
		),
		"certificate that is not RSA":   good("client_secret", "", "client_certificate_file", "DIR/curve.pem"),
		"certificate file no PEM":       good("client_secret", "", "client_certificate_file", "DIR/secret"),
		"unknown api":                   good("api", "grpah"),
		"unknown cloud":                 good("cloud", "gcc-high"),
		"siem without region":           good("api", "siem"),
		"siem in a region of endpoint":  good("api", "siem", "region", "au"),
		"siem in a European government": good("api", "siem", "region", "eu", "cloud", "gcc"),
		"region with graph":             good("region", "eu"),
		"region with graph-incidents":   good("region", "eu", "api", "graph-incidents"),
		"unknown region":                good("region", "emea", "api", "siem"),
		"region of endpoint in gcc":     good("region", "us", "api", "endpoint", "cloud", "gcc"),
		"api_url with a path":           good("api_url", "https://graph.microsoft.com/v1.0"),
		"api_url with a query":          good("api_url", "https://graph.microsoft.com?x=1"),
		"api_url with a fragment":       good("api_url", "https://graph.microsoft.com/#x"),
		"api_url with a password":       good("api_url", "https://me:"+hidden+"@graph.microsoft.com"),
		"api_url without scheme":        good("api_url", "graph.microsoft.com"),
		"api_url ftp":                   good("api_url", "ftp://graph.microsoft.com"),
		"api_url http beyond loopback":  good("api_url", "http://graph.microsoft.com"),
		"api_url http like loopback":    good("api_url", "http://127.0.0.1.example:80"),
		"api_url without host":          good("api_url", "https://"),
		"api_url with a blank":          good("api_url", "https://graph .microsoft.com"),
		"api_url with port 0":           good("api_url", "https://graph.microsoft.com:0"),
		"api_url with port 65536":       good("api_url", "https://graph.microsoft.com:65536"),
		"login_url with a path":         good("login_url", "https://login.microsoftonline.com/common"),
		"resource with a path": good(
			"resource", "https://securitycenter.onmicrosoft.com/windowsatpservice",
		),
		"filter closes too much":              good("filter", "severity eq 'high') or (1 eq 1"),
		"filter left open":                    good("filter", "(severity eq 'high'"),
		"filter with an open string":          good("filter", "severity eq 'high"),
		"filter in double quotation marks":    good("filter", `severity eq "high"`),
		"filter with its name":                good("filter", "$filter=severity eq 'high'"),
		"siem filter in OData":                good("api", "siem", "region", "eu", "filter", "severity eq 'high'"),
		"siem filter on the window":           good("api", "siem", "region", "eu", "filter", "machinegroups=A&limit=5"),
		"siem filter misspelt":                good("api", "siem", "region", "eu", "filter", "machinegroup=A"),
		"siem filter without value":           good("api", "siem", "region", "eu", "filter", "machinegroups="),
		"poll_interval no duration":           good("poll_interval", "often"),
		"poll_interval too short":             good("poll_interval", "10ms"),
		"poll_interval 0":                     good("poll_interval", "0"),
		"poll_interval negative":              good("poll_interval", "-5s"),
		"poll_interval overflows":             good("poll_interval", "99999999999999999999h"),
		"lookback absurd":                     good("lookback", "40000d"),
		"overlap unknown unit":                good("overlap", "10 minutes"),
		"sweep_lookback negative":             good("sweep_lookback", "-1"),
		"page_size with siem":                 good("api", "siem", "region", "eu", "page_size", "100"),
		"page_size above graph's":             good("page_size", "1001"),
		"page_size above incidents'":          good("page_size", "101", "api", "incidents"),
		"page_size above endpoint's":          good("page_size", "10001", "api", "endpoint"),
		"page_size 0":                         good("page_size", "0"),
		"page_size a fraction":                good("page_size", "1.5"),
		"page_size overflows":                 good("page_size", "99999999999999999999"),
		"updates maybe":                       good("updates", "maybe"),
		"unknown format":                      good("format", "cef+json"),
		"cef_max_bytes too small":             good("cef_max_bytes", "10"),
		"unknown time_field":                  good("time_field", "create"),
		"state_id with a line break":          good("state_id", "a\nb"),
		"max_concurrency 0":                   good("max_concurrency", "0"),
		"max_concurrency above 1024":          good("max_concurrency", "5000"),
		"buffer_limit no size":                good("buffer_limit", "32MiB"),
		"buffer_limit negative":               good("buffer_limit", "-1M"),
		"buffer_limit 0":                      good("buffer_limit", "0"),
		"buffer_limit overflows":              good("buffer_limit", "99999999999999G"),
		"health_interval no duration":         good("health_interval", "yes"),
		"metrics_listen without port":         good("metrics_listen", "127.0.0.1"),
		"metrics_listen an address":           good("metrics_listen", "http://127.0.0.1:9180"),
		"metrics_listen port 70000":           good("metrics_listen", "127.0.0.1:70000"),
		"metrics_token_file without listener": good("metrics_token_file", "DIR/secret"),
		"metrics_hosts without listener":      good("metrics_hosts", "a.example"),
		"metrics_hosts an address":            good("metrics_listen", ":1", "metrics_hosts", "http://a.example"),
		"metrics_token_file of two lines":     good("metrics_listen", ":1", "metrics_token_file", "DIR/lines"),
		"metrics_token_file missing":          good("metrics_listen", ":1", "metrics_token_file", "DIR/none"),
		"proxy with a password and a path":    good("proxy", "http://me:"+hidden+"@proxy.example:8080/x"),
		"proxy of another kind":               good("proxy", "ssh://me:"+hidden+"@proxy.example"),
		"ca_file missing":                     good("ca_file", "DIR/none"),
		"ca_file without certificate":         good("ca_file", "DIR/secret"),
		"http_timeout 0":                      good("http_timeout", "0"),
		"key_file of 16 bytes":                good("key_file", "DIR/key16"),
		"key_file missing":                    good("key_file", "DIR/none"),
		"store of another kind":               good("store", "mysql://me:"+hidden+"@db.example/defender"),
		"store without a scheme":              good("store", "me:"+hidden+"@db.example/defender"),
		"store without anything behind it":    good("store", "postgres://", "key_file", "DIR/key32"),
		"store misspelt":                      good("store", "sqllite"),
		"store without key_file":              good("store", "postgres://me:"+hidden+"@db.example/defender"),
		"store in quotation marks":            good("store", `"postgres://me:`+hidden+`@db.example/defender"`),
		"node_id with a blank":                postgresql("node_id", "collector 1"),
		"node_id with a line break":           postgresql("node_id", "a\nb"),
		"lease_ttl too short":                 postgresql("lease_ttl", "4s"),
		"lease_ttl too long":                  postgresql("lease_ttl", "1h"),
		"takeover_replay no duration":         postgresql("takeover_replay", "a while"),
		"allow_threaded 2":                    good("allow_threaded", "2"),
		"tenants_file and tenant_id":          good("tenants_file", "DIR/none"),
		"many at once": {
			"tenant_id":     "common",
			"client_secret": hidden,
			"api":           "siem",
			"poll_interval": "x",
			"page_size":     "5",
			"updates":       "x",
			"login_url":     "http://example.com",
			"buffer_limit":  "x",
			"format":        "xml",
		},
	}
}

// postgresql is a section with a store that several machines share.
func postgresql(more ...string) Map {
	return good(append([]string{
		"store", "postgres://me:" + hidden + "@db.example/defender", "key_file", "DIR/key32",
	}, more...)...)
}

func TestGoldenFaultsNameKeyTenantAndRemedy(t *testing.T) {
	dir := workshop(t)
	sections := brokenSections()

	names := make([]string, 0, len(sections))
	for name := range sections {
		names = append(names, name)
	}

	slices.Sort(names)

	var out strings.Builder

	for _, name := range names {
		section := Map{}
		for k, v := range sections[name] {
			section[k] = strings.ReplaceAll(v, "DIR", dir)
		}

		in, _, err := FromPlugin(section, env())
		if err == nil || in != nil {
			t.Errorf("%s: accepted", name)
			continue
		}

		fmt.Fprintf(&out, "## %s\n%s\n\n", name, strings.ReplaceAll(err.Error(), dir, "DIR"))

		faults := Faults(err)
		if len(faults) != len(strings.Split(err.Error(), "\n")) {
			t.Errorf("%s: %d faults in\n%v", name, len(faults), err)
		}

		for _, f := range faults {
			if f.Key == "" || f.Remedy == "" || f.Problem == "" {
				t.Errorf("%s: incomplete: %+v", name, f)
			}

			if len(f.Error()) > 1000 {
				t.Errorf("%s: endless: %s", name, f)
			}
		}
	}

	if strings.Contains(out.String(), hidden) {
		t.Error("a message shows a secret")
	}

	golden.File(t, "../../testdata/config/faults.golden", out.String())
}

func TestWarningsNameWhatIsProbablyNotMeant(t *testing.T) {
	dir := workshop(t)
	write(t, filepath.Join(dir, "open"), hidden)

	if err := chmod(filepath.Join(dir, "open"), 0o644); err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		section Map
		want    string
	}{
		"secret's ID": {
			good("client_secret", contoso),
			"client_secret (tenant " + contoso + "): this looks like the secret's ID, not its value",
		},
		"secret's ID in a file": {good("client_secret", "", "client_secret_file", dir+"/id"),
			"client_secret_file (tenant"},
		"file open to all": {good("client_secret", "", "client_secret_file", dir+"/open"), "can be read by every user"},
		"quoted secret":    {good("client_secret", `"x"`), "quotation marks"},
		"metrics for all": {
			good("metrics_listen", ":9180"),
			"metrics_listen: \":9180\" can be reached from other machines",
		},
		"metrics by an address": {
			good("metrics_listen", "192.0.2.1:9180", "metrics_hosts", "a.example"),
			"can be reached from other machines",
		},
		"node_id with sqlite":         {good("node_id", "a"), "node_id: does nothing with store sqlite"},
		"lease_ttl with sqlite":       {good("lease_ttl", "20s", "store", "SQLite"), "lease_ttl: does nothing"},
		"takeover_replay with sqlite": {good("takeover_replay", "0"), "takeover_replay: does nothing"},
		"application id no GUID": {good("client_id", "my-app"),
			"client_id (tenant " + contoso + "): is not a GUID"},
	} {
		t.Run(name, func(t *testing.T) {
			_, warnings, err := FromPlugin(c.section, env())
			if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), c.want) {
				t.Errorf("got %v, %v; want one warning with %q", warnings, err, c.want)
			}

			if s := fmt.Sprintf("%+v", warnings); strings.Contains(s, hidden) ||
				c.section["client_secret"] != "" && strings.Contains(s, c.section["client_secret"]+`"`) {
				t.Errorf("a warning shows the secret: %s", s)
			}
		})
	}

	for name, section := range map[string]Map{
		"a good section":       good(),
		"metrics on localhost": good("metrics_listen", "LOCALHOST:9180"),
		"metrics on loopback":  good("metrics_listen", "[::1]:9180"),
		"PostgreSQL":           good("store", "postgres://db/x", "key_file", dir+"/key32", "lease_ttl", "20s"),
		"metrics with a token": good("metrics_listen", "0.0.0.0:9180", "metrics_token_file", dir+"/secret"),
	} {
		if _, warnings, err := FromPlugin(section, env()); len(warnings) > 0 || err != nil {
			t.Errorf("%s: warnings %v, error %v", name, warnings, err)
		}
	}
}

func TestAnEnvironmentThatPrintsTokensIsAWarning(t *testing.T) {
	for value, warned := range map[string]bool{
		"":                             false,
		"http2debug=1":                 true,
		"madvdontneed=1, http2debug=2": true,
		"http2debug=0":                 false,
		"http2client=0":                false,
	} {
		got := EnvironmentWarnings(env("GODEBUG", value))
		if (len(got) == 1) != warned {
			t.Errorf("GODEBUG=%s: %v", value, got)
		}
	}
}
