package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cli/lint"
	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/partner"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// homeVisit is the live check of a provider's own sign-in, as --json prints it.
type homeVisit struct {
	HomeTenantID alert.TenantID `json:"home_tenant_id"`
	ClientID     alert.ClientID `json:"client_id"`
	// SignIn and Customers are "ok", "failed", "refused", or empty where it did not come
	// to that: the sign-in, and the list of customers.
	SignIn    string `json:"sign_in"`
	Customers string `json:"customers"`
	Listed    int    `json:"listed"`
	// MFA is "yes", "no" or "unknown".
	MFA     string `json:"mfa,omitempty"`
	Problem string `json:"problem,omitempty"`
	Warning string `json:"warning,omitempty"`
	Code    int    `json:"exit_code"`

	list      []partner.Customer
	customers map[alert.TenantID]*partner.Customer
	// gone are customers whom an input polls although they are not in the list.
	gone map[alert.TenantID]*partner.KnownCustomer
}

// homeOf is what tells one provider's sign-in from another.
type homeOf struct {
	tokens.ChainKey
	graphURL string
}

func homeKeyOf(t config.Tenant) homeOf {
	return homeOf{wiring.Application(&t, logs.Discard()).ChainKey(), t.GraphURL}
}

// visitHomes signs in once for each provider of the inputs, and lists its customers.
func (c *cli) visitHomes(ctx context.Context, inputs []lint.Input, open *stores) map[homeOf]*homeVisit {
	homes := map[homeOf]*homeVisit{}

	for _, in := range inputs {
		for _, t := range in.Examples() {
			if t.HomeTenantID == "" {
				continue
			}

			key := homeKeyOf(t)
			if homes[key] == nil {
				homes[key] = &homeVisit{HomeTenantID: t.HomeTenantID, ClientID: t.ClientID}
				homes[key].run(ctx, c, t, placeOf(in.Input), open)
			}

			if in.Discovery != nil {
				homes[key].requireList()
			}
		}
	}

	return homes
}

// run signs in at home and lists the customers. What is wrong with the sign-in is said
// for each tenant that uses it; here only what nobody else says.
func (h *homeVisit) run(ctx context.Context, c *cli, t config.Tenant, at place, open *stores) {
	c.noteStore(&t, at)

	_, keeper, err := open.get(ctx, at)
	if err != nil {
		h.fail(err, "failed")
		return
	}

	parts, err := c.parts(t, logs.Discard())
	if err != nil {
		h.fail(err, "failed")
		return
	}

	ask, source, err := parts.Partner(keeper)
	if err != nil {
		h.fail(err, "failed")
		return
	}

	access, err := source.Token(ctx)
	if err != nil {
		h.fail(err, outcome(err))
		return
	}

	h.SignIn, h.MFA = "ok", multiFactor(access)
	if h.MFA == "no" {
		h.Warning = "the sign-in had no multi-factor authentication (MFA): Partner Center refuses it, and so do " +
			"customers whose policies ask for it; require MFA for the user, then sign in again: " +
			wiring.Application(&t, logs.Discard()).Acquire()
		h.Code = exitFailed
	}

	list, err := ask.Customers(ctx)

	h.Customers = "ok"
	if err != nil {
		h.Customers, h.Problem = outcome(err), err.Error()
	}

	h.list = list
	h.Listed = len(list)
	h.customers = map[alert.TenantID]*partner.Customer{}

	for i := range list {
		h.customers[list[i].TenantID] = &list[i]
	}
}

// fail records that the sign-in did not succeed. signIn is "refused" or "failed".
func (h *homeVisit) fail(err error, signIn string) {
	h.Problem = err.Error()
	h.Code = exitCode(err)
	h.SignIn = signIn
}

// requireList makes a missing list of customers a failure, for an input with discovery.
// For other inputs the list only adds to what is known.
func (h *homeVisit) requireList() {
	switch {
	case h.Customers == "refused":
		h.Code = worst(h.Code, exitNotAuthorised)
	case h.Customers == "failed", h.Customers == "ok" && h.Listed == 0:
		h.Code = worst(h.Code, exitFailed)
	}

	if h.Customers == "ok" && h.Listed == 0 {
		h.Problem = noCustomers + "; check home_tenant_id and the user who signed in"
	}
}

// tenantsOf returns the tenants of an input: those that its configuration lists, and
// the customers that discovery adds to them, as they would be if the input read the
// list now. Wrong settings of these are reported as the problem of home.
func (c *cli) tenantsOf(
	ctx context.Context, in lint.Input, homes map[homeOf]*homeVisit, set *settings,
) []config.Tenant {
	if in.Discovery == nil {
		return in.Tenants
	}

	home := homes[homeKeyOf(in.Discovery.Home)]
	if home == nil {
		return in.Tenants
	}

	known, err := c.knownCustomers(ctx, in.Input)
	if home.Customers == "ok" && len(home.list) > 0 { // else the input goes on with what it knows
		keeps := func(k *partner.KnownCustomer) bool {
			return in.Discovery.Keeps(config.Customer{TenantID: k.TenantID, Name: k.Name})
		}
		known, _ = known.Update(home.list, c.Now(), keeps)
	}

	home.noteGone(known)

	found, fault := tenantsOfKnown(in.Discovery, known)
	err = errors.Join(err, fault)

	for i := range found {
		err = errors.Join(err, set.override(ctx, &found[i]))
	}

	if err != nil {
		home.Problem, home.Code = err.Error(), worst(home.Code, exitFailed)
	}

	return append(in.Tenants[:len(in.Tenants):len(in.Tenants)], found...)
}

