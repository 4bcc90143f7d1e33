package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Partner and Discovery name Microsoft's Partner Center and the lists of a provider's
// customers at Microsoft Graph (tenantRelationships), as the faults' option `api` and
// the statistics have them. Graph serves the lists; Partner Center has an address of its
// own, when [Config].Home is set.
const (
	Partner   = "partner"
	Discovery = "discovery"
)

// The roles of a relationship that matter (entra-docs, permissions-reference.md): who
// has one of the first three may read alerts, who has one of the last two may consent.
const (
	RoleSecurityReader        = "5d6b6bb7-de71-4623-b4af-96380a352509"
	RoleSecurityOperator      = "5f2222b1-57c3-48ba-8ad5-d4759f1fde6f"
	RoleSecurityAdministrator = "194ae4cb-b126-40b2-bd5b-6091b380977d"
	RoleCloudAppAdministrator = "158c047a-c907-4556-b7ef-446551a6b5f7"
	RoleAppAdministrator      = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
)

var (
	readingRoles    = []string{RoleSecurityReader, RoleSecurityOperator, RoleSecurityAdministrator}
	consentingRoles = []string{RoleCloudAppAdministrator, RoleAppAdministrator}
)

// Relationship is granular delegated admin privileges (GDAP) of the provider at one
// customer.
type Relationship struct {
	// ID is made if it is empty.
	ID string
	// Name is its display name, "SOC" and the customer's name if empty. One that begins
	// with MLT_ is led by Microsoft and grants the provider nothing.
	Name string
	// Customer is the GUID of the customer; empty for one that nobody has accepted yet.
	Customer string
	// CustomerName is the tenant's Name if empty.
	CustomerName string
	// Status is active if empty.
	Status string
	// End is in a year if zero. An active relationship whose end has passed shows as
	// expired.
	End time.Time
	// AutoExtend says that it is extended by 180 days at its end.
	AutoExtend bool
	// Roles are role definition ids; Security Reader and Cloud Application
	// Administrator if nil.
	Roles []string
}

// statusAt returns the status that is shown at a moment.
func (r *Relationship) statusAt(now time.Time) string {
	if (r.Status == "active" || r.Status == "expiring") && !now.Before(r.End) {
		return "expired"
	}

	return r.Status
}

// grants reports whether the relationship grants access to a customer at a moment.
func (r *Relationship) grants(customer string, now time.Time) bool {
	status := r.statusAt(now)

	return r.Customer == customer && (status == "active" || status == "expiring") &&
		!strings.HasPrefix(r.Name, "MLT_")
}

// setHome makes the provider's tenant known, which must have been added.
func (s *Simulator) setHome(name string) error {
	if name == "" {
		return nil
	}

	s.home = s.byName[strings.ToLower(name)]
	if s.home == nil {
		return fmt.Errorf("simulator: Home is %q: there is no such tenant", name)
	}

	return nil
}

// AddRelationship adds a relationship and returns its id.
func (s *Simulator) AddRelationship(r Relationship) string {
	now := s.cfg.Clock()

	s.mu.Lock()
	defer s.mu.Unlock()

	r.Customer = strings.ToLower(r.Customer)
	if t := s.byName[r.Customer]; t != nil && r.CustomerName == "" {
		r.CustomerName = first(t.Name, t.Domain, t.ID)
	}

	if r.ID == "" {
		n := random(s.cfg.Seed, "relationship", len(s.relationships))
		r.ID = guid(n) + "-" + guid(n)
	}

	if r.End.IsZero() {
		r.End = now.AddDate(1, 0, 0)
	}

	if r.Roles == nil {
		r.Roles = []string{RoleSecurityReader, RoleCloudAppAdministrator}
	}

	r.Name = first(r.Name, "SOC "+r.CustomerName)
	r.Status = first(r.Status, "active")
	s.relationships = append(s.relationships, &r)

	return r.ID
}

// SetRelationships changes the relationships to a customer. What is changed counts at
// once, for access tokens that were issued before too.
func (s *Simulator) SetRelationships(tenantID string, change func(*Relationship)) {
	t := s.mustTenant(tenantID)
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, r := range s.relationships {
		if r.Customer == t.ID {
			change(r)
		}
	}
}

// EndRelationships terminates the relationships to a customer: AADSTS50020 from then on,
// and access tokens of the provider's chain end there.
func (s *Simulator) EndRelationships(tenantID string) {
	s.SetRelationships(tenantID, func(r *Relationship) { r.Status = "terminated" })
}

