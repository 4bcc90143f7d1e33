package simulator_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

const verifier = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

func challenge(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

var (
	askV1 = form(
		"client_id", client,
		"response_type", "code",
		"redirect_uri", "http://localhost:5000/cb",
		"state", "st&te",
		"resource", "https://graph.windows.net",
	)
	askV2 = form(
		"client_id", client,
		"response_type", "code",
		"redirect_uri", "http://localhost:5000/cb",
		"state", "st&te",
		"scope", "https://graph.microsoft.com/SecurityAlert.Read.All offline_access",
		"code_challenge", challenge(verifier),
		"code_challenge_method", "S256",
	)
	codeV2 = form(
		"grant_type", "authorization_code",
		"client_id", client,
		"client_secret", secret,
		"redirect_uri", "http://localhost:5000/cb",
		"code_verifier", verifier,
	)
)

func auto(c *simulator.Config) { c.AutoConsent = true }

// ask opens the authorize page; the address that it redirects to is nil if it shows a
// page.
func (f fixture) ask(path string, v url.Values) (answer, url.Values) {
	f.t.Helper()

	a := do(f.t, "GET", f.LoginURL()+"/"+path+"?"+v.Encode(), "")
	if a.status != 302 {
		return a, nil
	}

	u, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		f.t.Fatal(err)
	}

	return a, u.Query()
}

// code signs in and returns the code.
func (f fixture) code(path string, v url.Values) string {
	f.t.Helper()

	a, back := f.ask(path, v)
	if back.Get("code") == "" {
		f.t.Fatalf("no code: %d %s %v", a.status, a.header.Get("Location"), a.body)
	}

	return back.Get("code")
}

func TestSignInWithPKCE(t *testing.T) {
	f := start(t, auto)

	a, back := f.ask(contoso+"/oauth2/v2.0/authorize", askV2)
	if !strings.HasPrefix(a.header.Get("Location"), "http://localhost:5000/cb?") || back.Get("state") != "st&te" ||
		back.Get("session_state") == "" {
		t.Fatalf("redirected to %s", a.header.Get("Location"))
	}

	token := with(codeV2, "code", back.Get("code"))

	a = f.token("contoso.example/oauth2/v2.0/token", token)
	if a.status != 200 || a.json(t)["refresh_token"] == nil ||
		a.json(t)["scope"] != "https://graph.microsoft.com/SecurityAlert.Read.All "+
			"https://graph.microsoft.com/SecurityIncident.Read.All" {
		t.Fatalf("redeemed: %d %s", a.status, a.body)
	}

	next := f.token(
		contoso+"/oauth2/v2.0/token",
		with(refreshV2, "refresh_token", a.json(t)["refresh_token"].(string)),
	)
	if next.status != 200 {
		t.Errorf("refreshed: %d %s", next.status, next.body)
	}

	if again := f.token(contoso+"/oauth2/v2.0/token", token); again.status != 400 || again.code(t) != 54005 {
		t.Errorf("redeemed twice: %d %s", again.status, again.body)
	}
}

