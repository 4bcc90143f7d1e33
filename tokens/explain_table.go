package tokens

import (
	"maps"

	"fluent-bit-defender/internal/advice"
)

// signInAgain is the remedy of most dead refresh tokens.
const signInAgain = "sign in again: {acquire}"

// oauthExplanations are oauthErrors with their reasons.
var oauthExplanations = withReasons(oauthErrors, reasonsOfErrors)

// oauthErrors are used when no AADSTS code says more. The errors of the device
// code flow are those of RFC 8628 section 3.5.
var oauthErrors = map[string]explanation{
	"invalid_request": needsFix(
		"the sign-in service found the request malformed",
		"check tenant_id {tenant}, client_id {client} and the resource {resource}",
	),
	"invalid_client": needsFix(
		"the sign-in service did not accept the application's credential",
		"check client_id {client} and its secret or certificate",
	).of(advice.ScopeCredential),
	"invalid_grant": needsSignIn(
		"the sign-in service does not accept the refresh token or code",
		"a running input tries it again by itself; if it stays refused, sign in again: {acquire}",
	),
	"unauthorized_client": notAuthorised(
		"the application {client} may not sign in this way in tenant {tenant}",
		"an administrator of the tenant opens {consent}",
	),
	"unsupported_grant_type": needsFix(
		"the sign-in service does not offer this grant",
		"check login_url and grant",
	),
	"invalid_scope": needsFix("the sign-in service does not accept the scope", "check resource ({resource})"),
	"invalid_resource": notAuthorised(
		"the resource {resource} is not known in tenant {tenant}",
		"check resource, and that the customer has the Defender licence",
	),
	"access_denied": notAuthorised(
		"the sign-in was declined",
		"sign in as a user who may consent, or let an administrator open {consent}",
	),
	"consent_required": notAuthorised(
		"the application {client} has no consent in tenant {tenant}",
		"an administrator of the tenant opens {consent}",
	),
	"permission_denied": notAuthorised(
		"the administrator did not grant the permissions",
		"an administrator of the tenant opens {consent}",
	),
	"interaction_required": needsSignIn(
		"the sign-in service asks for a person",
		signInAgain,
	).of(advice.ScopeCustomer),
	"login_required":          needsSignIn("the sign-in service asks for a person", signInAgain),
	"temporarily_unavailable": tryAgain("the sign-in service is busy", tryLater),
	"server_error":            tryAgain("the sign-in service has a fault", tryLater),
	"authorization_pending": tryAgain(
		"nobody has entered the device code yet",
		"enter it on the page shown",
	).of(advice.ScopeChain),
	"slow_down": tryAgain("the sign-in service is asked too often", "it is asked more slowly by itself"),
	"authorization_declined": notAuthorised(
		"the sign-in with the device code was declined",
		"start over and accept: {acquire} --device-code",
	).of(advice.ScopeChain),
	"bad_verification_code": needsFix(
		"the device code was not recognised",
		"start over: {acquire} --device-code",
	).of(advice.ScopeChain),
	"expired_token": needsFix(
		"the device code has expired",
		"start over: {acquire} --device-code",
	).of(advice.ScopeChain),
	"code_expired": needsFix(
		"the device code has expired",
		"start over: {acquire} --device-code",
	).of(advice.ScopeChain),
}

// explanations are the explanations of all AADSTS codes: the groups below, with
// reasons.
var explanations = withReasons(join(
	applicationCodes,
	permissionCodes,
	requestCodes,
	grantCodes,
	credentialCodes,
	userCodes,
	serviceCodes,
), reasonsOfCodes)

// join puts the groups into one map.
func join(groups ...map[int]explanation) map[int]explanation {
	all := map[int]explanation{}
	for _, g := range groups {
		maps.Copy(all, g)
	}

	return all
}

// needsFix explains a code after which somebody changes a setting or the registration.
func needsFix(problem, remedy string) explanation {
	return explanation{
		problem: problem,
		remedy:  remedy,
		fate:    advice.NeedsFix,
		scope:   advice.ScopeApplication,
	}
}

