package simulator_test

import (
	"fmt"
	"strings"
	"testing"

	"fluent-bit-defender/internal/testbed/simulator"
)

// post changes a customer on the control page.
func (p provider) post(form string) answer {
	p.t.Helper()
	return do(p.t, "POST", p.LoginURL()+"/simulator", form, "Content-Type", "application/x-www-form-urlencoded")
}

func TestTheControlPageChangesCustomersWhileItRuns(t *testing.T) {
	p := startHome(t)
	seed, c := p.app.RefreshTokens[0], p.customers[0]

	before := p.redeem(c.ID, seed).token()
	for state, want := range map[string]struct{ code, status int }{
		"90099":       {90099, 0},
		"53003":       {53003, 0},
		"5000224":     {5000224, 0},
		"unconsented": {90099, 0},
		"ended":       {50020, 0},
		"guest":       {50020, 0},
		"gone":        {90002, 0},
		"forbidden":   {0, 403},
		"norole":      {0, 403},
		"noreader":    {0, 403},
		"ok":          {0, 200},
	} {
		if a := p.post("tenant=" + c.Name + "&state=" + state); a.status != 200 {
			t.Errorf("%s: %d %s", state, a.status, a.body)
		}

		if a := p.list(before); a.status != 401 {
			t.Errorf("%s: a token from before: %d", state, a.status)
		}

		a := p.redeem(c.ID, seed)
		wantCode(t, state, a, want.code)

		if want.code == 0 {
			if rows := p.list(a.token()); rows.status != want.status {
				t.Errorf("%s: alerts %d", state, rows.status)
			}
		}

		if a := p.post("tenant=" + c.Domain + "&state=ok"); a.status != 200 {
			t.Errorf("ok: %d %s", a.status, a.body)
		}

		a = p.redeem(c.ID, seed)
		wantCode(t, "well again after "+state, a, 0)
		before = a.token()
	}

	if a := p.post("add=adventure"); a.status != 200 {
		t.Errorf("add: %d %s", a.status, a.body)
	}

	wantCode(t, "a new customer", p.redeem("adventure.example", seed), 90099)
	m := do(t, "GET", p.LoginURL()+"/simulator", "").json(t)

	text := fmt.Sprint(m)
	if n := len(m["customers"].([]any)); n != 5 || !strings.Contains(text, "adventure") ||
		!strings.Contains(text, "redeemed_at_home:0") || !strings.Contains(text, "consent:false") {
		t.Errorf("%s", text)
	}
}

func TestTheHomeTenantHasStatesOfItsOwn(t *testing.T) {
	p := startHome(t)

	seed, customer := p.app.RefreshTokens[0], p.customers[0].ID
	for _, form := range []string{
		"tenant=provider&state=ended", "tenant=contoso999&state=ok", "tenant=" + p.customers[0].Name + "&state=dead",
		"tenant=" + p.customers[0].Name + "&state=bad", "add=" + p.customers[0].Name, "%",
	} {
		if a := p.post(form); a.status != 400 {
			t.Errorf("%s: %d %s", form, a.status, a.body)
		}
	}

	if a := p.post("tenant=provider&state=nomfa"); a.status != 200 {
		t.Errorf("nomfa: %d %s", a.status, a.body)
	}

	next, err := p.IssueRefreshToken(p.home.ID, p.app.ClientID)
	if err != nil {
		t.Fatal(err)
	}

	wantCode(t, "a sign-in without a second factor", p.redeem(customer, next), 50076)
	wantCode(t, "one from before", p.redeem(customer, seed), 0)

	if a := p.post("tenant=provider&state=dead"); a.status != 200 {
		t.Errorf("dead: %d %s", a.status, a.body)
	}

	wantCode(t, "at home", p.redeem(p.home.ID, seed), 50173)
	wantCode(t, "at a customer", p.redeem(customer, seed), 50173)
}

func TestASimulatedProviderForTheCommandLine(t *testing.T) {
	var written string

	s, conf, err := simulator.ServeForCLI(t.Context(), simulator.CLIOptions{
		Home:         true,
		Customers:    4,
		Alerts:       2,
		States:       map[string]string{"fabrikam001": "90099"},
		WriteTenants: func(text string) error { written = text; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	for _, want := range []string{
		"home_tenant_id ", "tenants_file         ./defender-tenants.yaml", "api                  graph",
		"refresh_token ",
		"partner_url          " + s.APIURL(simulator.Partner), "graph_url            " + s.APIURL(simulator.Graph),
	} {
		if !strings.Contains(conf, want) {
			t.Errorf("no %q in\n%s", want, conf)
		}
	}

	if strings.Count(conf, "[INPUT]") != 1 || !strings.Contains(written, "from: gdap") {
		t.Errorf("%s\n%s", conf, written)
	}

	listed, tenants, err := s.HomeConfig(simulator.ConfigOptions{
		Listed:       true,
		WithoutToken: true,
		TenantsFile:  "x.yaml",
	})
	if err != nil || strings.Contains(listed, "refresh_token") || !strings.Contains(listed, "x.yaml") ||
		strings.Count(tenants, "tenant_id") != 4 {
		t.Errorf("%v\n%s\n%s", err, listed, tenants)
	}

	_, _, err = simulator.ServeForCLI(t.Context(), simulator.CLIOptions{
		Home:   true,
		States: map[string]string{"x": "ok"},
	})
	if err == nil {
		t.Error("a state of a tenant that does not exist was accepted")
	}

	for _, cfg := range []simulator.Config{{Home: contoso}, {Relationships: []simulator.Relationship{{}}}} {
		if _, err := simulator.New(cfg); err == nil {
			t.Errorf("accepted: %+v", cfg)
		}
	}
}
