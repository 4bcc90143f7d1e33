package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/secret"
)

func TestAShortSectionHasTheDocumentedDefaults(t *testing.T) {
	in := must(t, good(), env())

	target, err := cloud.Lookup(cloud.Commercial, alert.Graph, "")
	if err != nil {
		t.Fatal(err)
	}

	want := Tenant{
		TenantID:      contoso,
		TenantName:    contoso,
		ClientID:      app,
		Grant:         grant.Auto,
		API:           alert.Graph,
		Cloud:         cloud.Commercial,
		LoginURL:      "https://login.microsoftonline.com",
		APIURL:        "https://graph.microsoft.com",
		Resource:      "https://graph.microsoft.com",
		Endpoint:      target,
		PollInterval:  time.Minute,
		Lookback:      24 * time.Hour,
		Overlap:       10 * time.Minute,
		SweepInterval: time.Hour,
		SweepLookback: 24 * time.Hour,
		PageSize:      1000,
		Updates:       true,
		Format:        record.FormatJSON,
		TimeField:     "updated",
		CEFMaxBytes:   8192,
		HTTPTimeout:   time.Minute,
		ClientSecret:  secret.New(hidden),
		DataDir:       "/var/lib/defender",
		GraphURL:      "https://graph.microsoft.com",
		PartnerURL:    "https://api.partnercenter.microsoft.com",
	}
	have, wanted := reflect.ValueOf(in.Tenants[0]), reflect.ValueOf(want)
	for i := range have.NumField() {
		if !reflect.DeepEqual(have.Field(i).Interface(), wanted.Field(i).Interface()) {
			t.Errorf("%s is %v, want %v", have.Type().Field(i).Name, have.Field(i), wanted.Field(i))
		}
	}

	if !in.Tenants[0].Equal(want) {
		t.Error("the tenant is another one")
	}

	if in.DataDir != "/var/lib/defender" || in.KeyFile != "" || in.Store != (Store{}) || in.MaxConcurrency != 0 ||
		in.BufferLimit != 32_000_000 ||
		in.HealthInterval != 0 ||
		in.MetricsListen != "" ||
		in.AllowThreaded ||
		in.TenantsFile != "" {
		t.Errorf("got %+v", in)
	}

	if s := fmt.Sprintf("%v %+v %#v", in, in, *in); strings.Contains(s, hidden) {
		t.Error("a printed input shows a secret")
	}
}

// fields are what an input or a tenant has, by the path of a field or method.
type fields map[string]any

