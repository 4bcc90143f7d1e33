package simulator_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// provider is a home tenant and its customers.
type provider struct {
	fixture
	home      simulator.Tenant
	app       simulator.App
	customers []simulator.Tenant
}

// startHome makes a provider with four customers.
func startHome(t *testing.T, change ...func(*simulator.Config)) provider {
	t.Helper()

	list := simulator.GenerateHome(4, 3, 1)
	f := start(t, append([]func(*simulator.Config){func(c *simulator.Config) {
		c.Tenants = list
		c.Home = list[0].ID
		c.Rotation = simulator.Strict
		c.Relationships = simulator.GenerateRelationships(list, c.Clock())
	}}, change...)...)

	return provider{f, list[0], list[0].Apps[0], list[1:]}
}

// redeem redeems a refresh token in a tenant for Graph.
func (p provider) redeem(tenant, refresh string) answer {
	p.t.Helper()
	return p.redeemFor(tenant, refresh, "https://graph.microsoft.com/.default offline_access")
}

func (p provider) redeemFor(tenant, refresh, scope string) answer {
	p.t.Helper()

	return p.token(tenant+"/oauth2/v2.0/token", form(
		"grant_type", "refresh_token",
		"client_id", p.app.ClientID,
		"client_secret", p.app.Secret,
		"refresh_token", refresh,
		"scope", scope,
	))
}

// refresh is the refresh token of an answer.
func (a answer) refresh(t *testing.T) string {
	t.Helper()

	text, _ := a.json(t)["refresh_token"].(string)
	if a.status != 200 || text == "" {
		t.Fatalf("no refresh token: %d %s", a.status, a.body)
	}

	return text
}

// list asks for the alerts with an access token.
func (p provider) list(access string) answer {
	p.t.Helper()
	return p.read("/v1.0/security/alerts_v2", access)
}

func (p provider) read(path, access string) answer {
	p.t.Helper()
	return do(p.t, "GET", p.APIURL(simulator.Graph)+path, "", "Authorization", "Bearer "+access)
}

// wantCode checks the AADSTS code of a refusal; 0 is a success.
func wantCode(t *testing.T, what string, a answer, code int) {
	t.Helper()

	if code == 0 && a.status == 200 {
		return
	}

	if a.status == 200 || code == 0 || a.code(t) != code {
		t.Errorf("%s: %d %.200s; want %d", what, a.status, a.body, code)
	}
}

func TestOneSignInRedeemsAtEveryCustomer(t *testing.T) {
	p := startHome(t)
	seed := p.app.RefreshTokens[0]

	var given string

	for _, c := range p.customers {
		a := p.redeem(c.ID, seed)

		given = a.refresh(t)
		if rows := p.list(a.token()); rows.status != 200 || len(rows.json(t)["value"].([]any)) != 3 {
			t.Errorf("%s: alerts: %d %.200s", c.Name, rows.status, rows.body)
		}
	}

	last := p.customers[3]
	wantCode(t, "a customer's token at that customer", p.redeem(last.ID, given), 0)
	wantCode(t, "a customer's token at home", p.redeem(p.home.ID, given), 70000)
	wantCode(t, "a customer's token at another", p.redeem(p.customers[0].ID, given), 70000)

	if n := p.Requests().Misplaced; n != 2 {
		t.Errorf("%d misplaced tokens", n)
	}

	old := p.token(last.ID+"/oauth2/token", form("grant_type", "refresh_token", "client_id", p.app.ClientID,
		"client_secret", p.app.Secret, "refresh_token", seed, "resource", "https://graph.windows.net"))
	wantCode(t, "v1 with a resource", old, 0)

	ledger := p.TokenRequests()
	if h, c := len(ledger.Redeemed(true)), len(ledger.Redeemed(false)); h != 0 || c != 6 {
		t.Errorf("%d redemptions at home, %d at customers", h, c)
	}

	if n := ledger.MostWithin(time.Second); n != len(ledger) { // the clock stands still
		t.Errorf("%d of %d in a second", n, len(ledger))
	}

	if n := ledger.MostInFlight(); n != 1 {
		t.Errorf("%d in flight", n)
	}

	if n := len(ledger.Of(last.ID)); n != 3 {
		t.Errorf("%d requests for the last customer", n)
	}
}

