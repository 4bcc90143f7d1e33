package advice

import "slices"

// Reason is one word for what is wrong with a unit, from a closed list. It is the
// `reason` of status, health records and metrics, so that a rule or a dashboard can ask
// for it: see docs/contract.md. The zero value says that nothing is wrong.
type Reason string

// The reasons. Their values are part of the interface: do not change them.
const (
	// ConsentMissing: the application, or one of its permissions, has no consent in the
	// customer's tenant.
	ConsentMissing Reason = "consent_missing"
	// RoleMissing: the sign-in works, and the account or application may not read
	// alerts: a role, a permission or an assignment is missing.
	RoleMissing Reason = "role_missing"
	// GDAPEnded: the account has no access to the customer's tenant: its relationship
	// ended, its group has no role there, or it is no guest.
	GDAPEnded Reason = "gdap_ended"
	// GuestConflict: the relationship is active, but the same user is also a guest in
	// the customer's tenant, and signs in with the few rights of that guest.
	GuestConflict Reason = "guest_conflict"
	// SessionControl: the customer requires session control, or multi-factor
	// authentication by a third party, which a provider's user cannot do.
	SessionControl Reason = "session_control"
	// MFARequired: the sign-in lacks multi-factor authentication, or it has expired.
	MFARequired Reason = "mfa_required"
	// ConditionalAccess: a policy of the customer's tenant blocks the sign-in or token.
	ConditionalAccess Reason = "conditional_access"
	// TenantGone: there is no such tenant at this sign-in service: it was deleted or
	// blocked, or is in another cloud.
	TenantGone Reason = "tenant_gone"
	// ChainDead: the provider's own sign-in has ended, and with it the access to every
	// customer that is reached with it.
	ChainDead Reason = "chain_dead"
	// TokenDead: the tenant has no refresh token that works: a person has to sign in.
	TokenDead Reason = "token_dead"
	// CredentialWrong: the configured application is not accepted: its id, secret,
	// certificate or registration, or the resource that is requested with it.
	CredentialWrong Reason = "credential_wrong"
	// CredentialExpired: the secret or certificate of the application has expired.
	CredentialExpired Reason = "credential_expired"
	// NotLicensed: the tenant has no licence for the API, or its product is not set up.
	NotLicensed Reason = "not_licensed"
	// Throttled: the service asks for fewer requests.
	Throttled Reason = "throttled"
	// Unreachable: there is no connection: network, name service, proxy, firewall, TLS.
	Unreachable Reason = "unreachable"
	// BadAnswer: the answer cannot be used: it is a server error, is incomplete, comes
	// from something else (a proxy), or is not understood by this program.
	BadAnswer Reason = "bad_answer"
	// TooSlow: the service takes too long, or a poll does.
	TooSlow Reason = "too_slow"
	// TooLarge: there is more than can be read or remembered at a time.
	TooLarge Reason = "too_large"
	// Store: the token store or the store of progress cannot be read or written.
	Store Reason = "store"
	// Blocked: Fluent Bit accepts no events.
	Blocked Reason = "blocked"
	// Budget: the API's call budget is used up, so reading goes on later.
	Budget Reason = "budget"
	// Internal: a fault of this program.
	Internal Reason = "internal"
)

// reasons are all reasons, in the order of the list above.
var reasons = []Reason{
	ConsentMissing,
	RoleMissing,
	GDAPEnded,
	GuestConflict,
	SessionControl,
	MFARequired,
	ConditionalAccess,
	TenantGone,
	ChainDead,
	TokenDead,
	CredentialWrong,
	CredentialExpired,
	NotLicensed,
	Throttled,
	Unreachable,
	BadAnswer,
	TooSlow,
	TooLarge,
	Store,
	Blocked,
	Budget,
	Internal,
}

// Reasons returns the closed list.
func Reasons() []Reason { return slices.Clone(reasons) }

// Known reports whether r is in the closed list. The zero value is not.
func (r Reason) Known() bool { return slices.Contains(reasons, r) }