// check compares the fields with those of from, a pointer to an input or a tenant.
func (f fields) check(t *testing.T, from any) {
	t.Helper()

	for path, want := range f {
		at := reflect.ValueOf(from)

		for name := range strings.SplitSeq(path, ".") {
			if method, ok := strings.CutSuffix(name, "()"); ok {
				at = at.MethodByName(method).Call(nil)[0]
			} else {
				at = reflect.Indirect(at).FieldByName(name)
			}
		}

		if got := at.Interface(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

type userInput struct {
	section Map
	want    fields // of the tenant, or of the input after "in."
}

// userInputs are sections that a user may write. The files in them are those of dir.
func userInputs(dir string) map[string]userInput {
	return map[string]userInput{
		"tenant in any case": {
			good("tenant_id", strings.ToUpper("Contoso.onmicrosoft.com")),
			fields{"TenantID": "contoso.onmicrosoft.com"},
		},
		"enums in any case": {
			good("api", "Incidents", "cloud", "DoD", "format", "CEF", "time_field", "NOW"),
			fields{"API": alert.Incidents, "Cloud": cloud.DoD, "Format": record.FormatCEF, "TimeField": "now"},
		},
		"white space around":      {good("page_size", " 10 "), fields{"PageSize": 10}},
		"variable left as it was": {good("page_size", "${PAGE}"), fields{"PageSize": 1000}},
		"days":                    {good("lookback", "7d"), fields{"Lookback": 168 * time.Hour}},
		"bare seconds":            {good("poll_interval", "90"), fields{"PollInterval": 90 * time.Second}},
		"sweeps off":              {good("sweep_interval", "0"), fields{"SweepInterval": time.Duration(0)}},
		"updates off":             {good("updates", "Off"), fields{"Updates": false}},
		"sizes": {
			good("buffer_limit", "1.5MB", "cef_max_bytes", "4k"),
			fields{"in.BufferLimit": 1_500_000, "CEFMaxBytes": 4000},
		},
		"public client": {
			good("client_secret", "", "grant", "refresh_token"),
			fields{"Grant": grant.RefreshToken, "ClientSecret.IsZero()": true},
		},
		"certificate of a chain": {
			good("client_secret", "", "client_certificate_file", dir+"/chain.pem"),
			fields{"ClientCertificateFile": dir + "/chain.pem"},
		},
		"certificate": {
			good("client_secret", "", "client_certificate_file", dir+"/both.pem"),
			fields{"ClientCertificateFile": dir + "/both.pem"},
		},
		"secret and token files": {
			good("client_secret", "", "client_secret_file", dir+"/secret", "refresh_token_file", dir+"/token"),
			fields{"RefreshTokenFile": dir + "/token"},
		},
		"loopback": {
			good("login_url", "http://LocalHost:8080/", "api_url", "http://127.1.2.3:80",
				"resource", "http://[::1]:99"),
			fields{
				"LoginURL":    "http://localhost:8080",
				"APIURL":      "http://127.1.2.3",
				"Resource":    "http://[::1]:99",
				"LoginHost()": "localhost:8080",
			},
		},
		"own port of the scheme": {
			good("login_url", "https://Login.Example:443"),
			fields{
				"LoginHost()":       "login.example",
				"LoginURL":          "https://login.example",
				"Endpoint.LoginURL": "https://login.example",
			},
		},
		"siem, own address": {
			good("api", "siem", "api_url", "https://siem.example"),
			fields{
				"APIURL":        "https://siem.example",
				"Resource":      "https://graph.windows.net",
				"Endpoint.V1":   true,
				"Endpoint.Path": "/api/alerts",
			},
		},
		"siem, address and region": {
			good("api", "siem", "api_url", "https://siem.example", "region", "uk"),
			fields{"APIURL": "https://siem.example", "Region": "uk"},
		},
		"siem filter": {
			good("api", "siem", "region", "us", "filter", "machinegroups=A%20B&machinegroups=C"),
			fields{"Filter": "machinegroups=A%20B&machinegroups=C"},
		},
		"filter with a quote": {
			good("filter", "title eq 'it''s (not) closed' or (severity eq 'high')"),
			fields{"Filter": "title eq 'it''s (not) closed' or (severity eq 'high')"},
		},
		"geo host": {
			good("api", "endpoint", "region", "swa"),
			fields{"APIURL": "https://swa.api.security.microsoft.com", "PageSize": 10000},
		},
		"proxy without scheme": {
			good("proxy", "proxy.example:3128"),
			fields{"Proxy.Reveal()": "http://proxy.example:3128"},
		},
		"input-wide keys": {
			good("data_dir", "/srv/d", "key_file", dir+"/key32", "max_concurrency", "3", "health_interval", "5m",
				"metrics_listen", ":9180", "metrics_token_file", dir+"/secret",
				"metrics_hosts", "A.example., b, c.example", "allow_threaded", "yes"),
			fields{
				"in.DataDir":          "/srv/d",
				"in.KeyFile":          dir + "/key32",
				"in.MaxConcurrency":   3,
				"in.HealthInterval":   5 * time.Minute,
				"in.MetricsListen":    ":9180",
				"in.MetricsTokenFile": dir + "/secret",
				"in.MetricsHosts":     []string{"a.example", "b", "c.example"},
				"in.AllowThreaded":    true,
			},
		},
		"a home tenant, in any case": {
			good("home_tenant_id", strings.ToUpper(home), "refresh_token", "0.A", "client_secret", ""),
			fields{"HomeTenantID": home, "Grant": grant.RefreshToken, "RefreshToken.Reveal()": "0.A"},
		},
		"a home tenant for siem": {
			good("home_tenant_id", home, "api", "siem", "region", "eu"),
			fields{"HomeTenantID": home, "Endpoint.V1": true},
		},
		"no home tenant": {
			good("home_tenant_id", "None"),
			fields{"HomeTenantID": "", "Grant": grant.Auto},
		},
		"the home tenant itself": {
			good("tenant_id", home, "home_tenant_id", home),
			fields{"HomeTenantID": home, "TenantID": home},
		},
		"hosts of the provider's side": {
			good("cloud", "gcchigh", "partner_url", "http://localhost:81"),
			fields{
				"in.GraphURL": "",
				"GraphURL":    "https://graph.microsoft.us",
				"PartnerURL":  "http://localhost:81",
			},
		},
		"ca_file": {good("ca_file", dir+"/cert.pem"), fields{"CAFile": dir + "/cert.pem"}},
	}
}

func TestWhatAUserMayWrite(t *testing.T) {
	for name, c := range userInputs(workshop(t)) {
		t.Run(name, func(t *testing.T) {
			in := must(t, c.section, env())

			for path, want := range c.want {
				if name, ok := strings.CutPrefix(path, "in."); ok {
					fields{name: want}.check(t, in)
				} else {
					fields{path: want}.check(t, &in.Tenants[0])
				}
			}
		})
	}
}

func TestNothingAskedTwiceOfTheHost(t *testing.T) {
	// Fluent Bit's strings end with the instance: an Input must not go back to them.
	g := &counting{Map: good("client_secret", hidden)}
	must(t, g, env())

	for key, n := range g.asked {
		if n > 1 {
			t.Errorf("%s was asked for %d times", key, n)
		}
	}

	if len(g.asked) != len(Options()) {
		t.Errorf("%d keys asked for, %d exist", len(g.asked), len(Options()))
	}
}

type counting struct {
	Map
	asked map[string]int
}

func (c *counting) Get(key string) string {
	if c.asked == nil {
		c.asked = map[string]int{}
	}

	c.asked[key]++

	return c.Map.Get(key)
}

func TestEqualSeesEveryField(t *testing.T) {
	a := must(t, good(), env()).Tenants[0]

	b := must(t, good(), env()).Tenants[0]
	if !a.Equal(b) {
		t.Fatal("two tenants of the same section differ")
	}

	v := reflect.ValueOf(&b).Elem()
	for i := range v.NumField() {
		b = a

		switch f := v.Field(i); f.Interface().(type) {
		case string, alert.API, alert.ClientID, alert.TenantID, alert.TimeField, cloud.Cloud, grant.Grant:
			f.SetString(f.String() + "x")
		case time.Duration, int:
			f.SetInt(f.Int() + 1)
		case record.Format:
			f.SetUint(f.Uint() + 1)
		case bool:
			f.SetBool(!f.Bool())
		case secret.Text:
			f.Set(reflect.ValueOf(secret.New("other")))
		case time.Time:
			f.Set(reflect.ValueOf(time.Unix(1, 0).UTC()))
		case cloud.Target:
			f.Set(reflect.ValueOf(cloud.Target{}))
		default:
			t.Fatalf("%s: a new kind of field", v.Type().Field(i).Name)
		}

		if a.Equal(b) {
			t.Errorf("a change of %s goes unseen", v.Type().Field(i).Name)
		}
	}

	want := alert.UnitKey{LoginHost: "login.microsoftonline.com", TenantID: contoso, API: alert.Graph}
	if got := a.Unit(); got != want {
		t.Errorf("unit %+v, want %+v", got, want)
	}
}

func FuzzSection(f *testing.F) {
	dir := f.TempDir()
	for _, s := range []string{
		"", "x", "-1", "https://a@b", "${X}", "a\nb", "\"q\"", "siem", "1h", "\x1b[2J", "machinegroups=%zz",
	} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, text string) {
		for _, o := range Options() {
			if o.Kind == KindFile {
				if text == "" || strings.ContainsAny(text, "/.") {
					continue // no files of the machine
				}

				section := good(o.Name, dir+"/none/"+text)
				if _, _, err := FromPlugin(section, env()); err == nil && o.Name != "data_dir" {
					t.Errorf("%s: a missing file was accepted", o.Name)
				}

				continue
			}

			in, _, err := FromPlugin(good(o.Name, text), env())
			if (in == nil) == (err == nil) {
				t.Fatalf("%s: input %v, error %v", o.Name, in, err)
			}

			for _, fault := range Faults(err) {
				if fault.Key == "" || strings.ContainsFunc(fault.Error(), func(r rune) bool { return r < ' ' }) {
					t.Errorf("%s: fault %q", o.Name, fault.Error())
				}
			}
		}
	})
}