func TestTheHomeTokenRotatesAtHomeOnly(t *testing.T) {
	p := startHome(t)
	seed, customer := p.app.RefreshTokens[0], p.customers[0].ID
	wantCode(t, "at a customer", p.redeem(customer, seed), 0)
	p.clock.Advance(2 * time.Minute)
	wantCode(t, "at a customer, later", p.redeem(customer, seed), 0)

	next := p.redeem(p.home.ID, seed).refresh(t)
	wantCode(t, "the old one, for a minute", p.redeem(customer, seed), 0)
	wantCode(t, "the new one at a customer", p.redeem(customer, next), 0)
	wantCode(t, "the old one after that", p.redeem(customer, seed), 50173)
	wantCode(t, "the old one at home", p.redeem(p.home.ID, seed), 50173)

	if n := p.Requests().DeadAgain; n != 0 {
		t.Errorf("a customer's refusal counts as death: %d", n)
	}

	wantCode(t, "again", p.redeem(customer, seed), 50173)

	if n := p.Requests().DeadAgain; n != 1 {
		t.Errorf("what home refused was sent again %d times", n)
	}
}

func TestEachRowOfTheTableHasASwitch(t *testing.T) {
	for _, code := range []int{
		90099, 700016, 65001, 650051, 65002, 65004, 50020, 50034, 50177, 90072, 50178, 50158,
		53003, 530003, 530036, 53000, 50076, 50078, 50079, 70043, 700082, 70008, 50173, 50133,
		7000215, 7000222, 700027, 5000224, 90002, 50196,
	} {
		p := startHome(t)
		bad, good := p.customers[0].ID, p.customers[1].ID
		p.SetTenant(bad, func(t *simulator.Tenant) { t.AADSTS = code })
		wantCode(t, fmt.Sprint("code ", code), p.redeem(bad, p.app.RefreshTokens[0]), code)
		wantCode(t, "another customer", p.redeem(good, p.app.RefreshTokens[0]), 0)
		p.SetTenant(bad, func(t *simulator.Tenant) { t.AADSTS = 0 })
		wantCode(t, "switched off", p.redeem(bad, p.app.RefreshTokens[0]), 0)
	}
}

func TestACustomersSettingsDecide(t *testing.T) {
	const ok = 200
	for name, c := range map[string]struct {
		change func(provider, string)
		code   int // at the token endpoint
		status int // of the alerts, with a token from before
		after  int // of the alerts, with a token from after
	}{
		"nothing": {func(provider, string) {}, 0, ok, ok},
		"the application is not there": {
			func(p provider, id string) { p.RemoveApp(id, p.app.ClientID) }, 90099, 401, 0,
		},
		"no permission has consent": {func(p provider, id string) {
			p.SetApp(id, p.app.ClientID, func(a *simulator.App) { a.Scopes = []string{} })
		}, 65001, ok, 0},
		"the relationship ended":  {provider.end, 50020, 401, 0},
		"the user is a guest too": {set(func(t *simulator.Tenant) { t.Guest = true }), 50020, 401, 0},
		"a guest without a relationship": {func(p provider, id string) {
			p.EndRelationships(id)
			p.SetTenant(id, func(t *simulator.Tenant) { t.Guest = true })
		}, 0, ok, ok},
		"the tenant is gone":                {func(p provider, id string) { p.SetTenantGone(id, true) }, 90002, 403, 0},
		"Defender's own roles":              {set(func(t *simulator.Tenant) { t.Forbidden = true }), 0, 403, 403},
		"the token has no permission":       {set(func(t *simulator.Tenant) { t.NoRole = true }), 0, 403, 403},
		"the relationship lacks the role":   {withRoles(simulator.RoleCloudAppAdministrator), 0, 403, 403},
		"Security Operator reads":           {withRoles(simulator.RoleSecurityOperator), 0, ok, ok},
		"a relationship led by Microsoft":   {provider.ledByMicrosoft, 50020, 401, 0},
		"a relationship that ends this day": {provider.expiring, 0, ok, ok},
	} {
		t.Run(name, func(t *testing.T) {
			p := startHome(t)
			id, seed := p.customers[0].ID, p.app.RefreshTokens[0]
			before := p.redeem(id, seed)
			wantCode(t, "before", before, 0)
			c.change(p, id)

			if rows := p.list(before.token()); rows.status != c.status {
				t.Errorf("an older token: %d %s", rows.status, rows.body)
			}

			after := p.redeem(id, seed)
			wantCode(t, "after", after, c.code)

			if c.code != 0 {
				return
			}

			if rows := p.list(after.token()); rows.status != c.after {
				t.Errorf("alerts: %d %s", rows.status, rows.body)
			}
		})
	}
}