// Relationships returns the relationships, in the order in which they are listed.
func (s *Simulator) Relationships() []Relationship {
	s.mu.Lock()
	defer s.mu.Unlock()

	list := make([]Relationship, 0, len(s.relationships))
	for _, r := range s.relationships {
		list = append(list, *r)
	}

	return list
}

// AddCustomer adds a tenant in which the provider's application has consent, and an
// active relationship to it.
func (s *Simulator) AddCustomer(t Tenant) error {
	if err := s.AddTenant(t); err != nil {
		return err
	}

	s.AddRelationship(Relationship{Customer: t.ID, AutoExtend: true})

	return nil
}

// Consented returns the delegated permissions that have consent in a tenant for an
// application. It reports false if the application has no service principal there.
func (s *Simulator) Consented(tenantID, clientID string) (scopes []string, ok bool) {
	t := s.mustTenant(tenantID)
	s.mu.Lock()
	defer s.mu.Unlock()

	a := t.app(clientID)
	if a == nil {
		return nil, false
	}

	return slices.Clone(a.Scopes), true
}

// customer reports whether a tenant is a customer of the provider. The caller holds s.mu.
func (s *Simulator) customer(t *tenant) bool { return s.home != nil && t != s.home }

// related returns the relationships that grant access to a tenant now. The caller holds
// s.mu.
func (s *Simulator) related(t *tenant) (list []*Relationship) {
	now := s.cfg.Clock()

	for _, r := range s.relationships {
		if r.grants(t.ID, now) {
			list = append(list, r)
		}
	}

	return list
}

// hasRole reports whether one of the relationships has one of the roles.
func hasRole(list []*Relationship, roles []string) bool {
	return slices.ContainsFunc(list, func(r *Relationship) bool {
		return slices.ContainsFunc(r.Roles, func(id string) bool { return slices.Contains(roles, id) })
	})
}

// registration returns the application as it is registered: the provider's in its own
// tenant, others where Config.Apps or the tenant t has them. It returns nil if nobody
// knows it. The caller holds s.mu.
func (s *Simulator) registration(t *tenant, client string) *App {
	if s.home != nil {
		if a := s.home.app(client); a != nil {
			return a
		}
	}

	if a := t.app(client); a != nil {
		return a
	}

	return s.foreign[strings.ToLower(client)]
}

// unknownApp returns the refusal of an application without a service principal in the
// tenant. A partner's user is told so in other words. The caller holds s.mu.
func (in *signIn) unknownApp() *refusal {
	rt := in.x.sim.refresh[in.form.Get("refresh_token")]
	if in.x.sim.customer(in.tenant) && rt != nil && rt.tenant == in.x.sim.home {
		return refused(90099)
	}

	return refused(700016)
}

// admission returns why a customer does not let the provider's user in, nil if it does.
// The caller holds s.mu.
func (in *signIn) admission(rt *refreshToken) *refusal {
	s := in.x.sim

	switch {
	case rt.tenant == in.tenant || !s.customer(in.tenant) || rt.tenant != s.home:
		return nil
	case in.tenant.Guest == (len(s.related(in.tenant)) > 0):
		return refused(50020)
	case !rt.grant.mfa:
		return refused(50076)
	}

	return nil
}

// misplaced returns the refusal of a refresh token that a customer gave, at another
// tenant; nil if it is none. The caller holds s.mu.
func (in *signIn) misplaced(rt *refreshToken) *refusal {
	s := in.x.sim
	if s.home == nil || rt.tenant == s.home || rt.tenant == in.tenant {
		return nil
	}

	s.stats.count(func(c *Stats) { c.Misplaced++ })

	return refused(70000)
}

// abroad answers the redemption of the provider's refresh token at a customer. The
// token is not rotated. The one in the answer is of no use elsewhere. The caller holds
// s.mu.
func (in *signIn) abroad(rt *refreshToken, t *accessToken, g *grant) []byte {
	for p := rt.parent; p != nil && !p.inherited; p = p.parent {
		p.inherited = true
	}

	t.provider = true

	if in.tenant.NoRole {
		t.granted, t.others = nil, nil
	}

	return in.answer(t, g, in.x.sim.successor(in, g, nil), g.idToken)
}