// needsSignIn explains a code after which a person signs in again.
func needsSignIn(problem, remedy string) explanation {
	return explanation{
		problem: problem,
		remedy:  remedy,
		fate:    advice.NeedsSignIn,
		scope:   advice.ScopeChain,
	}
}

// endsToken explains a code that ends a refresh token for good. The codes built with it
// are the closed list: no other refusal ends one.
func endsToken(problem, remedy string) explanation {
	x := needsSignIn(problem, remedy)
	x.dead = true

	return x
}

// unreliable explains a code with which good refresh tokens were refused too.
func unreliable(problem, remedy string) explanation {
	x := needsSignIn(problem, remedy)
	x.unreliable = true

	return x
}

// weak explains a code that says less than any code beside it.
func weak(x explanation) explanation {
	x.weak = true
	return x
}

// notAuthorised explains a code after which somebody in the customer's tenant allows
// something.
func notAuthorised(problem, remedy string) explanation {
	return explanation{
		problem: problem,
		remedy:  remedy,
		fate:    advice.NotAuthorised,
		scope:   advice.ScopeCustomer,
	}
}

// tryAgain explains a code that goes away by itself.
func tryAgain(problem, remedy string) explanation {
	return explanation{
		problem: problem,
		remedy:  remedy,
		fate:    advice.TryAgain,
		scope:   advice.ScopeService,
	}
}

// of sets the scope where it is not the usual one of its fate.
func (x explanation) of(scope advice.Scope) explanation {
	x.scope = scope
	return x
}

// as sets the reason of a row that is in no list of reasonsOfCodes.
func (x explanation) as(reason advice.Reason) explanation {
	x.reason = reason
	return x
}

const (
	consent    = "an administrator of the tenant opens {consent}; also check tenant_id and client_id"
	appMissing = "the application {client} is not known in tenant {tenant}"
	register   = "register exactly the redirect address that is sent: scheme, host, path, case and slash at the end"
	nextCloud  = "set cloud (gcc, gcchigh, dod) or login_url to the tenant's cloud " +
		"and use an application registered there"
	license = "check that tenant {tenant} is the right one " +
		"and has Microsoft Defender licensed and set up, and the resource ({resource})"
	permission = "add the API permission for {resource} " +
		"to the application's registration, then consent again: {consent}"
)

var applicationCodes = map[int]explanation{
	50011: needsFix("the redirect address is not registered for application {client}", register),
	500112: needsFix(
		"the redirect address sent with the code differs from the one that was opened",
		"send the same redirect address both times; start over: {acquire}",
	).of(advice.ScopeChain),
	50194: needsFix(
		"the application {client} is registered for a single tenant",
		"use the customer's tenant id, or make the registration multi-tenant (Authentication, Supported account types)",
	),
	700016: notAuthorised(appMissing, consent).abroad(newCustomer),
	700011: notAuthorised(appMissing, consent),
	7000112: notAuthorised(
		"the application {client} is disabled",
		"enable it: Entra admin center, Enterprise applications, Properties, \"Enabled for users to sign-in\"",
	),
	70001: notAuthorised("the application {client} is disabled or unknown in tenant {tenant}", consent),
	90002: needsFix(
		"the tenant {tenant} does not exist at {login}",
		"check tenant_id, and cloud or login_url",
	).of(advice.ScopeCustomer).abroad(gone),
	90038: needsFix(
		"the tenant {tenant} belongs to another national cloud than {login}",
		nextCloud,
	).of(advice.ScopeCustomer),
	900382: needsFix(
		"the application and tenant {tenant} are in different national clouds",
		nextCloud,
	).of(advice.ScopeCustomer),
	900432: needsFix(
		"the application and tenant {tenant} are in different national clouds",
		nextCloud,
	).of(advice.ScopeCustomer),
	9001023: needsFix(
		"this grant needs a tenant in the address, not common or organizations",
		"set tenant_id to the customer's tenant",
	).of(advice.ScopeCustomer),
	9002327: needsFix(
		"the redirect address of application {client} is registered as a single-page application (SPA)",
		"register the redirect address as Web instead of SPA, then sign in again: {acquire}",
	),
	5000224: notAuthorised(
		"the tenant {tenant} is not available any more: it was deleted or blocked",
		"if the customer has left, remove the tenant; else the customer asks Microsoft's support",
	).abroad(gone),
	5000225: notAuthorised(
		"the tenant {tenant} was blocked because it was not used for long",
		"an administrator of the tenant reactivates it; if the customer has left, remove the tenant",
	).abroad(gone),
}

