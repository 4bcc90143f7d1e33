package simulator_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

const formType = "application/x-www-form-urlencoded"

// with returns a copy of v with pairs set; an empty value removes the key.
func with(v url.Values, pairs ...string) url.Values {
	c := url.Values{}
	for k, list := range v {
		c[k] = list
	}

	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			c.Del(pairs[i])
		} else {
			c.Set(pairs[i], pairs[i+1])
		}
	}

	return c
}

var (
	appV1 = form(
		"grant_type", "client_credentials",
		"client_id", client,
		"client_secret", secret,
		"resource", "https://graph.windows.net",
	)
	appV2 = form(
		"grant_type", "client_credentials",
		"client_id", client,
		"client_secret", secret,
		"scope", "https://graph.microsoft.com/.default",
	)
	refreshV1 = form(
		"grant_type", "refresh_token",
		"client_id", client,
		"client_secret", secret,
		"refresh_token", seedRT,
		"resource", "https://graph.windows.net",
	)
	refreshV2 = form(
		"grant_type", "refresh_token",
		"client_id", client,
		"client_secret", secret,
		"refresh_token", seedRT,
		"scope", "https://graph.microsoft.com/SecurityAlert.Read.All offline_access",
	)
)

// tokenRefusal is a request for a token, and the code that it is refused with.
type tokenRefusal struct {
	path   string
	form   url.Values
	code   int
	status int
	err    string
}

func tokenRefusals() map[string]tokenRefusal {
	v1, v2 := contoso+"/oauth2/token", contoso+"/oauth2/v2.0/token"

	return map[string]tokenRefusal{
		"a wrong secret": {v2, with(appV2, "client_secret", "wrong"), 7000215, 401, "invalid_client"},
		"a secret encoded twice": {
			v2,
			with(appV2, "client_secret", url.QueryEscape(secret)),
			7000215,
			401,
			"invalid_client",
		},
		"no secret": {v2, with(appV2, "client_secret", ""), 7000218, 401, "invalid_client"},
		"a secret of a public client": {
			v1,
			with(refreshV1, "client_id", public, "refresh_token", seedRT+"-p"),
			700025,
			401,
			"invalid_client",
		},
		"client credentials of a public client": {
			v1,
			with(appV1, "client_id", public, "client_secret", ""),
			7000218,
			401,
			"invalid_client",
		},
		"an unknown tenant": {
			"99999999-9999-4999-8999-999999999999/oauth2/token",
			appV1,
			90002,
			400,
			"invalid_request",
		},
		"an unknown domain": {"nowhere.example/oauth2/token", appV1, 90002, 400, "invalid_request"},
		"an unknown application": {
			v1,
			with(appV1, "client_id", "33333333-0000-4000-8000-000000000001"),
			700016,
			400,
			"unauthorized_client",
		},
		"client credentials at common": {"common/oauth2/v2.0/token", appV2, 9001023, 400, "invalid_request"},
		"client credentials at organizations": {
			"organizations/oauth2/v2.0/token",
			appV2,
			9001023,
			400,
			"invalid_request",
		},
		"v1 without a resource": {v1, with(appV1, "resource", ""), 900144, 400, "invalid_request"},
		"v1 with a scope in place of the resource": {
			v1,
			with(appV1, "resource", "", "scope", "https://graph.windows.net/.default"),
			900144,
			400,
			"invalid_request",
		},
		"v1 with an unknown resource": {
			v1,
			with(appV1, "resource", "https://nothing.example"),
			50001,
			400,
			"invalid_resource",
		},
		"a refresh at v1 without a resource": {
			v1,
			with(refreshV1, "resource", ""),
			900144,
			400,
			"invalid_request",
		},
		"v2 with a resource": {
			v2,
			with(appV2, "resource", "https://graph.microsoft.com"),
			901002,
			400,
			"invalid_request",
		},
		"v2 without a scope": {v2, with(appV2, "scope", ""), 900144, 400, "invalid_request"},
		"client credentials for a single permission": {
			v2,
			with(appV2, "scope", "https://graph.microsoft.com/SecurityAlert.Read.All"),
			1002012,
			400,
			"invalid_scope",
		},
		"client credentials with offline_access": {
			v2,
			with(appV2, "scope", "https://graph.microsoft.com/.default offline_access"),
			1002012,
			400,
			"invalid_scope",
		},
		"client credentials for two resources": {
			v2,
			with(appV2, "scope", "https://graph.microsoft.com/.default https://api.security.microsoft.com/.default"),
			700022,
			400,
			"invalid_scope",
		},
		"v2 with an unknown resource": {
			v2,
			with(appV2, "scope", "https://nothing.example/.default"),
			500011,
			400,
			"invalid_resource",
		},
		"a refresh with an unknown permission": {
			v2,
			with(refreshV2, "scope", "https://graph.microsoft.com/Nothing.Read"),
			70011,
			400,
			"invalid_scope",
		},
		"a refresh without a token": {
			v2,
			with(refreshV2, "refresh_token", ""),
			900144,
			400,
			"invalid_request",
		},
		"a refresh token that never was": {
			v2,
			with(refreshV2, "refresh_token", "0.nonsense"),
			9002313,
			400,
			"invalid_request",
		},
		"a refresh token of another client": {
			v1,
			with(refreshV1, "refresh_token", seedRT+"-p"),
			70000,
			400,
			"invalid_grant",
		},
		"a refresh token of another tenant": {
			fabrikam + "/oauth2/token",
			refreshV1,
			50020,
			400,
			"invalid_grant",
		},
		"an unknown grant type": {
			v1,
			with(appV1, "grant_type", "password"),
			70003,
			400,
			"unsupported_grant_type",
		},
		"the device grant in v1's name at v2": {
			v2,
			with(appV2, "grant_type", "device_code"),
			70003,
			400,
			"unsupported_grant_type",
		},
		"no grant type": {v1, with(appV1, "grant_type", ""), 900144, 400, "invalid_request"},
		"no client id":  {v1, with(appV1, "client_id", ""), 900144, 400, "invalid_request"},
		"a code that never was": {
			v1,
			with(appV1, "grant_type", "authorization_code", "code", "x", "redirect_uri", "http://localhost/cb"),
			9002313,
			400,
			"invalid_request",
		},
		"a redemption of a code without the redirect": {
			v1,
			with(appV1, "grant_type", "authorization_code", "code", "x"),
			900144,
			400,
			"invalid_request",
		},
	}
}

