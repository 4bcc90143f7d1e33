package simulator

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"fluent-bit-defender/internal/pause"
)

// The names of the data APIs, as the plugin's key `api` has them, and of the sign-in
// service, as the faults' option `api` and the statistics have it.
const (
	SIEM           = "siem"
	Endpoint       = "endpoint"
	Graph          = "graph"
	Incidents      = "incidents"
	GraphIncidents = "graph-incidents"
	Login          = "login"
)

// RotationMode says what happens to a refresh token that was redeemed.
type RotationMode int

const (
	// Keep is what Entra does: a redemption returns a successor and the old token stays
	// valid. Source: entra-docs, identity-platform/refresh-tokens.
	Keep RotationMode = iota
	// Strict refuses the old token once its successor was redeemed, or 60 s after its
	// own redemption.
	Strict
	// Kill refuses the old token after its redemption.
	Kill
)

// Config configures a Simulator. The zero value is a service without tenants.
type Config struct {
	// Tenants are the customers' tenants; see also Generate.
	Tenants []Tenant
	// Apps are multi-tenant applications registered elsewhere (at the MSSP): unknown in
	// a customer's tenant until somebody signs in or an administrator consents there.
	Apps []App
	// Home is the GUID or the domain of the provider's own tenant, which is one of
	// Tenants; empty for none. All others are then its customers: a refresh token of a
	// sign-in at Home is redeemed at each of them, as far as Relationships and the
	// customer's settings allow. It is rotated at Home only, and one that a customer
	// answers with is refused elsewhere, which is not documented.
	Home string
	// Relationships are the provider's to its customers; see also AddRelationship.
	Relationships []Relationship
	// RelationshipPage is the number of rows in the lists of relationships where $top is
	// missing, which is not documented; 100 if 0.
	RelationshipPage int
	// Clock returns the true time; time.Now if nil. Lives, windows, quotas and
	// schedules of faults follow it.
	Clock func() time.Time
	// Sleep waits, for latency and slow bodies; it must end early when ctx does. A real
	// timer if nil.
	Sleep func(ctx context.Context, d time.Duration)
	// Seed makes everything random reproducible.
	Seed uint64
	// Faults is the first argument of SetFaults; see FaultsHelp.
	Faults string
	// TokenLife is how long access tokens live; 0 means 1 h.
	TokenLife time.Duration
	// RefreshLife is how long a refresh token lives without use (then AADSTS700082); 0
	// means 90 days.
	RefreshLife time.Duration
	// Rotation says what happens to a redeemed refresh token.
	Rotation RotationMode
	// OmitRefresh leaves the refresh token out of every answer to a refresh (RFC 6749
	// section 6 allows it).
	OmitRefresh bool
	// RefreshAcrossTenants lets a refresh token be redeemed at another tenant that
	// knows the application. Entra does so where the user is a guest there; without it
	// such a redemption is AADSTS50020.
	RefreshAcrossTenants bool
	// AutoConsent makes the pages of authorize, adminconsent and devicelogin decide at
	// once, as if Accept had been pressed.
	AutoConsent bool
	// SIEMBounds says which bounds of the SIEM window are inclusive, which is not
	// documented: "[)", "[]", "()" or "(]"; "[)" if empty.
	SIEMBounds string
	// SIEMUnknownParameters accepts, and ignores, query parameters that the SIEM API
	// does not have. By default they are refused.
	SIEMUnknownParameters bool
	// SIEMRefusalStatus is the status for a malformed request to the SIEM API; 400 if
	// 0. (Its page says 401 for "malformed request or invalid token".)
	SIEMRefusalStatus int
	// SIEMUnauthorisedStatus is the status when the MSSP tab lacks the application,
	// which is not documented; 403 if 0.
	SIEMUnauthorisedStatus int
	// SIEMAcceptsV2Tokens accepts access tokens of the v2.0 endpoint at the SIEM API.
	// By default they are refused with 401.
	SIEMAcceptsV2Tokens bool
	// GraphPageSize is the number of rows where $top is missing, which is not
	// documented; 100 if 0.
	GraphPageSize int
	// GraphLinks says how Graph's nextLink names the place of the next page:
	// LinkSkipToken (default) or LinkSkip, which is refused with 400 beyond $skip=500.
	GraphLinks LinkMode
	// EndpointLinks makes Defender for Endpoint send a nextLink when $top is missing.
	// By default it never sends one.
	EndpointLinks bool
	// OrderBy says what the APIs do with $orderby, which none of them documents.
	OrderBy OrderMode
	// PrintedStep rounds down the update times that an API prints (not those that it
	// filters by), per API name: stored times can be more exact than printed ones.
	PrintedStep map[string]time.Duration
	// Quotas replaces the documented quota of an API; a zero field of it means no limit.
	Quotas map[string]Quota
	// Log, if set, is called with a line per request, without secrets.
	Log func(string)
}

// LinkMode says how a nextLink names the place of the next page.
type LinkMode int

// The two forms of a nextLink that Graph's page on paging names.
const (
	LinkSkipToken LinkMode = iota
	LinkSkip
)

// OrderMode says what the APIs do with $orderby.
type OrderMode int

