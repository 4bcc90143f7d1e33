package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/partner"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// providerKeys are the keys of a provider's own side that commands take as flags.
var providerKeys = map[string]string{
	"home_tenant_id": "the provider's own tenant, whose sign-in reaches all customers: GUID",
	"graph_url": "Microsoft Graph, where the customers are listed, scheme://host:port " +
		"(default from --cloud)",
	"partner_url": "Partner Center, where consent is given, scheme://host:port " +
		"(default " + cloud.PartnerURL + ")",
}

// homeKeys makes the keys of a sign-in in the provider's own tenant complete. What is
// about one API does not go with it.
func homeKeys(keys config.Map) error {
	for _, key := range []string{"tenant_id", "region", "resource"} {
		if keys[key] != "" {
			return usagef("--home-tenant-id and %s do not go together: the sign-in serves all customers and APIs",
				flagName(key))
		}
	}

	keys["tenant_id"] = keys["home_tenant_id"]
	keys["api"] = string(alert.Graph)

	return nil
}

// atHome returns a tenant as its provider's own, which is asked for Microsoft Graph.
func atHome(t config.Tenant) config.Tenant {
	if t.TenantID != t.HomeTenantID {
		t.TenantID = t.HomeTenantID
		t.TenantName = string(t.HomeTenantID)
	}

	t.API = alert.Graph
	t.Region = ""

	// The table of hosts has a row for it in each cloud.
	t.Endpoint, _ = cloud.Lookup(t.Cloud, alert.Graph, "")
	t.Endpoint.LoginURL = t.LoginURL
	t.APIURL = t.GraphURL
	t.Resource = t.Endpoint.Resource

	return t
}

// whom says who is to sign in.
func whom(app tokens.App) string {
	if app.Home != "" {
		return fmt.Sprintf("a user of your own tenant %s who reaches the customers (GDAP or guest), "+
			"and with multi-factor authentication", app.TenantID)
	}

	return fmt.Sprintf("a user of %s who may see its alerts", app.TenantID)
}

// whose says whose user has to sign in.
func whose(t config.Tenant) string {
	if t.HomeTenantID != "" {
		return "the provider's own tenant"
	}

	return "the customer's tenant, or a guest there"
}

// homeReport is what a sign-in in the provider's own tenant is good for, as --json
// prints it.
type homeReport struct {
	// MFA is "yes", "no" or "unknown".
	MFA string `json:"mfa"`
	// Discovery and Consent are "ok", "refused" or "failed".
	Discovery        string `json:"discovery"`
	DiscoveryProblem string `json:"discovery_problem,omitempty"`
	Consent          string `json:"consent"`
	ConsentProblem   string `json:"consent_problem,omitempty"`
	// Customers are those that were found, Consentable those for which the user may
	// consent.
	Customers   int `json:"customers"`
	Consentable int `json:"consentable"`
}

// tryHome finds out what a sign-in in the provider's own tenant can be used for. It is
// not a failure if something is not possible: customers can be listed by hand, and they
// can consent themselves.
func (a *acquisition) tryHome(
	ctx context.Context,
	t config.Tenant,
	client *http.Client,
	s store.Store,
	access tokens.Access,
	r *acquired,
) {
	done := a.c.progress(func() string { return "asking " + t.GraphURL + " for customers" })
	defer done()

	home := &homeReport{MFA: multiFactor(access)}
	r.Home = home
	r.Answer = "ok"

	ask := partner.New(partner.Settings{
		GraphURL:   t.GraphURL,
		PartnerURL: t.PartnerURL,
		LoginURL:   t.LoginURL,
		HTTP:       client,
		Graph:      onlyToken{access},
		Timeout:    t.HTTPTimeout,
		Now:        a.c.Now,
	})

	customers, err := ask.Customers(ctx)
	home.Discovery, home.DiscoveryProblem = outcomeOf(err)

	for i := range customers {
		home.Customers++

		if customers[i].CanConsent() {
			home.Consentable++
		}
	}

	home.Consent, home.ConsentProblem = outcomeOf(a.tryPartner(ctx, t, client, s))

	if home.MFA == "no" && home.Consent == "ok" {
		home.Consent = "refused"
		home.ConsentProblem = "Partner Center takes no sign-in without multi-factor authentication"
	}

	if home.MFA == "no" {
		a.c.say("warning: the sign-in had no multi-factor authentication: customers and Partner Center ask for it. " +
			"Require it for the user (conditional access), then sign in again")
	}
}

// tryPartner gets an access token for Partner Center.
func (a *acquisition) tryPartner(ctx context.Context, t config.Tenant, client *http.Client, s store.Store) error {
	keeper := a.c.keeper(s)
	parts := wiring.Parts{
		Tenant: &t,
		HTTP:   client,
		Now:    a.c.Now,
		Log:    logs.Discard(),
	}

	source, err := parts.HomeSource(keeper, cloud.PartnerURL)
	if err != nil {
		return err
	}

	_, err = source.Token(ctx)

	return errors.Join(err, unsaved(ctx, keeper))
}

// multiFactor says whether a sign-in had multi-factor authentication, as its access token
// has it.
func multiFactor(access tokens.Access) string {
	claims, err := tokens.Inspect(access.Token)

	switch {
	case err != nil || len(claims.Amr) == 0:
		return "unknown"
	case slices.Contains(claims.Amr, "mfa"):
		return "yes"
	}

	return "no"
}

// outcomeOf returns the outcome of a request, and its problem if it failed.
func outcomeOf(err error) (outcomeText, problem string) {
	if err == nil {
		return "ok", ""
	}

	return outcome(err), err.Error()
}

// print prints the report with row, which prints a line of a table.
func (h *homeReport) print(row func(name, format string, args ...any)) {
	row("multi-factor", "%s", map[string]string{
		"yes":     "yes",
		"no":      "no: customers and Partner Center will refuse this sign-in",
		"unknown": "the access token does not say",
	}[h.MFA])

	if h.Discovery == "ok" {
		row("discovery", "possible: %s", customersOf(h.Customers))
	} else {
		row("discovery", "not possible: %s", h.DiscoveryProblem)
	}

	switch {
	case h.Consent != "ok":
		row("consent", "not possible by Partner Center: %s; administrators of the customers can consent with a link",
			h.ConsentProblem)
	case h.Discovery == "ok" && h.Consentable < h.Customers:
		row("consent", "possible for %d of %s; the relationships with %d lack the role Cloud Application Administrator",
			h.Consentable, customersOf(h.Customers), h.Customers-h.Consentable)
	default:
		row("consent", "possible")
	}
}

// customersOf returns a number of customers in words.
func customersOf(n int) string {
	if n == 1 {
		return "1 customer"
	}

	return fmt.Sprintf("%d customers", n)
}
