package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// controlPage is where people and scripts look at a provider's customers and change
// them while the simulator runs. Microsoft has nothing like it.
const controlPage = "/simulator"

// StatesHelp explains the states of SetState, for the help of a command.
const StatesHelp = `ok           all is well
90099        or another AADSTS code: the customer's token endpoint refuses with it; a consent ends
             90099, 700016, 65001 and the like
unconsented  the application has no service principal there, as in a new customer
ended        the relationship is terminated
guest        the provider's user is also a guest there, which excludes the relationship
gone         the tenant does not exist any more
forbidden    the APIs answer 403
norole       access tokens have no permission
noreader     the relationship lacks the role Security Reader
dead         at the provider's own tenant: its refresh tokens are revoked
nomfa        at the provider's own tenant: sign-ins are without a second factor`

// ErrState is returned for a state of StatesHelp that does not exist or fit, and for a
// tenant that does not exist.
var ErrState = errors.New("state")

// SetState puts a tenant, found by its id, domain or name, into a state of StatesHelp.
// Its access tokens end, and those of all customers when it is the provider's own, so
// that the state shows at the next poll.
func (s *Simulator) SetState(name, state string) error {
	t := s.named(name)
	if t == nil {
		return fmt.Errorf("%w: there is no tenant %q", ErrState, name)
	}

	change, ok := states[state]
	if !ok {
		code, err := strconv.Atoi(state)
		if err != nil || code <= 0 {
			return fmt.Errorf("%w: %q is none; there are AADSTS codes and %s",
				ErrState, state, strings.Join(sortedKeys(states), ", "))
		}

		change = func(s *Simulator, id string) {
			s.SetTenant(id, func(t *Tenant) { t.AADSTS = code })
		}
	}

	s.mu.Lock()
	home := t == s.home
	s.mu.Unlock()

	if ofHome := state == "dead" || state == "nomfa"; ofHome != home && state != "ok" && ok {
		return fmt.Errorf("%w: %q does not fit the tenant %q", ErrState, state, name)
	}

	change(s, t.ID)

	ended := []string{t.ID}
	if home {
		ended = s.TenantIDs()
	}

	for _, id := range ended {
		s.EndAccessTokens(id)
	}

	return nil
}

// named finds a tenant by id, domain or name, those that are gone too.
func (s *Simulator) named(name string) *tenant {
	s.mu.Lock()
	defer s.mu.Unlock()

	if t := s.byName[strings.ToLower(name)]; t != nil {
		return t
	}

	i := slices.IndexFunc(s.tenants, func(t *tenant) bool { return strings.EqualFold(t.Name, name) })
	if i < 0 {
		return nil
	}

	return s.tenants[i]
}

// tenantState returns a change of a tenant's settings.
func tenantState(change func(*Tenant)) func(*Simulator, string) {
	return func(s *Simulator, id string) { s.SetTenant(id, change) }
}

// states are the states with a name.
var states = map[string]func(s *Simulator, tenantID string){
	"ok":          (*Simulator).heal,
	"unconsented": func(s *Simulator, id string) { s.RemoveApp(id, s.homeClient()) },
	"ended":       (*Simulator).EndRelationships,
	"guest":       tenantState(func(t *Tenant) { t.Guest = true }),
	"gone":        func(s *Simulator, id string) { s.SetTenantGone(id, true) },
	"forbidden":   tenantState(func(t *Tenant) { t.Forbidden = true }),
	"norole":      tenantState(func(t *Tenant) { t.NoRole = true }),
	"noreader": func(s *Simulator, id string) {
		s.SetRelationships(id, func(r *Relationship) { r.Roles = []string{RoleCloudAppAdministrator} })
	},
	"dead":  func(s *Simulator, id string) { s.RevokeRefreshTokens(id, 50173) },
	"nomfa": tenantState(func(t *Tenant) { t.NoMFA = true }),
}

// homeClient returns the client id of the provider's application.
func (s *Simulator) homeClient() string {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.home == nil || len(s.home.Apps) == 0 {
		return ""
	}

	return s.home.Apps[0].ClientID
}

// heal makes all well in a tenant.
func (s *Simulator) heal(id string) {
	s.SetTenantGone(id, false)
	s.SetTenant(id, func(t *Tenant) {
		t.AADSTS = 0
		t.Guest, t.Forbidden, t.NoRole, t.NoMFA = false, false, false, false
	})
	s.SetRelationships(id, func(r *Relationship) {
		if r.Status == "terminated" && !strings.HasPrefix(r.Name, "Old ") {
			r.Status = "active"
		}

		if !hasRole([]*Relationship{r}, readingRoles) {
			r.Roles = append(slices.Clone(r.Roles), RoleSecurityReader)
		}
	})

	s.mu.Lock()
	defer s.mu.Unlock()

	if t := s.byName[strings.ToLower(id)]; s.customer(t) && len(s.home.Apps) > 0 {
		s.grantConsent(t, &s.home.Apps[0], SecurityPermissions())
	}
}

// AddGenerated adds a customer of that name to those of GenerateHome, with alerts. Its
// application has no consent yet.
func (s *Simulator) AddGenerated(name string, alerts int) (tenantID string, err error) {
	if s.named(name) != nil {
		return "", fmt.Errorf("simulator: there is a tenant %q already", name)
	}

	t := Tenant{
		ID:             guid(random(s.cfg.Seed, "added", name)),
		Domain:         strings.ToLower(strings.ReplaceAll(name, " ", "-")) + ".example",
		Name:           name,
		MSSPAuthorised: true,
		Generated:      alerts,
	}

	return t.ID, s.AddCustomer(t)
}