func TestTokenRefusals(t *testing.T) {

	f := start(t)
	for name, test := range tokenRefusals() {
		t.Run(name+" is refused", func(t *testing.T) {
			f := f
			f.t = t

			a := f.token(test.path, test.form)
			if a.status != test.status || a.code(t) != test.code || a.json(t)["error"] != test.err {
				t.Errorf("got %d %d %v, want %d %d %s",
					a.status, a.code(t), a.json(t)["error"], test.status, test.code, test.err)
			}
		})
	}
}

func TestTokenRequestForm(t *testing.T) {
	f := start(t)
	address := f.LoginURL() + "/" + contoso + "/oauth2/token"
	twice := appV1.Encode() + "&client_id=" + client

	tests := map[string]struct {
		answer answer
		code   int
	}{
		"GET is refused": {do(t, "GET", address+"?"+appV1.Encode(), ""), 900561},
		"PUT is refused": {do(t, "PUT", address, appV1.Encode(), "Content-Type", formType), 900561},
		"a JSON body is not read": {
			do(t, "POST", address, `{"grant_type":"client_credentials"}`, "Content-Type", "application/json"),
			900144,
		},
		"a body without a type is not read": {do(t, "POST", address, appV1.Encode()), 900144},
		"parameters in the query do not count": {
			do(t, "POST", address+"?"+appV1.Encode(), "", "Content-Type", formType),
			900144,
		},
		"a parameter given twice is refused": {
			do(t, "POST", address, twice, "Content-Type", formType),
			9002313,
		},
		"a body that is badly encoded is refused": {
			do(t, "POST", address, "grant_type=%zz", "Content-Type", formType),
			9002313,
		},
		"a secret from a browser is refused": {
			do(t, "POST", address, appV1.Encode(), "Content-Type", formType, "Origin", "https://app.example"),
			9002326,
		},
		"HTTP Basic is no credential at v1": {
			do(t, "POST", address, with(appV1, "client_secret", "").Encode(), "Content-Type", formType,
				"Authorization", basic(client, secret)),
			7000218,
		},
		"HTTP Basic and a secret in the body are too much": {
			do(t, "POST", f.LoginURL()+"/"+contoso+"/oauth2/v2.0/token", appV2.Encode(), "Content-Type",
				formType, "Authorization", basic(client, secret)),
			9002313,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.answer.status < 400 || test.answer.code(t) != test.code {
				t.Errorf("got %d %s, want code %d", test.answer.status, test.answer.body, test.code)
			}
		})
	}

	for name, a := range map[string]answer{
		"an empty query is accepted, as Microsoft's script sends it": do(t, "POST", address+"?", appV1.Encode(),
			"Content-Type", formType+"; charset=utf-8"),
		"the domain stands for the tenant":     f.token("CONTOSO.example/oauth2/token", appV1),
		"the tenant's GUID may be in capitals": f.token(strings.ToUpper(contoso)+"/oauth2/v2.0/token", appV2),
		"HTTP Basic is accepted at v2": f.token(contoso+"/oauth2/v2.0/token",
			with(appV2, "client_id", "", "client_secret", ""), "Authorization", basic(client, secret)),
		"a resource may end in a slash": f.token(contoso+"/oauth2/token",
			with(appV1, "resource", "https://graph.windows.net/")),
		"Defender for Endpoint's other name": f.token(contoso+"/oauth2/v2.0/token",
			with(appV2, "scope", "https://securitycenter.onmicrosoft.com/windowsatpservice/.default")),
	} {
		t.Run(name, func(t *testing.T) {
			if a.status != 200 {
				t.Errorf("got %d %s", a.status, a.body)
			}
		})
	}
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(user)+":"+url.QueryEscape(password)))
}