const (
	// OrderKept sorts as asked, which was seen in production for all three OData APIs.
	OrderKept OrderMode = iota
	// OrderIgnored answers in the default order, newest first.
	OrderIgnored
	// OrderRefused answers 400.
	OrderRefused
)

// Quota is how many requests one application may make for one tenant; 0 means any
// number.
type Quota struct{ PerMinute, PerHour int }

// Tenant is one customer's tenant.
type Tenant struct {
	// ID is its GUID, Domain its verified domain; both are accepted in paths, in any
	// case.
	ID, Domain string
	// Name is what people call it.
	Name string
	// User is who signs in interactively; soc@Domain if empty.
	User string
	// Apps are the applications that have consent here.
	Apps []App
	// MSSPAuthorised says that the applications were entered on the MSSP tab of the
	// customer's portal; without it the SIEM API answers 403.
	MSSPAuthorised bool
	// AADSTS, if not 0, is what every token request of the tenant is refused with.
	AADSTS int
	// Forbidden customers refuse the data APIs with 403, as Defender's own roles do.
	Forbidden bool
	// NoRole customers issue access tokens without a permission to the provider.
	NoRole bool
	// Guest says that the provider's user is a guest here, who may read alerts. With a
	// relationship it is AADSTS50020: a guest and GDAP exclude each other.
	Guest bool
	// NoMFA makes sign-ins one without multi-factor authentication: their tokens lack
	// the claim, customers refuse them (AADSTS50076) and so does Partner Center.
	NoMFA bool
	// Cloud is where the tenant is: commercial (also if empty), gcc, gcchigh or dod. Only
	// the metadata documents tell.
	Cloud string
	// MissingPrincipals are the ids of Microsoft's applications that the tenant does not
	// have, because it has no licence for them.
	MissingPrincipals []string
	// Alerts exist from the beginning. Generated ones are added to them.
	Alerts []Alert
	// Generated is how many alerts New adds, made as GenerateOptions say.
	Generated       int
	GenerateOptions GenerateOptions
}

// App is an application, as it is registered in one tenant.
type App struct {
	// ClientID is the application id, a GUID.
	ClientID string
	// Secret is its client secret; empty if it has none.
	Secret string
	// Certificates are accepted for client assertions.
	Certificates []*x509.Certificate
	// Public applications have no credential: sending one is AADSTS700025.
	Public bool
	// SingleTenant applications are refused on common and organizations (AADSTS50194)
	// and are unknown in other tenants.
	SingleTenant bool
	// RefreshTokens are valid from the beginning, for the tenant's user.
	RefreshTokens []string
	// RedirectURIs are the registered reply addresses; http://localhost if nil.
	RedirectURIs []string
	// SPA says that the redirect addresses are of the platform "spa": redeemed with an
	// Origin header, tokens of 24 h.
	SPA bool
	// Roles are the application permissions that have consent; nil means those for
	// reading, an empty slice none.
	Roles []string
	// Scopes are the delegated permissions likewise.
	Scopes []string
	// Disabled applications are refused with AADSTS7000112; SecretExpired ones with
	// 7000222.
	Disabled, SecretExpired bool
	// AADSTS, if not 0, is what every token request for the application is refused with.
	AADSTS int
}

// fill sets the defaults.
func (c *Config) fill() error {
	if c.Clock == nil {
		c.Clock = time.Now
	}

	if c.Sleep == nil {
		c.Sleep = func(ctx context.Context, d time.Duration) { _ = pause.For(ctx, d) }
	}

	if c.TokenLife == 0 {
		c.TokenLife = time.Hour
	}

	if c.RefreshLife == 0 {
		c.RefreshLife = 90 * 24 * time.Hour
	}

	if c.SIEMBounds == "" {
		c.SIEMBounds = "[)"
	}

	if c.SIEMRefusalStatus == 0 {
		c.SIEMRefusalStatus = 400
	}

	if c.SIEMUnauthorisedStatus == 0 {
		c.SIEMUnauthorisedStatus = 403
	}

	if c.GraphPageSize == 0 {
		c.GraphPageSize = 100
	}

	if c.RelationshipPage == 0 {
		c.RelationshipPage = 100
	}

	if c.Log == nil {
		c.Log = func(string) {}
	}

	switch c.SIEMBounds {
	case "[)", "[]", "()", "(]":
		return nil
	}

	return fmt.Errorf("simulator: SIEMBounds is %q: must be one of [) [] () (]", c.SIEMBounds)
}

// validate returns what is wrong with a tenant.
func (t Tenant) validate() error {
	if !isGUID(t.ID) {
		return fmt.Errorf("simulator: tenant id %q is not a GUID", t.ID)
	}

	var errs []error

	for _, a := range t.Apps {
		if a.ClientID == "" {
			errs = append(errs, fmt.Errorf("simulator: tenant %s has an application without ClientID", t.ID))
		}

		if a.Public && (a.Secret != "" || len(a.Certificates) > 0) {
			errs = append(errs,
				fmt.Errorf("simulator: tenant %s: application %s is public and has a credential", t.ID, a.ClientID))
		}
	}

	return errors.Join(errs...)
}

// isGUID reports whether s has the form of a GUID.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}

	for i, c := range []byte(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return false
		}
	}

	return true
}