// providerProblem returns why a customer's data are refused to the provider; a status of
// 0 if they are not. The caller holds s.mu.
func (s *Simulator) providerProblem(t *accessToken) (status int, message string) {
	switch {
	case t == nil:
		return 0, ""
	case t.tenant.Forbidden, t.tenant.NoRole && t.provider:
		return http.StatusForbidden, "User does not have the required permissions."
	case !t.provider:
		return 0, ""
	}

	switch list := s.related(t.tenant); {
	case t.tenant.Guest && len(list) == 0:
		return 0, ""
	case len(list) == 0 || t.tenant.Guest:
		return http.StatusUnauthorized, "Continuous access evaluation resulted in challenge with result: " +
			"InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp."
	case !hasRole(list, readingRoles):
		return http.StatusForbidden, "User does not have the required role in the tenant."
	}

	return 0, ""
}

// consentCodes are what a tenant refuses with as long as consent is missing.
var consentCodes = []int{90099, 700016, 65001, 650051, 65002, 65004}

// grantConsent grants an application delegated permissions in a tenant, in addition to
// those that it has there. A partner's consent does not include app-only access. The
// caller holds s.mu.
func (s *Simulator) grantConsent(t *tenant, registered *App, scopes []string) {
	a := t.app(registered.ClientID)
	if a == nil {
		t.Apps = append(t.Apps, App{
			ClientID: registered.ClientID,
			Public:   registered.Public,
			SPA:      registered.SPA,
			Roles:    []string{},
			Scopes:   []string{},
		})
		a = &t.Apps[len(t.Apps)-1]
	}

	for _, scope := range scopes {
		if !slices.Contains(a.Scopes, scope) {
			a.Scopes = append(slices.Clone(a.Scopes), scope)
		}
	}

	if slices.Contains(consentCodes, t.AADSTS) {
		t.AADSTS = 0
	}
}

// validRelationships returns what is wrong with the relationships of a configuration.
func validRelationships(cfg *Config) error {
	if len(cfg.Relationships) > 0 && cfg.Home == "" {
		return errors.New("simulator: Relationships need Home, the provider's tenant")
	}

	return nil
}

// SecurityPermissions returns the delegated permissions that a provider's application
// needs at a customer, for all APIs.
func SecurityPermissions() []string {
	return []string{
		"SecurityAlert.Read.All",
		"SecurityIncident.Read.All",
		"Alert.Read",
		"Incident.Read",
		"user_impersonation",
	}
}

// homePermissions are those that it needs in the provider's tenant besides.
var homePermissions = []string{"DelegatedAdminRelationship.Read.All", "CrossTenantInformation.ReadBasic.All"}

// GenerateHome makes a provider's tenant, which is the first, and n customers that it
// reaches with one sign-in, with the number of alerts in each. It is for Config.Tenants;
// Config.Home is the first tenant's ID. The relationships are those of
// [GenerateRelationships]. The application has the same client id everywhere, and its
// secret and its refresh token at home.
func GenerateHome(n, alertsPerTenant int, seed uint64) []Tenant {
	list := Generate(n+1, alertsPerTenant, seed)

	home := &list[0]
	home.Name, home.Domain, home.User = "provider", "provider.example", "soc@provider.example"
	home.Generated = 0

	home.Apps[0].Scopes = append(SecurityPermissions(), homePermissions...)
	home.Apps[0].Roles = []string{}

	for i := range list[1:] {
		t := &list[1+i]
		t.Apps = []App{{ClientID: home.Apps[0].ClientID, Scopes: SecurityPermissions(), Roles: []string{}}}
	}

	return list
}

// GenerateRelationships returns an active relationship to each customer, for
// Config.Relationships, and some that grant nothing: led by Microsoft, terminated,
// expired, not accepted yet. Every tenth ends within a month without being extended.
func GenerateRelationships(tenants []Tenant, now time.Time) (list []Relationship) {
	for i, t := range tenants[1:] {
		r := Relationship{Customer: t.ID, AutoExtend: true, End: now.AddDate(0, 0, 200+i%500)}
		if i%10 == 9 {
			r.AutoExtend, r.End = false, now.AddDate(0, 0, 20)
		}

		list = append(list, r)

		switch i % 7 {
		case 2:
			list = append(list, Relationship{Customer: t.ID, Name: "MLT_" + t.Name + "_Microsoft"})
		case 4:
			list = append(list, Relationship{Customer: t.ID, Name: "Old SOC " + t.Name, Status: "terminated"})
		case 6:
			list = append(list, Relationship{Customer: t.ID, Name: "First SOC " + t.Name, End: now.AddDate(0, -1, 0)})
		}
	}

	return append(list, Relationship{Name: "SOC for a customer to be", Status: "approvalPending"})
}