func TestDocumentedMSSPScript(t *testing.T) {
	f := start(t, auto)
	v := form(
		"prompt", "select_account",
		"response_type", "code",
		"client_id", client,
		"redirect_uri", "https://mssp.example/SiemMsspConnector",
		"resource", "https://graph.windows.net",
	)
	code := f.code(contoso+"/oauth2/authorize", v)

	a := f.token(
		contoso+"/oauth2/token?",
		form("grant_type", "authorization_code", "client_id", client, "client_secret", secret, "code", code,
			"redirect_uri", "https://mssp.example/SiemMsspConnector", "resource", "https://graph.windows.net"),
	)
	if a.status != 200 || a.json(t)["expires_in"] != "3599" || a.json(t)["refresh_token"] == nil {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// codeRefusals are codes that are redeemed in a wrong way.
var codeRefusals = map[string]struct {
	ask  url.Values
	path string
	form url.Values
	wait time.Duration
	code int
}{
	"another redirect": {askV2, contoso, with(codeV2, "redirect_uri", "http://localhost:5001/cb"), 0, 500112},
	"a wrong verifier": {askV2, contoso, with(codeV2, "code_verifier", strings.Repeat("x", 43)), 0, 501481},
	"a short verifier": {askV2, contoso, with(codeV2, "code_verifier", "x"), 0, 501491},
	"no verifier":      {askV2, contoso, with(codeV2, "code_verifier", ""), 0, 900144},
	"a verifier that nobody asked for": {
		with(askV2, "code_challenge", "", "code_challenge_method", ""),
		contoso,
		codeV2,
		0,
		501481,
	},
	"ten minutes of waiting": {askV2, contoso, codeV2, 10 * time.Minute, 70008},
	"another tenant's path":  {askV2, fabrikam, codeV2, 0, 700005},
	"scopes of two resources": {
		askV2,
		contoso,
		with(codeV2, "scope", "https://graph.microsoft.com/.default https://api.security.microsoft.com/.default"),
		0,
		700022,
	},
}

func TestCodeRefusals(t *testing.T) {

	for name, test := range codeRefusals {
		t.Run(name+" is refused", func(t *testing.T) {
			f := start(t, auto)
			code := f.code(contoso+"/oauth2/v2.0/authorize", test.ask)
			f.clock.Advance(test.wait)

			if a := f.token(test.path+"/oauth2/v2.0/token", with(test.form, "code", code)); a.status != 400 ||
				a.code(t) != test.code {
				t.Errorf("got %d %s, want %d", a.status, a.body, test.code)
			}
		})
	}

	t.Run("another resource than at sign-in is refused at v1", func(t *testing.T) {
		f := start(t, auto)
		code := f.code(contoso+"/oauth2/authorize", askV1)

		v := with(codeV2, "code", code, "code_verifier", "", "resource", "https://graph.microsoft.com")
		if a := f.token(contoso+"/oauth2/token", v); a.status != 400 || a.code(t) != 90023 {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
	t.Run("PKCE by plain", func(t *testing.T) {
		f := start(t, auto)

		code := f.code(
			contoso+"/oauth2/v2.0/authorize",
			with(askV2, "code_challenge", verifier, "code_challenge_method", "plain"),
		)
		if a := f.token(contoso+"/oauth2/v2.0/token", with(codeV2, "code", code)); a.status != 200 {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

// authorizeRefusal is a request for a code, and how it is refused.
type authorizeRefusal struct {
	path string
	form url.Values
	page string // on the page itself
	back string // the error that is sent back
}

func authorizeRefusals() map[string]authorizeRefusal {
	v2 := contoso + "/oauth2/v2.0/authorize"

	return map[string]authorizeRefusal{
		"an unknown redirect stays on the page": {
			v2,
			with(askV2, "redirect_uri", "http://localhost:5000/other"),
			"AADSTS50011",
			"",
		},
		"another case of its path": {
			v2,
			with(askV2, "redirect_uri", "http://localhost:5000/CB"),
			"AADSTS50011",
			"",
		},
		"a host that looks like it": {
			v2,
			with(askV2, "redirect_uri", "https://mssp.example.evil.example/SiemMsspConnector"),
			"AADSTS50011",
			"",
		},
		"a port of a host that is not loopback": {
			v2,
			with(askV2, "redirect_uri", "https://mssp.example:444/SiemMsspConnector"),
			"AADSTS50011",
			"",
		},
		"http where https is registered": {
			v2,
			with(askV2, "redirect_uri", "http://mssp.example/SiemMsspConnector"),
			"AADSTS50011",
			"",
		},
		"127.0.0.1 where localhost is registered": {
			v2,
			with(askV2, "redirect_uri", "http://127.0.0.1:5000/cb"),
			"AADSTS50011",
			"",
		},
		"the sixth version of the internet protocol": {
			v2,
			with(askV2, "redirect_uri", "http://[::1]:5000/cb"),
			"AADSTS50011",
			"",
		},
		"no redirect at v2":      {v2, with(askV2, "redirect_uri", ""), "AADSTS900144", ""},
		"an unknown application": {v2, with(askV2, "client_id", fabrikam), "AADSTS700016", ""},
		"an unknown tenant":      {"nowhere.example/oauth2/authorize", askV1, "AADSTS90002", ""},
		"a resource at v2":       {v2, with(askV2, "resource", "https://graph.windows.net"), "", "invalid_request"},
		"an unknown resource at v1": {
			contoso + "/oauth2/authorize",
			with(askV1, "resource", "https://x.example"),
			"",
			"invalid_resource",
		},
		"no scope at v2": {v2, with(askV2, "scope", ""), "", "invalid_request"},
		"a scope that is none": {
			v2,
			with(askV2, "scope", "https://graph.microsoft.com/Nothing"),
			"",
			"invalid_scope",
		},
		"another response_type":         {v2, with(askV2, "response_type", "token"), "", "unsupported_response_type"},
		"a challenge that is too short": {v2, with(askV2, "code_challenge", "abc"), "", "invalid_request"},
		"a method that is unknown":      {v2, with(askV2, "code_challenge_method", "S512"), "", "invalid_request"},
		"a prompt that is unknown":      {v2, with(askV2, "prompt", "maybe"), "", "invalid_request"},
		"prompt=none without a session": {v2, with(askV2, "prompt", "none"), "", "login_required"},
	}
}

func TestAuthorizeRefusals(t *testing.T) {

	f := start(t, auto)
	for name, test := range authorizeRefusals() {
		t.Run(name, func(t *testing.T) {
			f := f
			f.t = t

			a, back := f.ask(test.path, test.form)
			switch {
			case test.page != "" && (a.status != 400 || !strings.Contains(a.body, test.page)):
				t.Errorf("got %d %s %s, want a page with %s", a.status, a.header.Get("Location"), a.body, test.page)
			case test.back != "" && (back.Get("error") != test.back || back.Get("state") != "st&te" ||
				!strings.HasPrefix(back.Get("error_description"), "AADSTS")):
				t.Errorf("got %d %v %s, want %s", a.status, back, a.body, test.back)
			}
		})
	}
}

func TestAuthorizePage(t *testing.T) {
	f := start(t)

	a, _ := f.ask(contoso+"/oauth2/v2.0/authorize", with(askV2, "scope", "https://graph.microsoft.com/.default"))
	if a.status != 200 || !strings.Contains(a.body, `id="accept"`) || !strings.Contains(a.body, `id="decline"`) {
		t.Fatalf("got %d %s", a.status, a.body)
	}

	press := func(button string) url.Values {
		a := do(t, "POST", f.LoginURL()+"/"+contoso+"/oauth2/v2.0/authorize?"+askV2.Encode(),
			"decision="+button, "Content-Type", formType)

		u, err := url.Parse(a.header.Get("Location"))
		if err != nil || a.status != 302 {
			t.Fatalf("%s: %d %s", button, a.status, a.body)
		}

		return u.Query()
	}
	if back := press("decline"); back.Get("error") != "access_denied" || back.Get("state") != "st&te" ||
		back.Has("code") {
		t.Errorf("declined: %v", back)
	}

	if back := press("accept"); back.Get("code") == "" {
		t.Errorf("accepted: %v", back)
	}

	f.SetAutoConsent(true)

	a, _ = f.ask(contoso+"/oauth2/v2.0/authorize", with(askV2, "response_mode", "form_post"))
	if a.status != 200 || !strings.Contains(a.body, `action="http://localhost:5000/cb"`) ||
		!strings.Contains(a.body, `value="st&amp;te"`) {
		t.Errorf("form_post: %d %s", a.status, a.body)
	}

	a, _ = f.ask(contoso+"/oauth2/v2.0/authorize", with(askV2, "response_mode", "fragment"))
	if !strings.HasPrefix(a.header.Get("Location"), "http://localhost:5000/cb#code=") {
		t.Errorf("fragment: %s", a.header.Get("Location"))
	}

	a, _ = f.ask(contoso+"/oauth2/v2.0/authorize", with(askV2, "redirect_uri", "http://127.0.0.1:5000"))
	if !strings.HasPrefix(a.header.Get("Location"), "http://127.0.0.1:5000/?") {
		t.Errorf("an address without a path gets a slash: %s", a.header.Get("Location"))
	}
}

func TestConsentMakesAnApplicationKnown(t *testing.T) {
	const app = "33333333-0000-4000-8000-000000000001"

	f := start(t, func(c *simulator.Config) {
		c.Apps = []simulator.App{{ClientID: app, Secret: "x", RedirectURIs: []string{"https://portal.azure.com"}}}
	})

	v := with(appV2, "client_id", app, "client_secret", "x")
	if a := f.token(contoso+"/oauth2/v2.0/token", v); a.code(t) != 700016 {
		t.Fatalf("before: %s", a.body)
	}

	page := contoso + "/v2.0/adminconsent?" + form(
		"client_id", app,
		"redirect_uri", "https://portal.azure.com",
		"state", "7",
		"scope", "https://graph.microsoft.com/.default",
	).Encode()
	if a := do(t, "GET", f.LoginURL()+"/"+page, ""); a.status != 200 || !strings.Contains(a.body, `id="accept"`) {
		t.Fatalf("page: %d %s", a.status, a.body)
	}

	a := do(t, "POST", f.LoginURL()+"/"+page, "decision=decline", "Content-Type", formType)
	if !strings.Contains(a.header.Get("Location"), "error=access_denied") {
		t.Fatalf("declined: %v", a.header)
	}

	a = do(t, "POST", f.LoginURL()+"/"+page, "decision=accept", "Content-Type", formType)
	loc := a.header.Get("Location")
	if !strings.Contains(loc, "admin_consent=True") || !strings.Contains(loc, "tenant="+contoso) ||
		!strings.Contains(loc, "state=7") {
		t.Fatalf("accepted: %v", a.header)
	}

	if a := f.token(contoso+"/oauth2/v2.0/token", v); a.status != 200 {
		t.Errorf("after: %s", a.body)
	}

	if a := f.token(fabrikam+"/oauth2/v2.0/token", v); a.code(t) != 700016 {
		t.Errorf("at another tenant: %s", a.body)
	}
}

func TestAdminConsentRefusals(t *testing.T) {
	f := start(t)

	ok := form(
		"client_id", client,
		"redirect_uri", "http://localhost/cb",
		"scope", "https://graph.microsoft.com/.default",
	)
	for name, test := range map[string]struct {
		path string
		form url.Values
		want string
	}{
		"v2 over common":     {"common/v2.0/adminconsent", ok, "AADSTS90023"},
		"v2 without a scope": {contoso + "/v2.0/adminconsent", with(ok, "scope", ""), "AADSTS900144"},
		"an unknown scope": {contoso + "/v2.0/adminconsent", with(ok, "scope", "https://x.example/.default"),
			"AADSTS70011"},
		"an unknown application": {contoso + "/adminconsent", with(ok, "client_id", fabrikam), "AADSTS700016"},
		"an unregistered redirect": {contoso + "/adminconsent", with(ok, "redirect_uri", "http://localhost/x"),
			"AADSTS50011"},
		"an unknown tenant":         {"nowhere.example/adminconsent", ok, "AADSTS90002"},
		"an application without id": {contoso + "/adminconsent", with(ok, "client_id", ""), "AADSTS900144"},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			f := f

			f.t = t
			if a, _ := f.ask(test.path, test.form); a.status != 400 || !strings.Contains(a.body, test.want) {
				t.Errorf("got %d %s", a.status, a.body)
			}
		})
	}

	if a := do(t, "PUT", f.LoginURL()+"/"+contoso+"/adminconsent?"+ok.Encode(), ""); a.status != 405 {
		t.Errorf("PUT gave %d", a.status)
	}

	if _, back := f.ask(contoso+"/adminconsent", ok); back != nil {
		t.Errorf("it decided by itself: %v", back)
	}

	f.SetAutoConsent(true)

	if _, back := f.ask(contoso+"/adminconsent", ok); back.Get("admin_consent") != "True" || back.Has("scope") {
		t.Errorf("v1 redirected with %v", back)
	}
}

func TestApplicationsAreAdded(t *testing.T) {
	f := start(t)

	const app = "33333333-0000-4000-8000-000000000002"
	f.AddApp(contoso, simulator.App{ClientID: app, Secret: "x", RefreshTokens: []string{"0.new"}})

	v := with(refreshV1, "client_id", app, "client_secret", "x", "refresh_token", "0.new")
	if a := f.token(contoso+"/oauth2/token", v); a.status != 200 {
		t.Errorf("got %d %s", a.status, a.body)
	}

	f.SetOmitRefresh(true)

	if a := f.token(contoso+"/oauth2/token", v); a.status != 200 || strings.Contains(a.body, "refresh_token") {
		t.Errorf("got %d %s", a.status, a.body)
	}
}