var permissionCodes = map[int]explanation{
	50001:  notAuthorised("the resource {resource} is unknown or disabled in tenant {tenant}", license),
	500011: notAuthorised("the resource {resource} does not exist in tenant {tenant}", license),
	650057: notAuthorised(
		"the application {client} does not ask for permissions on {resource}",
		permission,
	).of(advice.ScopeApplication),
	65005: notAuthorised(
		"the application {client} does not ask for permissions on {resource}",
		permission,
	).of(advice.ScopeApplication),
	650052: notAuthorised("tenant {tenant} has not subscribed to the service behind {resource}", license),
	65001: notAuthorised(
		"the application {client} has no consent in tenant {tenant}",
		"an administrator of the tenant opens {consent}",
	).abroad(unconsented),
	65004: notAuthorised(
		"the user declined the application's permissions",
		"sign in again and accept, or let an administrator of the tenant open {consent}",
	).abroad(unconsented),
	90094: notAuthorised(
		"consent of an administrator is required",
		"an administrator of the tenant opens {consent}",
	).abroad(unconsented),
	90095: notAuthorised(
		"consent of an administrator was requested and is not given yet",
		"an administrator of the tenant approves the request, or opens {consent}",
	).abroad(unconsented),
	50105: notAuthorised(
		"the user is not assigned to the application {client}",
		"assign the user: Entra admin center, Enterprise applications, Users and groups",
	),
	650051: notAuthorised(
		"the application {client} asks for a permission that tenant {tenant} has not consented to",
		"an administrator of the tenant opens {consent}",
	).abroad(unconsented),
	65002: notAuthorised(
		"the application {client} may not be given consent for {resource} in tenant {tenant}",
		"use an application that your own organisation registered, and have an administrator open {consent}",
	).abroad(unconsented),
	90093: notAuthorised(
		"only an administrator of tenant {tenant} may do what the sign-in asks for",
		"an administrator of the tenant opens {consent}",
	).abroad(unconsented),
	90099: notAuthorised(
		"the application {client} was not authorised in tenant {tenant} yet, so a partner's user cannot use it there",
		"an administrator of the tenant opens {consent}",
	).abroad(newCustomer),
}

const report = "this is a fault of this program or of what stands between: report it with the ids that follow"

var requestCodes = map[int]explanation{
	70011:  needsFix("the scope is not valid", "check resource ({resource})"),
	28002:  needsFix("the scope is not valid", "check resource ({resource})"),
	28003:  needsFix("the scope is empty", "check resource ({resource})"),
	700022: needsFix("the scope names more than one resource", "name one resource only ({resource})"),
	901002: needsFix("a resource was sent to a v2 endpoint", report),
	900144: needsFix(
		"a parameter is missing in the request",
		"check that client_id, tenant_id and the refresh token are set; else report it with the ids that follow",
	),
	90014: needsFix(
		"a field is missing in the request",
		"check that client_id, tenant_id and the refresh token are set; else report it with the ids that follow",
	),
	9002313: needsFix(
		"the request is malformed",
		"check client_id, and that the refresh token or secret was pasted whole and without quotes",
	).of(advice.ScopeChain),
	90004: needsFix("the request is malformed", "check client_id, tenant_id and resource"),
	90023: needsFix("the request is not valid", "check client_id, tenant_id and resource"),
	90100: needsFix("a parameter of the request is empty or not valid", "check client_id, tenant_id and resource"),
	900561: needsFix(
		"the endpoint was asked with GET instead of POST",
		"a proxy or redirect changed the request: check proxy and login_url",
	),
	70003: needsFix("the sign-in service does not offer this grant to the application", "check grant"),
	501481: needsFix(
		"the code_verifier does not match the code_challenge",
		"start over: {acquire}; if it happens again, report it with the ids that follow",
	).of(advice.ScopeChain),
	50147:  needsFix("the code_challenge is not valid", report).of(advice.ScopeChain),
	501491: needsFix("the code_challenge has the wrong size", report).of(advice.ScopeChain),
	700005: needsFix(
		"the code was issued for another tenant",
		"start over with one tenant id: {acquire}",
	).of(advice.ScopeChain),
	50089: needsFix("the sign-in took too long", "start over: {acquire}").of(advice.ScopeChain),
	54005: needsFix("the code was already redeemed", "start over: {acquire}").of(advice.ScopeChain),
	70018: needsFix("the device code was not recognised", "start over: {acquire} --device-code").of(advice.ScopeChain),
	70019: needsFix("the device code has expired", "start over: {acquire} --device-code").of(advice.ScopeChain),
	70020: needsFix("the device code has expired", "start over: {acquire} --device-code").of(advice.ScopeChain),
}

