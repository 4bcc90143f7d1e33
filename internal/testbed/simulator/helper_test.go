package simulator_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/clock"
	"fluent-bit-defender/internal/testbed/simulator"
)

const (
	contoso  = "11111111-0000-4000-8000-000000000001"
	fabrikam = "11111111-0000-4000-8000-000000000002"
	client   = "22222222-0000-4000-8000-000000000001"
	public   = "22222222-0000-4000-8000-000000000002"
	secret   = "s3cret~with+odd/chars=%"
	seedRT   = "0.seed-token"
)

func newClock() *clock.Manual { return clock.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) }

type fixture struct {
	*simulator.Simulator
	t     *testing.T
	clock *clock.Manual
}

// start makes a simulator with two tenants, contoso with all permissions and fabrikam
// beside it.
func start(t *testing.T, change ...func(*simulator.Config)) fixture {
	t.Helper()

	c := newClock()
	app := simulator.App{
		ClientID:      client,
		Secret:        secret,
		RefreshTokens: []string{seedRT},
		RedirectURIs:  []string{"http://localhost/cb", "https://mssp.example/SiemMsspConnector", "http://127.0.0.1"},
	}
	other := app
	other.RefreshTokens = []string{seedRT + "-2"}

	cfg := simulator.Config{
		Clock: c.Now, Seed: 1,
		Tenants: []simulator.Tenant{
			{
				ID:             contoso,
				Domain:         "contoso.example",
				MSSPAuthorised: true,
				Apps: []simulator.App{
					app,
					{
						ClientID:      public,
						Public:        true,
						RefreshTokens: []string{seedRT + "-p"},
						RedirectURIs:  []string{"http://localhost"},
					},
				},
			},
			{ID: fabrikam, Domain: "fabrikam.example", Apps: []simulator.App{other}},
		},
	}
	for _, f := range change {
		f(&cfg)
	}

	s, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}

	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})

	return fixture{s, t, c}
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()

	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("status %d: %v in %.300q", a.status, err, a.body)
	}

	return m
}

// code is the first AADSTS code of an error answer.
func (a answer) code(t *testing.T) int {
	t.Helper()

	codes, _ := a.json(t)["error_codes"].([]any)
	if len(codes) == 0 {
		t.Fatalf("status %d without error_codes: %.300s", a.status, a.body)
	}

	return int(codes[0].(float64))
}

var plain = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
}

func do(t *testing.T, method, address, body string, headers ...string) answer {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}

	res, err := plain.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()

	b, err := io.ReadAll(res.Body)

	return answer{res.StatusCode, res.Header, string(b), err}
}

// form makes values of pairs.
func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}

	return v
}

// token posts to the token endpoint; path is such as contoso + "/oauth2/token".
func (f fixture) token(path string, v url.Values, headers ...string) answer {
	f.t.Helper()

	return do(f.t, "POST", f.LoginURL()+"/"+path, v.Encode(),
		append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

// access gets an access token for an API with client credentials.
func (f fixture) access(api, tenant string) string {
	f.t.Helper()

	path, v := tenant+"/oauth2/v2.0/token", form(
		"grant_type", "client_credentials",
		"client_id", client,
		"client_secret", secret,
		"scope", simulator.ResourceOf(api)+"/.default",
	)
	if api == simulator.SIEM {
		path, v = tenant+"/oauth2/token", form(
			"grant_type", "client_credentials",
			"client_id", client,
			"client_secret", secret,
			"resource", simulator.ResourceOf(api),
		)
	}

	a := f.token(path, v)
	if a.status != 200 {
		f.t.Fatalf("token for %s: %d %s", api, a.status, a.body)
	}

	return a.json(f.t)["access_token"].(string)
}

// get asks an API with a fresh token.
func (f fixture) get(api, tenant, pathQuery string, headers ...string) answer {
	f.t.Helper()

	return do(f.t, "GET", f.APIURL(api)+pathQuery, "",
		append([]string{"Authorization", "Bearer " + f.access(api, tenant)}, headers...)...)
}

func texts(list []any, key string) []string {
	var out []string
	for _, item := range list {
		out = append(out, fmt.Sprint(item.(map[string]any)[key]))
	}

	return out
}

// token is the access token of an answer, or nothing.
func (a answer) token() string {
	var m struct {
		Token string `json:"access_token"`
	}

	_ = json.Unmarshal([]byte(a.body), &m)

	return m.Token
}
