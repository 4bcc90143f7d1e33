package simulator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var (
	deviceV2 = form("client_id", public, "scope", "https://graph.microsoft.com/SecurityAlert.Read.All offline_access")
	pollV2   = form("client_id", public, "grant_type", "urn:ietf:params:oauth:grant-type:device_code")
)

func TestDeviceCode(t *testing.T) {
	f := start(t)
	a := f.token(contoso+"/oauth2/v2.0/devicecode", deviceV2)

	m := a.json(t)
	if m["expires_in"] != 900.0 || m["interval"] != 5.0 || m["verification_uri"] != f.LoginURL()+"/devicelogin" ||
		!strings.Contains(m["message"].(string), m["user_code"].(string)) {
		t.Fatalf("got %s", a.body)
	}

	code, user := m["device_code"].(string), m["user_code"].(string)
	poll := func() string {
		a := f.token(contoso+"/oauth2/v2.0/token", with(pollV2, "device_code", code))
		if a.status == 200 {
			return fmt.Sprint("ok ", a.json(t)["refresh_token"] != nil)
		}

		return a.json(t)["error"].(string)
	}
	step := func(wait time.Duration, want string) {
		t.Helper()
		f.clock.Advance(wait)

		if got := poll(); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	step(0, "authorization_pending")
	step(4*time.Second, "slow_down")
	step(9*time.Second, "slow_down") // the interval has grown to 10 s
	step(15*time.Second, "authorization_pending")

	if err := f.DecideDevice(strings.ToLower(user), true); err != nil {
		t.Fatal(err)
	}

	step(15*time.Second, "ok true")
	step(15*time.Second, "bad_verification_code")

	if err := f.DecideDevice(user, true); err == nil {
		t.Error("a code that is used up was accepted")
	}
}

func TestDeviceCodeV1(t *testing.T) {
	f := start(t)
	v := form("client_id", public, "resource", "https://graph.windows.net")
	a := f.token(contoso+"/oauth2/devicecode?api-version=1.0", v)

	m := a.json(t)
	if m["expires_in"] != "900" || m["interval"] != "5" || m["verification_url"] == nil ||
		m["verification_uri"] != nil {
		t.Fatalf("got %s", a.body)
	}

	poll := form(
		"client_id", public,
		"resource", "https://graph.windows.net",
		"grant_type", "device_code",
		"code", m["device_code"].(string),
	)
	if err := f.DecideDevice(m["user_code"].(string), false); err != nil {
		t.Fatal(err)
	}

	if a := f.token(contoso+"/oauth2/token", poll); a.json(t)["error"] != "authorization_declined" {
		t.Errorf("declined: %s", a.body)
	}

	f.clock.Advance(15 * time.Minute)

	if a := f.token(contoso+"/oauth2/token", poll); a.json(t)["error"] != "code_expired" {
		t.Errorf("expired: %s", a.body)
	}
}

func TestDeviceCodeRefusals(t *testing.T) {
	f := start(t)

	path := contoso + "/oauth2/v2.0/devicecode"
	for name, test := range map[string]struct {
		answer answer
		code   int
	}{
		"GET":                 {do(t, "GET", f.LoginURL()+"/"+path, ""), 900561},
		"no client":           {f.token(path, with(deviceV2, "client_id", "")), 900144},
		"no scope":            {f.token(path, with(deviceV2, "scope", "")), 900144},
		"an unknown client":   {f.token(path, with(deviceV2, "client_id", contoso)), 700016},
		"a resource at v2":    {f.token(path, with(deviceV2, "resource", "https://graph.windows.net")), 901002},
		"no resource at v1":   {f.token(contoso+"/oauth2/devicecode", deviceV2), 900144},
		"an unknown tenant":   {f.token("nowhere.example/oauth2/v2.0/devicecode", deviceV2), 90002},
		"a code that is none": {f.token(contoso+"/oauth2/v2.0/token", with(pollV2, "device_code", "x")), 70018},
		"a poll without code": {f.token(contoso+"/oauth2/v2.0/token", pollV2), 900144},
		"a poll of a web app without its secret": {f.token(contoso+"/oauth2/v2.0/token",
			with(pollV2, "client_id", client, "device_code", "x")), 7000218},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			if test.answer.code(t) != test.code {
				t.Errorf("got %d %s, want %d", test.answer.status, test.answer.body, test.code)
			}
		})
	}
}

func TestDevicePage(t *testing.T) {
	f := start(t)
	user := f.token(contoso+"/oauth2/v2.0/devicecode", deviceV2).json(t)["user_code"].(string)

	page := f.LoginURL() + "/devicelogin"
	if a := do(t, "GET", page, ""); a.status != 200 || !strings.Contains(a.body, `name="otc"`) {
		t.Fatalf("got %d %s", a.status, a.body)
	}

	a := do(t, "POST", page, "otc=wrong&decision=accept", "Content-Type", formType)
	if !strings.Contains(a.body, `id="error"`) {
		t.Errorf("a wrong code: %s", a.body)
	}

	a = do(t, "POST", page, "otc="+user+"&decision=accept", "Content-Type", formType)
	if !strings.Contains(a.body, `id="done"`) {
		t.Errorf("the code: %s", a.body)
	}

	f = start(t, auto)

	code := f.token(contoso+"/oauth2/v2.0/devicecode", deviceV2).json(t)["device_code"].(string)
	if a := f.token(contoso+"/oauth2/v2.0/token", with(pollV2, "device_code", code)); a.status != 200 {
		t.Errorf("decided at once: %s", a.body)
	}
}