func TestErrorAnswerHasTheWholeBody(t *testing.T) {
	f := start(t)
	id := "abcdefab-0000-4000-8000-00000000abcd"
	a := f.token(
		contoso+"/oauth2/token",
		with(appV1, "client_secret", "wrong"),
		"client-request-id",
		id,
		"return-client-request-id",
		"true",
	)
	m := a.json(t)
	text := m["error_description"].(string)

	form := `^AADSTS7000215: Invalid client secret provided\..*\r\nTrace ID: [0-9a-f-]{36}\r\n` +
		`Correlation ID: ` + id + `\r\nTimestamp: 2026-03-01 12:00:00Z$`
	if !regexp.MustCompile(form).MatchString(text) {
		t.Errorf("error_description is %q", text)
	}

	if m["timestamp"] != "2026-03-01 12:00:00Z" || m["correlation_id"] != id ||
		m["error_uri"] != "https://login.microsoftonline.com/error?code=7000215" {
		t.Errorf("body is %s", a.body)
	}

	if a.header.Get("client-request-id") != id || a.header.Get("Date") != "Sun, 01 Mar 2026 12:00:00 GMT" {
		t.Errorf("headers are %v", a.header)
	}

	if f.Requests().Refused[7000215] != 1 {
		t.Errorf("the refusal was not counted: %v", f.Requests().Refused)
	}
}

// tokenAnswers are requests, and what the answer to each holds.
var tokenAnswers = map[string]struct {
	path    string
	form    url.Values
	present string // keys, in order of the alphabet
	strings bool
}{
	"v1 application": {
		contoso + "/oauth2/token",
		appV1,
		"access_token expires_in expires_on ext_expires_in not_before resource token_type",
		true,
	},
	"v2 application": {
		contoso + "/oauth2/v2.0/token",
		appV2,
		"access_token expires_in ext_expires_in token_type",
		false,
	},
	"v1 refresh": {
		contoso + "/oauth2/token",
		refreshV1,
		"access_token expires_in expires_on ext_expires_in id_token not_before refresh_token resource scope " +
			"token_type",
		true,
	},
	"v2 refresh": {
		contoso + "/oauth2/v2.0/token",
		refreshV2,
		"access_token expires_in ext_expires_in refresh_token scope token_type",
		false,
	},
	"v2 refresh with openid": {
		contoso + "/oauth2/v2.0/token",
		with(refreshV2, "scope", "openid offline_access https://graph.microsoft.com/.default"),
		"access_token expires_in ext_expires_in id_token refresh_token scope token_type",
		false,
	},
	"v2 refresh without offline_access returns no refresh token": {
		contoso + "/oauth2/v2.0/token",
		with(refreshV2, "scope", "https://graph.microsoft.com/.default"),
		"access_token expires_in ext_expires_in scope token_type",
		false,
	},
}