func set(change func(*simulator.Tenant)) func(provider, string) {
	return func(p provider, id string) { p.SetTenant(id, change) }
}

func (p provider) end(id string) { p.EndRelationships(id) }

func (p provider) expiring(id string) {
	p.SetRelationships(id, func(r *simulator.Relationship) { r.Status = "expiring" })
}

func (p provider) ledByMicrosoft(id string) {
	p.SetRelationships(id, func(r *simulator.Relationship) { r.Name = "MLT_x" })
}

func withRoles(roles ...string) func(provider, string) {
	return func(p provider, id string) {
		p.SetRelationships(id, func(r *simulator.Relationship) { r.Roles = roles })
	}
}

func TestCustomersWantASecondFactor(t *testing.T) {
	p := startHome(t, func(c *simulator.Config) { c.Tenants[0].NoMFA = true })
	seed := p.app.RefreshTokens[0]
	wantCode(t, "at a customer", p.redeem(p.customers[0].ID, seed), 50076)
	home := p.redeem(p.home.ID, seed)
	wantCode(t, "at home", home, 0)

	if amr := fmt.Sprint(claimsOf(t, home.token())["amr"]); amr != "[pwd]" {
		t.Errorf("amr %s", amr)
	}

	p.SetTenant(p.home.ID, func(t *simulator.Tenant) { t.NoMFA = false })

	next, err := p.IssueRefreshToken(p.home.ID, p.app.ClientID)
	if err != nil {
		t.Fatal(err)
	}

	a := p.redeem(p.customers[0].ID, next)
	wantCode(t, "after a sign-in with it", a, 0)

	if amr := fmt.Sprint(claimsOf(t, a.token())["amr"]); amr != "[pwd mfa]" {
		t.Errorf("amr %s", amr)
	}
}

func TestACredentialIsTheProvidersEverywhere(t *testing.T) {
	p := startHome(t)
	p.SetApp(p.home.ID, p.app.ClientID, func(a *simulator.App) { a.Secret = "another" })

	for _, c := range append(p.customers, p.home) {
		wantCode(t, c.Name, p.redeem(c.ID, p.app.RefreshTokens[0]), 7000215)
	}
}

// relationships reads all pages of a list.
func (p provider) relationships(access, query string) (rows []any, pages int) {
	p.t.Helper()

	for next := p.APIURL(simulator.Graph) + "/v1.0/tenantRelationships/" + query; next != ""; pages++ {
		a := do(p.t, "GET", next, "", "Authorization", "Bearer "+access)
		if a.status != 200 {
			p.t.Fatalf("%s: %d %s", next, a.status, a.body)
		}

		m := a.json(p.t)
		rows = append(rows, m["value"].([]any)...)
		next, _ = m["@odata.nextLink"].(string)
	}

	return rows, pages
}