var grantCodes = map[int]explanation{
	70008:  endsToken("the refresh token or code has expired", signInAgain),
	700082: endsToken("the refresh token has expired because it was not used for 90 days", signInAgain),
	700084: endsToken(
		"the refresh token has expired: one issued to a single-page application lives 24 hours",
		"register the redirect address as Web instead of SPA, then sign in again: {acquire}",
	),
	70043: endsToken(
		"the refresh token has expired by the tenant's sign-in frequency policy",
		"exempt the account from the policy, then sign in again: {acquire}",
	).of(advice.ScopeCustomer).abroad(secondFactor),
	70000: unreliable(
		"the refresh token or code is malformed, cut short or not usable any more",
		"check that it was pasted whole; if it stays refused, sign in again: {acquire}",
	),
	700003: needsSignIn(
		"the device that the user signed in on is not registered in tenant {tenant} any more",
		"sign in again on a device that the tenant knows, or without one: {acquire}",
	),
	50173: endsToken(
		"the refresh token was revoked (password reset, or an administrator or the user ended all sessions)",
		signInAgain,
	),
	50132:  endsToken("the session is not valid any more because the password changed or expired", signInAgain),
	50133:  endsToken("the session is not valid any more because the password changed or expired", signInAgain),
	500133: needsSignIn("the token sent as proof has expired", signInAgain).of(advice.ScopeCredential),
	50013: needsSignIn(
		"the assertion sent as proof is not valid",
		"check client_certificate_file and this machine's clock; else "+signInAgain,
	).of(advice.ScopeCredential),
	70016:   tryAgain("nobody has entered the device code yet", "enter it on the page shown").of(advice.ScopeChain),
	1002012: needsFix("a scope for client credentials must end in /.default", "check resource ({resource})"),
}

var credentialCodes = map[int]explanation{
	70002: weak(needsFix(
		"the credentials did not validate",
		"check client_id {client} and its secret or certificate",
	).of(advice.ScopeCredential)),
	7000215: needsFix(
		"the client secret is wrong",
		"paste the secret's value, not its ID, into client_secret or its file, "+
			"and check that it belongs to client_id {client}",
	).of(advice.ScopeCredential),
	7000222: needsFix(
		"the client secret has expired",
		"create a new secret for {client} (Entra admin center, App registrations, Certificates & secrets) "+
			"and put its value into client_secret or its file",
	).of(advice.ScopeCredential),
	7000218: needsFix(
		"the application {client} must send a secret or certificate",
		"set client_secret or client_certificate_file; "+
			"for a public client turn on \"Allow public client flows\" in its registration",
	).of(advice.ScopeCredential),
	700025: needsFix(
		"the application {client} is a public client and must not send a secret",
		"remove client_secret (for defenderctl: unset DEFENDER_CLIENT_SECRET, give no --client-secret-file), "+
			"or register the redirect address as Web",
	).of(advice.ScopeApplication),
	700027: needsFix(
		"the certificate or the assertion signed with it was not accepted",
		"upload the certificate of client_certificate_file to the registration of {client}",
	).of(advice.ScopeCredential),
	50012: needsFix(
		"the certificate or the assertion signed with it was not accepted",
		"upload the certificate of client_certificate_file to the registration of {client}",
	).of(advice.ScopeCredential),
	700024: needsFix(
		"the signed assertion is not valid at this time",
		"set this machine's clock (NTP)",
	).of(advice.ScopeCredential),
}