func TestTokenAnswers(t *testing.T) {
	f := start(t)

	for name, test := range tokenAnswers {
		t.Run(name, func(t *testing.T) {
			f := f
			f.t = t
			a := f.token(test.path, test.form)

			m := a.json(t)
			if got := strings.Join(keys(m), " "); a.status != 200 || got != test.present {
				t.Fatalf("status %d, keys %s, want %s", a.status, got, test.present)
			}

			if _, isString := m["expires_in"].(string); isString != test.strings {
				t.Errorf("expires_in is %T", m["expires_in"])
			}
		})
	}
}

func keys(m map[string]any) []string {
	var list []string

	for _, k := range []string{
		"access_token", "expires_in", "expires_on", "ext_expires_in", "id_token", "not_before", "refresh_token",
		"resource", "scope", "token_type",
	} {
		if _, ok := m[k]; ok {
			list = append(list, k)
		}
	}

	return list
}

func TestAccessTokenClaims(t *testing.T) {
	f := start(t)
	claims := func(token string) map[string]any {
		b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])

		var m map[string]any
		if err != nil || json.Unmarshal(b, &m) != nil {
			t.Fatalf("token %s: %v", token, err)
		}

		return m
	}

	m := claims(f.access(simulator.Endpoint, contoso))
	if m["aud"] != simulator.ResourceOf(simulator.Endpoint) || m["tid"] != contoso || m["azp"] != client ||
		m["roles"].([]any)[0] != "Alert.Read.All" {
		t.Errorf("claims are %v", m)
	}

	m = claims(f.token(contoso+"/oauth2/token", refreshV1).json(t)["access_token"].(string))
	if m["appid"] != client || m["scp"] != "user_impersonation" || m["upn"] != "soc@contoso.example" ||
		m["exp"].(float64) != float64(f.clock.Now().Add(time.Hour).Unix()) {
		t.Errorf("claims are %v", m)
	}
}

func TestSwitchesWhileRunning(t *testing.T) {
	code := func(f fixture) int {
		a := f.token(contoso+"/oauth2/token", appV1)
		if a.status == 200 {
			return 0
		}

		return a.code(f.t)
	}
	app := func(change func(*simulator.App)) func(fixture) {
		return func(f fixture) { f.SetApp(contoso, client, change) }
	}

	tests := map[string]struct {
		turn func(fixture)
		want int
	}{
		"a changed secret":       {app(func(a *simulator.App) { a.Secret = "new" }), 7000215},
		"an expired secret":      {app(func(a *simulator.App) { a.SecretExpired = true }), 7000222},
		"a disabled application": {app(func(a *simulator.App) { a.Disabled = true }), 7000112},
		"an application's code":  {app(func(a *simulator.App) { a.AADSTS = 53003 }), 53003},
		"a tenant's code": {
			func(f fixture) { f.SetTenant(contoso, func(t *simulator.Tenant) { t.AADSTS = 90033 }) },
			90033,
		},
		"a code of the grammar": {
			func(f fixture) { _ = f.SetFaults("aadsts=50076:tenant=contoso.example") },
			50076,
		},
		"a tenant that is gone":    {func(f fixture) { f.SetTenantGone(contoso, true) }, 90002},
		"an application withdrawn": {func(f fixture) { f.RemoveApp(contoso, client) }, 700016},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			if got := code(f); got != 0 {
				t.Fatalf("before: %d", got)
			}

			if test.turn(f); code(f) != test.want {
				t.Errorf("got %d, want %d", code(f), test.want)
			}
		})
	}
}

func TestEveryKnownCodeIsAWholeAnswer(t *testing.T) {
	f := start(t)
	for _, code := range simulator.AADSTSCodes() {
		f.SetApp(contoso, client, func(a *simulator.App) { a.AADSTS = code })
		a := f.token(contoso+"/oauth2/token", appV1)

		m := a.json(t)
		if a.code(t) != code || a.status < 400 || m["error"] == "" ||
			strings.Contains(m["error_description"].(string), "{client}") {
			t.Errorf("%d: %d %s", code, a.status, a.body)
		}
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	f := start(t)
	for _, path := range []string{"/", "/" + contoso, "/" + contoso + "/oauth2", "/" + contoso + "/oauth2/v3.0/token"} {
		if a := do(t, "GET", f.LoginURL()+path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}

	a := do(t, "GET", f.LoginURL()+"/"+contoso+"/v2.0/.well-known/openid-configuration", "")
	if want := f.LoginURL() + "/" + contoso + "/oauth2/v2.0/token"; a.json(t)["token_endpoint"] != want {
		t.Errorf("metadata: %s", a.body)
	}
}