// control answers the control page: GET tells the customers and what was asked of the
// token endpoints, POST with tenant and state changes one, POST with add adds one.
func (s *Simulator) control(x *exchange) {
	x.kind = "other"

	if x.r.Method != http.MethodPost {
		s.controlState(x)
		return
	}

	body, err := readAll(x.r.Body, 1<<16)

	form, formErr := url.ParseQuery(string(body))
	if err != nil || formErr != nil {
		x.plainText(http.StatusBadRequest, "the body is not a form")
		return
	}

	if add := form.Get("add"); add != "" {
		_, err = s.AddGenerated(add, 20)
	} else {
		err = s.SetState(form.Get("tenant"), form.Get("state"))
	}

	if err != nil {
		x.plainText(http.StatusBadRequest, err.Error())
		return
	}

	x.plainText(http.StatusOK, "done")
}

// plainText answers with a line of text.
func (x *exchange) plainText(status int, text string) {
	x.html(status, text+"\n")
	x.header.Set("Content-Type", "text/plain; charset=utf-8")
}

// controlState answers with a JSON object: the provider's tenant, what was asked of the
// token endpoints, and the customers.
func (s *Simulator) controlState(x *exchange) {
	ledger := s.TokenRequests()
	now := s.cfg.Clock()

	s.mu.Lock()
	defer s.mu.Unlock()

	o := object{}
	o.open()
	o.text("home_tenant_id", s.home.ID)
	o.nested("token_requests", func(o *object) {
		o.int("total", int64(len(ledger)))
		o.int("most_in_a_second", int64(ledger.MostWithin(time.Second)))
		o.int("redeemed_at_home", int64(len(ledger.Redeemed(true))))
		o.int("redeemed_at_customers", int64(len(ledger.Redeemed(false))))
	})

	customers := slices.DeleteFunc(slices.Clone(s.tenants), func(t *tenant) bool { return t == s.home })
	o.list("customers", len(customers), func(o *object, i int) {
		t := customers[i]
		o.text("tenant_id", t.ID)
		o.text("tenant_name", t.Name)
		o.int("aadsts", int64(t.AADSTS))
		o.raw("consent", strconv.FormatBool(len(s.home.Apps) > 0 && t.app(s.home.Apps[0].ClientID) != nil))

		related := s.related(t)
		o.raw("relationship", strconv.FormatBool(len(related) > 0))
		o.raw("reads", strconv.FormatBool(hasRole(related, readingRoles) && t.lets()))

		if len(related) > 0 {
			last := slices.MaxFunc(related, func(a, b *Relationship) int { return a.End.Compare(b.End) })
			o.int("days_left", int64(last.End.Sub(now)/(24*time.Hour)))
		}
	})
	o.close()
	x.json(http.StatusOK, o.b)
}

// lets reports whether no setting of a customer keeps the provider out.
func (t *tenant) lets() bool {
	return !t.Guest && !t.Forbidden && !t.NoRole && !t.gone && t.AADSTS == 0
}

// HomeConfig returns a classic Fluent Bit configuration with one [INPUT] that reads all
// customers of a provider with one sign-in, and the tenants file that belongs to it.
func (s *Simulator) HomeConfig(o ConfigOptions) (conf, tenants string, err error) {
	s.mu.Lock()
	home := s.home
	s.mu.Unlock()

	api := cmp.Or(o.API, Graph)
	if home == nil || s.APIURL(api) == "" {
		return "", "", fmt.Errorf("simulator: there is no home, or no API %q, or it has not been started", api)
	}

	app := home.Apps[0]

	seed := ""
	if len(app.RefreshTokens) > 0 && !o.WithoutToken {
		seed = app.RefreshTokens[0]
	}

	var b strings.Builder

	o.writeService(&b)
	writeSection(&b, "INPUT", [][2]string{
		{"Name", "defender"},
		{"Tag", "defender.customers"},
		{"Threaded", "Off"},
		{"storage.type", "filesystem"},
		{"home_tenant_id", home.ID},
		{"client_id", app.ClientID},
		{"client_secret", app.Secret},
		{"refresh_token", seed},
		{"api", api},
		{"tenants_file", cmp.Or(o.TenantsFile, DefaultTenantsFile)},
		{"login_url", s.LoginURL()},
		{"api_url", s.APIURL(api)},
		{"graph_url", s.APIURL(Graph)},
		{"partner_url", s.APIURL(Partner)},
		{"poll_interval", cmp.Or(o.PollInterval, 10*time.Second).String()},
		{"data_dir", cmp.Or(o.DataDir, "./defender-data")},
	})
	o.writeOutput(&b)

	return b.String(), s.tenantsText(o), nil
}

// DefaultTenantsFile is the tenants file that HomeConfig names if none is given, and
// TenantsFileMark its first line.
const (
	DefaultTenantsFile = "./defender-tenants.yaml"
	TenantsFileMark    = "# Written by defenderctl simulate --home."
)

// tenantsText returns the tenants file: discovery, or all customers that there are.
func (s *Simulator) tenantsText(o ConfigOptions) string {
	var b strings.Builder

	b.WriteString(TenantsFileMark + "\n")

	if !o.Listed {
		b.WriteString("discover:\n  from: gdap\n  every: 1m\n  defaults:\n    tag: defender.{tenant_name}\n")
		return b.String()
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	b.WriteString("tenants:\n")

	for _, t := range s.tenants {
		if t != s.home {
			name := cmp.Or(t.Name, t.Domain, t.ID)
			fmt.Fprintf(&b, "  - tenant_id: %s\n    tenant_name: %q\n    tag: %q\n", t.ID, name, "defender."+name)
		}
	}

	return b.String()
}