const (
	mfa     = "sign in again with multi-factor authentication: {acquire}"
	policy  = "the customer exempts the account from the conditional access policy or allows this machine's address"
	exclude = "the customer excludes the provider's users (service provider users, guests) from the policy"
	guest   = "invite the account as a guest (B2B) into tenant {tenant}, " +
		"accept the invitation, then sign in again: {acquire}"
)

var userCodes = map[int]explanation{
	50076: needsSignIn(
		"multi-factor authentication is required now",
		mfa,
	).of(advice.ScopeCustomer).abroad(secondFactor),
	50074: needsSignIn(
		"multi-factor authentication is required now",
		mfa,
	).of(advice.ScopeCustomer).abroad(secondFactor),
	50079: needsSignIn(
		"the user must enrol for multi-factor authentication",
		mfa,
	).of(advice.ScopeCustomer).abroad(secondFactor),
	50072: needsSignIn(
		"the user must enrol for multi-factor authentication",
		mfa,
	).of(advice.ScopeCustomer).abroad(secondFactor),
	50078: needsSignIn(
		"the multi-factor authentication has expired",
		mfa,
	).of(advice.ScopeCustomer).abroad(secondFactor),
	50158: needsSignIn(
		"an external security challenge has to be met",
		mfa,
	).of(advice.ScopeCustomer).abroad(sessionPolicy),
	53003: notAuthorised(
		"a conditional access policy of tenant {tenant} blocks the sign-in",
		policy,
	).abroad(accessPolicy),
	530032: notAuthorised("a security policy of tenant {tenant} blocks the sign-in", policy).abroad(accessPolicy),
	53000:  notAuthorised("a policy of tenant {tenant} asks for a compliant device", policy).abroad(accessPolicy),
	53001:  notAuthorised("a policy of tenant {tenant} asks for a domain-joined device", policy).abroad(accessPolicy),
	50005: notAuthorised(
		"a policy of tenant {tenant} does not allow this kind of device",
		policy,
	).abroad(accessPolicy),
	50097: notAuthorised("a policy of tenant {tenant} asks for device authentication", policy).abroad(accessPolicy),
	50131: needsSignIn(
		"a conditional access policy of tenant {tenant} does not accept this sign-in",
		"sign in again from where the policy allows it: {acquire}; or "+policy,
	).of(advice.ScopeCustomer).abroad(accessPolicy),
	53011: notAuthorised(
		"the user is blocked for risk in the home tenant",
		"an administrator of the user's home tenant clears the risk, then sign in again: {acquire}",
	).of(advice.ScopeChain),
	530034: notAuthorised(
		"the user is blocked",
		"an administrator unblocks the user, then sign in again: {acquire}",
	).of(advice.ScopeChain),
	50053: notAuthorised(
		"the account is locked, or the address is known as malicious",
		"an administrator unlocks the account; check what else tries to sign in with it",
	).of(advice.ScopeChain),
	50034: notAuthorised("the account does not exist in tenant {tenant}", guest).abroad(noRole),
	50020: notAuthorised("the account is not in tenant {tenant}", guest).abroad(noRole),
	16000: notAuthorised(
		"the account is not in tenant {tenant}, or several accounts are signed in",
		"choose the right account when signing in; else "+guest,
	).abroad(noRole),
	16003: notAuthorised("the account was not added to tenant {tenant}", guest).abroad(noRole),
	50014: notAuthorised("the guest account has not accepted its invitation", guest).abroad(noRole),
	51004: notAuthorised("the account is not in tenant {tenant}", guest).abroad(noRole),
	90072: notAuthorised("the account is not in tenant {tenant}", guest).abroad(noRole),
	500212: notAuthorised(
		"the cross-tenant access policy does not allow this sign-in",
		"the customer's or the home tenant's administrator allows it in the cross-tenant access settings",
	),
	500213: notAuthorised(
		"the customer's cross-tenant access policy does not allow this sign-in",
		"the customer's administrator allows it in the cross-tenant access settings",
	),
	500021: notAuthorised(
		"tenant restrictions of this network or tenant do not allow access to tenant {tenant}",
		"the administrator of the network or tenant allows {tenant}",
	),
	50055: needsSignIn("the user's password has expired", "set a new password, then sign in again: {acquire}"),
	50144: needsSignIn("the user's password has expired", "set a new password, then sign in again: {acquire}"),
	50057: notAuthorised(
		"the user's account is disabled",
		"an administrator enables the account, or sign in as another user: {acquire}",
	).of(advice.ScopeChain),
	50126: needsSignIn("user name or password is wrong", signInAgain),
	50058: needsSignIn("no user is signed in", signInAgain),
	50177: notAuthorised(
		"the account has no access to tenant {tenant}: it is not a guest there, and no role reaches it through GDAP",
		"the provider checks that the relationship is active and the user's group has a role in it; else "+guest,
	).abroad(noRole),
	50178: notAuthorised(
		"a session policy of tenant {tenant} asks for what a provider's user or guest cannot meet",
		exclude,
	).abroad(sessionPolicy),
	530003: notAuthorised("a policy of tenant {tenant} asks for a managed device", policy).abroad(accessPolicy),
	530036: notAuthorised(
		"a conditional access policy of tenant {tenant} does not allow this way to sign in",
		policy,
	).abroad(accessPolicy),
	900421: needsSignIn("Partner Center asks for a sign-in with multi-factor authentication", mfa),
}