func TestRelationshipsAreListedAsAskedFor(t *testing.T) {
	p := startHome(t, func(c *simulator.Config) {
		list := simulator.GenerateHome(30, 0, 1)
		c.Tenants, c.Home, c.RelationshipPage = list, list[0].ID, 10
		c.Relationships = simulator.GenerateRelationships(list, c.Clock())
	})
	access := p.redeem(p.home.ID, p.app.RefreshTokens[0]).token()

	all, pages := p.relationships(access, "delegatedAdminRelationships")
	if len(all) != 43 || pages != 5 {
		t.Errorf("%d relationships in %d pages", len(all), pages)
	}

	text := fmt.Sprint(all...)
	for _, want := range []string{
		"MLT_", "status:terminated", "status:expired", "customer:<nil>", "status:approvalPending",
		"autoExtendDuration:P180D", "autoExtendDuration:PT0S", simulator.RoleSecurityReader,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %.300s", want, text)
		}
	}

	query := "delegatedAdminRelationships?" + url.PathEscape("$filter=status eq 'active' or status eq 'expiring'") +
		"&$select=customer,autoExtendDuration,endDateTime,accessDetails&$top=300"

	active, pages := p.relationships(access, query)
	if len(active) != 34 || pages != 1 || len(active[0].(map[string]any)) != 4 {
		t.Errorf("%d active relationships in %d pages: %v", len(active), pages, active[0])
	}

	if c, _ := p.relationships(access, "delegatedAdminCustomers?$top=300"); len(c) != 30 {
		t.Errorf("%d customers", len(c))
	}

	for _, query := range []string{"$top=301", "$filter=nothing eq 'x'", "$orderby=id", "$expand=customer"} {
		path := "/v1.0/tenantRelationships/delegatedAdminCustomers?" + strings.ReplaceAll(query, " ", "%20")
		if a := p.read(path, access); a.status != 400 {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
}

func TestOnlyTheProviderReadsItsRelationships(t *testing.T) {
	p := startHome(t)
	seed := p.app.RefreshTokens[0]

	const path = "/v1.0/tenantRelationships/delegatedAdminRelationships"

	partner := p.redeemFor(p.home.ID, seed, "https://api.partnercenter.microsoft.com/.default").token()

	home := p.redeem(p.home.ID, seed).token()
	for name, c := range map[string]struct {
		token  string
		status int
	}{
		"no token":              {"", 401},
		"another audience":      {partner, 401},
		"a customer's token":    {p.redeem(p.customers[0].ID, seed).token(), 403},
		"the provider's token":  {home, 200},
		"a token made up by me": {"eyJ.eyJ.x", 401},
	} {
		if a := p.read(path, c.token); a.status != c.status {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}

	p.SetApp(p.home.ID, p.app.ClientID, func(a *simulator.App) { a.Scopes = simulator.SecurityPermissions() })

	if a := p.read(path, p.redeem(p.home.ID, seed).token()); a.status != 403 {
		t.Errorf("without the permission: %d %s", a.status, a.body)
	}
}

func TestANameForATenantID(t *testing.T) {
	p := startHome(t)
	access, c := p.redeem(p.home.ID, p.app.RefreshTokens[0]).token(), p.customers[1]

	const path = "/v1.0/tenantRelationships/findTenantInformationByTenantId"

	a := p.read(path+"(tenantId='"+c.ID+"')", access)
	if a.status != 200 || a.json(t)["displayName"] != c.Name || a.json(t)["defaultDomainName"] != c.Domain {
		t.Errorf("%d %s", a.status, a.body)
	}

	if a := p.read(path+"(tenantId='"+client+"')", access); a.status != 404 {
		t.Errorf("an unknown one: %d %s", a.status, a.body)
	}

	if a := p.read(path+"(tenantId='x')", access); a.status != 400 {
		t.Errorf("not a GUID: %d %s", a.status, a.body)
	}
}

func TestDiscoveryFails(t *testing.T) {
	p := startHome(t)
	access := p.redeem(p.home.ID, p.app.RefreshTokens[0]).token()

	const path = "/v1.0/tenantRelationships/delegatedAdminRelationships"

	for faults, check := range map[string]func(answer) bool{
		"500:api=discovery": func(a answer) bool { return a.status == 500 },
		"429:api=discovery": func(a answer) bool { return a.status == 429 && a.header.Get("Retry-After") == "5" },
		"vanish:api=discovery": func(a answer) bool {
			return a.status == 200 && strings.HasSuffix(a.body, `"value":[]}`)
		},
		"cut:api=discovery": func(a answer) bool { return a.err != nil },
		"500":               func(a answer) bool { return a.status == 200 },
		"500:api=graph":     func(a answer) bool { return a.status == 200 },
	} {
		if err := p.SetFaults(faults); err != nil {
			t.Fatal(err)
		}

		if a := p.read(path, access); !check(a) {
			t.Errorf("%s: %d %v %.200s", faults, a.status, a.err, a.body)
		}
	}
}

// consent asks Partner Center for a consent.
func (p provider) consent(access, customer, application, enterprise, scope string) answer {
	p.t.Helper()

	body := fmt.Sprintf(
		`{"applicationId":%q,"applicationGrants":[{"enterpriseApplicationId":%q,"scope":%q}]}`,
		application, enterprise, scope,
	)

	return do(p.t, "POST", p.APIURL(simulator.Partner)+"/v1/customers/"+customer+"/applicationconsents", body,
		"Authorization", "Bearer "+access, "Content-Type", "application/json")
}

func TestConsentByThePartnerChangesTheCustomer(t *testing.T) {
	p := startHome(t)
	seed, id, app := p.app.RefreshTokens[0], p.customers[0].ID, p.app.ClientID
	partner := p.redeemFor(p.home.ID, seed, "https://api.partnercenter.microsoft.com/.default").token()

	p.RemoveApp(id, app)
	wantCode(t, "before", p.redeem(id, seed), 90099)

	if a := p.consent(partner, id, app, simulator.AppGraph, "SecurityAlert.Read.All"); a.status != 201 {
		t.Errorf("consent: %d %s", a.status, a.body)
	}

	a := p.redeem(id, seed)
	wantCode(t, "after", a, 0)

	if rows := p.list(a.token()); rows.status != 200 {
		t.Errorf("alerts: %d %s", rows.status, rows.body)
	}

	a = p.consent(partner, id, app, simulator.AppGraph, "SecurityAlert.Read.All")
	if a.status != 409 || !strings.Contains(a.body, "Permission entry already exists") {
		t.Errorf("again: %d %s", a.status, a.body)
	}

	wantCode(t, "another resource", p.redeemFor(id, seed, "https://api.securitycenter.microsoft.com/.default"), 65001)

	if a := p.consent(partner, id, app, simulator.AppEndpoint, "Alert.Read"); a.status != 201 {
		t.Errorf("a second consent: %d %s", a.status, a.body)
	}

	wantCode(t, "after it", p.redeemFor(id, seed, "https://api.securitycenter.microsoft.com/.default"), 0)

	for _, code := range []int{90099, 65001, 700016} {
		p.SetTenant(id, func(t *simulator.Tenant) { t.AADSTS = code })

		if a := p.consent(partner, id, app, simulator.AppGraph, "SecurityAlert.Read.All"); a.status != 201 {
			t.Errorf("%d: consent: %d %s", code, a.status, a.body)
		}

		wantCode(t, fmt.Sprint("after ", code), p.redeem(id, seed), 0)
	}
}

func TestConsentIsRefused(t *testing.T) {
	p := startHome(t)
	seed, id, app := p.app.RefreshTokens[0], p.customers[0].ID, p.app.ClientID
	partner := func() string {
		return p.redeemFor(p.home.ID, seed, "https://api.partnercenter.microsoft.com/.default").token()
	}

	const scope = "SecurityAlert.Read.All"

	refused := func(what string, a answer, status int, says string) {
		t.Helper()

		if a.status != status || !strings.Contains(a.body, says) {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	good := partner()
	refused("another application", p.consent(good, id, client, simulator.AppGraph, scope), 403, "not issued to")
	refused("another audience", p.consent(p.redeem(p.home.ID, seed).token(), id, app, simulator.AppGraph, scope), 401,
		"")
	refused("no customer", p.consent(good, client, app, simulator.AppGraph, scope), 404, "")
	refused("no such scope", p.consent(good, id, app, simulator.AppGraph, "Mail.Read"), 400, "Mail.Read")
	p.SetTenant(id, func(t *simulator.Tenant) { t.MissingPrincipals = []string{simulator.AppEndpoint} })
	refused("no service principal", p.consent(good, id, app, simulator.AppEndpoint, "Alert.Read"), 400,
		"service principal")
	p.SetRelationships(id, func(r *simulator.Relationship) { r.Roles = []string{simulator.RoleSecurityReader} })
	refused("without the role", p.consent(good, id, app, simulator.AppGraph, scope), 403, "")
	p.SetTenant(p.home.ID, func(t *simulator.Tenant) { t.NoMFA = true })
	seed, _ = p.IssueRefreshToken(p.home.ID, app)
	refused("without a second factor", p.consent(partner(), id, app, simulator.AppGraph, scope), 401, `"code":900421`)
}

func TestAnAdministratorOfACustomerConsents(t *testing.T) {
	p := startHome(t, func(c *simulator.Config) { c.AutoConsent = true })
	id, seed := p.customers[2].ID, p.app.RefreshTokens[0]
	p.RemoveApp(id, p.app.ClientID)
	wantCode(t, "before", p.redeem(id, seed), 90099)

	a := do(t, "GET", p.LoginURL()+"/"+id+"/adminconsent?client_id="+p.app.ClientID, "")
	if a.status != 302 || !strings.Contains(a.header.Get("Location"), "admin_consent=True") {
		t.Fatalf("%d %s %s", a.status, a.header.Get("Location"), a.body)
	}

	wantCode(t, "after", p.redeem(id, seed), 0)
}

func TestMetadataTellTheCloudOfATenant(t *testing.T) {
	p := startHome(t, func(c *simulator.Config) {
		for i, cloud := range []string{"", "gcc", "gcchigh", "dod"} {
			c.Tenants[1+i].Cloud = cloud
		}
	})
	for i, want := range []string{
		"<nil> microsoftonline.com graph.microsoft.com", "GCC microsoftonline.com graph.microsoft.com",
		"DODCON microsoftonline.us graph.microsoft.us", "DOD microsoftonline.us dod-graph.microsoft.us",
	} {
		m := do(t, "GET", p.LoginURL()+"/"+p.customers[i].Domain+"/v2.0/.well-known/openid-configuration", "").json(t)

		got := fmt.Sprint(m["tenant_region_sub_scope"], " ", m["cloud_instance_name"], " ", m["msgraph_host"])
		if got != want || !strings.Contains(fmt.Sprint(m["issuer"]), p.customers[i].ID) {
			t.Errorf("%s: %s", want, got)
		}
	}
}

func TestACustomerIsAddedWhileItRuns(t *testing.T) {
	p := startHome(t)

	n := simulator.Tenant{ID: fabrikam, Name: "fabrikam", Apps: []simulator.App{
		{ClientID: p.app.ClientID, Scopes: simulator.SecurityPermissions(), Roles: []string{}},
	}}
	if err := p.AddCustomer(n); err != nil {
		t.Fatal(err)
	}

	wantCode(t, "the new one", p.redeem(fabrikam, p.app.RefreshTokens[0]), 0)

	access := p.redeem(p.home.ID, p.app.RefreshTokens[0]).token()
	if list, _ := p.relationships(access, "delegatedAdminCustomers"); len(list) != 5 {
		t.Errorf("%d customers", len(list))
	}
}

// claimsOf are the claims of an access token.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()

	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no token", token)
	}

	b, err := base64.RawURLEncoding.DecodeString(parts[1])

	var m map[string]any
	if err == nil {
		err = json.Unmarshal(b, &m)
	}

	if err != nil {
		t.Fatal(err)
	}

	return m
}