// noteGone records which of the known customers are gone.
func (h *homeVisit) noteGone(known partner.Known) {
	h.gone = map[alert.TenantID]*partner.KnownCustomer{}

	for i := range known.Customers {
		if customer := &known.Customers[i]; customer.Gone() {
			h.gone[customer.TenantID] = customer
		}
	}
}

// lacksRelationship says that a customer is gone, unless the sign-in was refused, which
// says more.
func (v *visit) lacksRelationship(customer *partner.KnownCustomer) {
	v.RelationshipEnd = measure.Moment(customer.Ends)
	if v.Problem != "" {
		return
	}

	fault := customer.GoneFault()
	v.Problem, v.reason, v.remedy = fault.Problem+"; "+fault.Remedy, fault.Reason, fault.Remedy
	v.Code = worst(v.Code, exitNotAuthorised)
}

// relationship warns of what is wrong with the relationship by which a tenant is reached.
func (v *visit) relationship(t config.Tenant, homes map[homeOf]*homeVisit, now time.Time) {
	if t.HomeTenantID == "" {
		return
	}

	home := homes[homeKeyOf(t)]
	if home != nil && home.gone[t.TenantID] != nil {
		v.lacksRelationship(home.gone[t.TenantID])
		return
	}

	if home == nil || home.customers[t.TenantID] == nil {
		return // a guest, or nobody knows
	}

	customer := home.customers[t.TenantID]
	v.RelationshipEnd = measure.Moment(customer.Lasting().Ends)

	if f := relationshipFault(customer, now); f != nil {
		v.warn(f.Problem + "; " + f.Remedy)
	}

	if !customer.ReadsAlerts() && partner.EndsSoon(customer.Lasting().Ends, customer.Lasting().AutoExtends, now) {
		v.warn("the relationship ends on " + date(customer.Lasting().Ends) + " and is not extended by itself")
	}
}

// cloud warns when the tenant is in another cloud than the configuration says. That is
// public; where it cannot be read nothing is said.
func (v *visit) cloud(ctx context.Context, parts wiring.Parts) {
	t := parts.Tenant

	ask := partner.New(partner.Settings{
		LoginURL: t.LoginURL,
		HTTP:     parts.HTTP,
		Timeout:  t.HTTPTimeout,
		Now:      parts.Now,
	})

	found, err := ask.Tenant(ctx, string(t.TenantID))

	var refused *partner.Error

	switch {
	case errors.As(err, &refused) && refused.Reason == advice.TenantGone && v.Problem != "":
		v.warn("no such tenant is known at " + t.LoginURL + "; check tenant_id and `cloud`")
	case err != nil || found.Cloud == "" || found.Cloud == t.Cloud:
	case found.Cloud == cloud.GCC && t.Cloud == cloud.Commercial:
		v.warn(cloudText(found.Cloud, t.Cloud) + ": hosts of Defender for Endpoint differ")
	default:
		v.warn(cloudText(found.Cloud, t.Cloud) + ": sign-in and APIs have other hosts there")
	}
}

// cloudText says in which cloud a tenant is.
func cloudText(is, set cloud.Cloud) string {
	return fmt.Sprintf("the tenant is in the cloud %s, and `cloud` is %s; set cloud %s", is, set, is)
}

// warn adds a warning.
func (v *visit) warn(text string) {
	if v.Warning != "" {
		text = v.Warning + "; also: " + text
	}

	v.Warning = text
	v.Code = worst(v.Code, exitFailed)
}

// printHomes prints a line for each provider, and what is wrong with its sign-in.
func (c *cli) printHomes(homes []*homeVisit) {
	if len(homes) == 0 {
		return
	}

	var rows [][]string
	for _, h := range homes {
		rows = append(rows, []string{
			string(h.HomeTenantID),
			string(h.ClientID),
			h.SignIn,
			h.MFA,
			h.Customers,
			fmt.Sprint(h.Listed),
		})
	}

	fmt.Fprintln(c.Out)
	terminal.Table(c.Out, []string{"HOME TENANT", "CLIENT", "SIGN-IN", "MFA", "CUSTOMERS", "LISTED"}, rows)

	for _, h := range homes {
		for _, text := range []string{h.Problem, h.Warning} {
			if text != "" {
				c.below("home "+string(h.HomeTenantID), text)
			}
		}
	}
}