// tryLater is the remedy where a running input tries again by itself.
const tryLater = "try again later; a running input does so by itself"

var serviceCodes = map[int]explanation{
	50196: needsFix(
		"the sign-in service saw the same request too often (a loop)",
		"look for another program that signs in with {client} over and over; this one waits",
	).of(advice.ScopeChain),
	90006: tryAgain("the sign-in service is temporarily unavailable", tryLater),
	90012: tryAgain("the sign-in service took too long", tryLater),
	90024: tryAgain("the sign-in service is temporarily busy", tryLater),
	90033: tryAgain("the sign-in service is temporarily unavailable", tryLater),
	50033: tryAgain("the sign-in service has a temporary fault", tryLater),
	50087: tryAgain("the sign-in service is temporarily unavailable", tryLater),
	90090: tryAgain("the sign-in service has a temporary fault", tryLater),
	90055: tryAgain("tenant {tenant} signs in too often and is slowed down", tryLater).of(advice.ScopeCustomer),
	50000: tryAgain(
		"the sign-in service has a fault",
		tryLater+"; if it stays, send the ids that follow to Microsoft's support",
	),
}

// family returns the explanation of a code by its first digits, for groups whose
// members mean much the same; ok is false for other codes.
func family(code int) (explanation, bool) {
	switch {
	case code/10 == 5007:
		x := needsSignIn("multi-factor authentication is asked for", mfa).of(advice.ScopeCustomer)

		return x.as(advice.MFARequired).abroad(secondFactor), true
	case code/10 == 5013:
		return needsSignIn("the session is not valid any more", signInAgain).as(advice.TokenDead), true
	case code/1000 == 53, code/1000 == 530:
		x := notAuthorised("a conditional access policy of tenant {tenant} blocks the sign-in", policy)

		return x.as(advice.ConditionalAccess).abroad(accessPolicy), true
	}

	return explanation{}, false
}

// lookUp returns the explanation of a code, if it is known.
func lookUp(code int) (explanation, bool) {
	if x, ok := explanations[code]; ok {
		return x, true
	}

	return family(code)
}
