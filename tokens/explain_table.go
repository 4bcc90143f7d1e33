package tokens

// again is the remedy of most dead refresh tokens.
const again = "sign in again: {acquire}"

// oauthExplanations serve when no code says more. device_code errors: RFC 8628 section
// 3.5.
var oauthExplanations = map[string]explanation{
	"invalid_request": config(
		"the sign-in service found the request malformed",
		"check tenant_id {tenant}, client_id {client} and the resource {resource}",
	),
	"invalid_client": config(
		"the sign-in service did not accept the application's credential",
		"check client_id {client} and its secret or certificate",
	).of(ScopeCredential),
	"invalid_grant": signIn(
		"the sign-in service does not accept the refresh token or code",
		"a running input tries it again by itself; if it stays refused, sign in again: {acquire}",
	),
	"unauthorized_client": refused(
		"the application {client} may not sign in this way in tenant {tenant}",
		"an administrator of the tenant opens {consent}",
	),
	"unsupported_grant_type": config(
		"the sign-in service does not offer this grant",
		"check login_url and grant",
	),
	"invalid_scope": config(
		"the sign-in service does not accept the scope",
		"check resource ({resource})",
	),
	"invalid_resource": refused(
		"the resource {resource} is not known in tenant {tenant}",
		"check resource, and that the customer has the Defender licence",
	),
	"access_denied": refused(
		"the sign-in was declined",
		"sign in as a user who may consent, or let an administrator open {consent}",
	),
	"consent_required": refused(
		"the application {client} has no consent in tenant {tenant}",
		"an administrator of the tenant opens {consent}",
	),
	"permission_denied": refused(
		"the administrator did not grant the permissions",
		"an administrator of the tenant opens {consent}",
	),
	"interaction_required": signIn(
		"the sign-in service asks for a person",
		again,
	).of(ScopeCustomer),
	"login_required": signIn(
		"the sign-in service asks for a person",
		again,
	),
	"temporarily_unavailable": transient(
		"the sign-in service is busy",
		wait,
	),
	"server_error": transient(
		"the sign-in service has a fault",
		wait,
	),
	"authorization_pending": transient(
		"nobody has entered the device code yet",
		"enter it on the page shown",
	).of(ScopeChain),
	"slow_down": transient(
		"the sign-in service is asked too often",
		"it is asked more slowly by itself",
	),
	"authorization_declined": refused(
		"the sign-in with the device code was declined",
		"start over and accept: {acquire} --device-code",
	).of(ScopeChain),
	"bad_verification_code": config(
		"the device code was not recognised",
		"start over: {acquire} --device-code",
	).of(ScopeChain),
	"expired_token": config(
		"the device code has expired",
		"start over: {acquire} --device-code",
	).of(ScopeChain),
	"code_expired": config(
		"the device code has expired",
		"start over: {acquire} --device-code",
	).of(ScopeChain),
}

// explanations by AADSTS code, built once from the groups.
var explanations = join(
	applicationCodes,
	permissionCodes,
	requestCodes,
	grantCodes,
	credentialCodes,
	userCodes,
	serviceCodes,
)

func join(groups ...map[int]explanation) map[int]explanation {
	all := map[int]explanation{}

	for _, g := range groups {
		for code, x := range g {
			all[code] = x
		}
	}

	return all
}

func config(sentence, remedy string) explanation {
	return explanation{
		sentence: sentence,
		remedy:   remedy,
		fate:     Config,
		exit:     ExitFailed,
		scope:    ScopeApplication,
	}
}

func signIn(sentence, remedy string) explanation {
	return explanation{
		sentence: sentence,
		remedy:   remedy,
		fate:     NeedsSignIn,
		exit:     ExitNeedsSignIn,
		scope:    ScopeChain,
	}
}

// dead explains a code that ends a refresh token for good. The codes built with it are
// the closed list: no other refusal ends one.
func dead(sentence, remedy string) explanation {
	x := signIn(sentence, remedy)
	x.dead = true

	return x
}

// doubtful explains a code that good refresh tokens were refused with too.
func doubtful(sentence, remedy string) explanation {
	x := signIn(sentence, remedy)
	x.doubtful = true

	return x
}

// weak explains a code that says less than any code beside it.
func weak(x explanation) explanation {
	x.weak = true
	return x
}

func refused(sentence, remedy string) explanation {
	return explanation{
		sentence: sentence,
		remedy:   remedy,
		fate:     NotAuthorised,
		exit:     ExitNotAuthorised,
		scope:    ScopeCustomer,
	}
}

func transient(sentence, remedy string) explanation {
	return explanation{
		sentence: sentence,
		remedy:   remedy,
		fate:     Transient,
		exit:     ExitFailed,
		scope:    ScopeService,
	}
}

// of sets the scope where it is not the usual one of its fate.
func (x explanation) of(scope Scope) explanation {
	x.scope = scope
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
	50011: config("the redirect address is not registered for application {client}", register),
	500112: config(
		"the redirect address sent with the code differs from the one that was opened",
		"send the same redirect address both times; start over: {acquire}",
	).of(ScopeChain),
	50194: config(
		"the application {client} is registered for a single tenant",
		"use the customer's tenant id, or make the registration multi-tenant (Authentication, Supported account types)",
	),
	700016: refused(appMissing, consent),
	700011: refused(appMissing, consent),
	7000112: refused(
		"the application {client} is disabled",
		"enable it: Entra admin center, Enterprise applications, Properties, \"Enabled for users to sign-in\"",
	),
	70001: refused("the application {client} is disabled or unknown in tenant {tenant}", consent),
	90002: config(
		"the tenant {tenant} does not exist at {login}",
		"check tenant_id, and cloud or login_url",
	).of(ScopeCustomer),
	90038: config(
		"the tenant {tenant} belongs to another national cloud than {login}",
		nextCloud,
	).of(ScopeCustomer),
	900382: config(
		"the application and tenant {tenant} are in different national clouds",
		nextCloud,
	).of(ScopeCustomer),
	900432: config(
		"the application and tenant {tenant} are in different national clouds",
		nextCloud,
	).of(ScopeCustomer),
	9001023: config(
		"this grant needs a tenant in the address, not common or organizations",
		"set tenant_id to the customer's tenant",
	).of(ScopeCustomer),
	9002327: config(
		"the redirect address of application {client} is registered as a single-page application (SPA)",
		"register the redirect address as Web instead of SPA, then sign in again: {acquire}",
	),
	5000224: refused(
		"the tenant {tenant} is not available any more: it was deleted or blocked",
		"if the customer has left, remove the tenant; else the customer asks Microsoft's support",
	),
	5000225: refused(
		"the tenant {tenant} was blocked because it was not used for long",
		"an administrator of the tenant reactivates it; if the customer has left, remove the tenant",
	),
}

var permissionCodes = map[int]explanation{
	50001:  refused("the resource {resource} is unknown or disabled in tenant {tenant}", license),
	500011: refused("the resource {resource} does not exist in tenant {tenant}", license),
	650057: refused(
		"the application {client} does not ask for permissions on {resource}",
		permission,
	).of(ScopeApplication),
	65005: refused(
		"the application {client} does not ask for permissions on {resource}",
		permission,
	).of(ScopeApplication),
	650052: refused("tenant {tenant} has not subscribed to the service behind {resource}", license),
	65001: refused(
		"the application {client} has no consent in tenant {tenant}",
		"an administrator of the tenant opens {consent}",
	),
	65004: refused(
		"the user declined the application's permissions",
		"sign in again and accept, or let an administrator of the tenant open {consent}",
	),
	90094: refused("consent of an administrator is required", "an administrator of the tenant opens {consent}"),
	90095: refused(
		"consent of an administrator was requested and is not given yet",
		"an administrator of the tenant approves the request, or opens {consent}",
	),
	50105: refused(
		"the user is not assigned to the application {client}",
		"assign the user: Entra admin center, Enterprise applications, Users and groups",
	),
	650051: refused(
		"the application {client} asks for a permission that tenant {tenant} has not consented to",
		"an administrator of the tenant opens {consent}",
	),
	65002: refused(
		"the application {client} may not be given consent for {resource} in tenant {tenant}",
		"use an application that your own organisation registered, and have an administrator open {consent}",
	),
	90093: refused(
		"only an administrator of tenant {tenant} may do what the sign-in asks for",
		"an administrator of the tenant opens {consent}",
	),
	90099: refused(
		"the application {client} was not authorised in tenant {tenant} yet, so a partner's user cannot use it there",
		"an administrator of the tenant opens {consent}",
	),
}

const report = "this is a fault of this program or of what stands between: report it with the ids that follow"

var requestCodes = map[int]explanation{
	70011:  config("the scope is not valid", "check resource ({resource})"),
	28002:  config("the scope is not valid", "check resource ({resource})"),
	28003:  config("the scope is empty", "check resource ({resource})"),
	700022: config("the scope names more than one resource", "name one resource only ({resource})"),
	901002: config("a resource was sent to a v2 endpoint", report),
	900144: config(
		"a parameter is missing in the request",
		"check that client_id, tenant_id and the refresh token are set; else report it with the ids that follow",
	),
	90014: config(
		"a field is missing in the request",
		"check that client_id, tenant_id and the refresh token are set; else report it with the ids that follow",
	),
	9002313: config(
		"the request is malformed",
		"check client_id, and that the refresh token or secret was pasted whole and without quotes",
	).of(ScopeChain),
	90004: config("the request is malformed", "check client_id, tenant_id and resource"),
	90023: config("the request is not valid", "check client_id, tenant_id and resource"),
	90100: config("a parameter of the request is empty or not valid", "check client_id, tenant_id and resource"),
	900561: config(
		"the endpoint was asked with GET instead of POST",
		"a proxy or redirect changed the request: check proxy and login_url",
	),
	70003: config("the sign-in service does not offer this grant to the application", "check grant"),
	501481: config(
		"the code_verifier does not match the code_challenge",
		"start over: {acquire}; if it happens again, report it with the ids that follow",
	).of(ScopeChain),
	50147:  config("the code_challenge is not valid", report).of(ScopeChain),
	501491: config("the code_challenge has the wrong size", report).of(ScopeChain),
	700005: config(
		"the code was issued for another tenant",
		"start over with one tenant id: {acquire}",
	).of(ScopeChain),
	50089: config("the sign-in took too long", "start over: {acquire}").of(ScopeChain),
	54005: config("the code was already redeemed", "start over: {acquire}").of(ScopeChain),
	70018: config("the device code was not recognised", "start over: {acquire} --device-code").of(ScopeChain),
	70019: config("the device code has expired", "start over: {acquire} --device-code").of(ScopeChain),
	70020: config("the device code has expired", "start over: {acquire} --device-code").of(ScopeChain),
}

var grantCodes = map[int]explanation{
	70008:  dead("the refresh token or code has expired", again),
	700082: dead("the refresh token has expired because it was not used for 90 days", again),
	700084: dead(
		"the refresh token has expired: one issued to a single-page application lives 24 hours",
		"register the redirect address as Web instead of SPA, then sign in again: {acquire}",
	),
	70043: dead(
		"the refresh token has expired by the tenant's sign-in frequency policy",
		"exempt the account from the policy, then sign in again: {acquire}",
	).of(ScopeCustomer),
	70000: doubtful(
		"the refresh token or code is malformed, cut short or not usable any more",
		"check that it was pasted whole; if it stays refused, sign in again: {acquire}",
	),
	700003: signIn(
		"the device that the user signed in on is not registered in tenant {tenant} any more",
		"sign in again on a device that the tenant knows, or without one: {acquire}",
	),
	50173: dead(
		"the refresh token was revoked (password reset, or an administrator or the user ended all sessions)",
		again,
	),
	50132:  dead("the session is not valid any more because the password changed or expired", again),
	50133:  dead("the session is not valid any more because the password changed or expired", again),
	500133: signIn("the token sent as proof has expired", again).of(ScopeCredential),
	50013: signIn(
		"the assertion sent as proof is not valid",
		"check client_certificate_file and this machine's clock; else "+again,
	).of(ScopeCredential),
	70016:   transient("nobody has entered the device code yet", "enter it on the page shown").of(ScopeChain),
	1002012: config("a scope for client credentials must end in /.default", "check resource ({resource})"),
}

var credentialCodes = map[int]explanation{
	70002: weak(config(
		"the credentials did not validate",
		"check client_id {client} and its secret or certificate",
	).of(ScopeCredential)),
	7000215: config(
		"the client secret is wrong",
		"paste the secret's value, not its ID, into client_secret or its file, "+
			"and check that it belongs to client_id {client}",
	).of(ScopeCredential),
	7000222: config(
		"the client secret has expired",
		"create a new secret for {client} (Entra admin center, App registrations, Certificates & secrets) "+
			"and put its value into client_secret or its file",
	).of(ScopeCredential),
	7000218: config(
		"the application {client} must send a secret or certificate",
		"set client_secret or client_certificate_file; "+
			"for a public client turn on \"Allow public client flows\" in its registration",
	).of(ScopeCredential),
	700025: config(
		"the application {client} is a public client and must not send a secret",
		"remove client_secret (for defenderctl: unset DEFENDER_CLIENT_SECRET, give no --client-secret-file), "+
			"or register the redirect address as Web",
	).of(ScopeApplication),
	700027: config(
		"the certificate or the assertion signed with it was not accepted",
		"upload the certificate of client_certificate_file to the registration of {client}",
	).of(ScopeCredential),
	50012: config(
		"the certificate or the assertion signed with it was not accepted",
		"upload the certificate of client_certificate_file to the registration of {client}",
	).of(ScopeCredential),
	700024: config(
		"the signed assertion is not valid at this time",
		"set this machine's clock (NTP)",
	).of(ScopeCredential),
}

const (
	mfa     = "sign in again with multi-factor authentication: {acquire}"
	policy  = "the customer exempts the account from the conditional access policy or allows this machine's address"
	exclude = "the customer excludes the provider's users (service provider users, guests) from the policy"
	guest   = "invite the account as a guest (B2B) into tenant {tenant}, " +
		"accept the invitation, then sign in again: {acquire}"
)

var userCodes = map[int]explanation{
	50076:  signIn("multi-factor authentication is required now", mfa).of(ScopeCustomer),
	50074:  signIn("multi-factor authentication is required now", mfa).of(ScopeCustomer),
	50079:  signIn("the user must enrol for multi-factor authentication", mfa).of(ScopeCustomer),
	50072:  signIn("the user must enrol for multi-factor authentication", mfa).of(ScopeCustomer),
	50078:  signIn("the multi-factor authentication has expired", mfa).of(ScopeCustomer),
	50158:  signIn("an external security challenge has to be met", mfa).of(ScopeCustomer),
	53003:  refused("a conditional access policy of tenant {tenant} blocks the sign-in", policy),
	530032: refused("a security policy of tenant {tenant} blocks the sign-in", policy),
	53000:  refused("a policy of tenant {tenant} asks for a compliant device", policy),
	53001:  refused("a policy of tenant {tenant} asks for a domain-joined device", policy),
	50005:  refused("a policy of tenant {tenant} does not allow this kind of device", policy),
	50097:  refused("a policy of tenant {tenant} asks for device authentication", policy),
	50131: signIn(
		"a conditional access policy of tenant {tenant} does not accept this sign-in",
		"sign in again from where the policy allows it: {acquire}; or "+policy,
	).of(ScopeCustomer),
	53011: refused(
		"the user is blocked for risk in the home tenant",
		"an administrator of the user's home tenant clears the risk, then sign in again: {acquire}",
	).of(ScopeChain),
	530034: refused(
		"the user is blocked",
		"an administrator unblocks the user, then sign in again: {acquire}",
	).of(ScopeChain),
	50053: refused(
		"the account is locked, or the address is known as malicious",
		"an administrator unlocks the account; check what else tries to sign in with it",
	).of(ScopeChain),
	50034: refused("the account does not exist in tenant {tenant}", guest),
	50020: refused("the account is not in tenant {tenant}", guest),
	16000: refused(
		"the account is not in tenant {tenant}, or several accounts are signed in",
		"choose the right account when signing in; else "+guest,
	),
	16003: refused("the account was not added to tenant {tenant}", guest),
	50014: refused("the guest account has not accepted its invitation", guest),
	51004: refused("the account is not in tenant {tenant}", guest),
	90072: refused("the account is not in tenant {tenant}", guest),
	500212: refused(
		"the cross-tenant access policy does not allow this sign-in",
		"the customer's or the home tenant's administrator allows it in the cross-tenant access settings",
	),
	500213: refused(
		"the customer's cross-tenant access policy does not allow this sign-in",
		"the customer's administrator allows it in the cross-tenant access settings",
	),
	500021: refused(
		"tenant restrictions of this network or tenant do not allow access to tenant {tenant}",
		"the administrator of the network or tenant allows {tenant}",
	),
	50055: signIn("the user's password has expired", "set a new password, then sign in again: {acquire}"),
	50144: signIn("the user's password has expired", "set a new password, then sign in again: {acquire}"),
	50057: refused(
		"the user's account is disabled",
		"an administrator enables the account, or sign in as another user: {acquire}",
	).of(ScopeChain),
	50126: signIn("user name or password is wrong", again),
	50058: signIn("no user is signed in", again),
	50177: refused(
		"the account has no access to tenant {tenant}: it is no guest there, and no role reaches it through GDAP",
		"the provider checks that the relationship is active and the user's group has a role in it; else "+guest,
	),
	50178: refused(
		"a session policy of tenant {tenant} asks for what a provider's user or guest cannot meet",
		exclude,
	),
	530003: refused("a policy of tenant {tenant} asks for a managed device", policy),
	530036: refused("a conditional access policy of tenant {tenant} does not allow this way to sign in", policy),
	900421: signIn("Partner Center asks for a sign-in with multi-factor authentication", mfa),
}

const wait = "try again later; a running input does so by itself"

var serviceCodes = map[int]explanation{
	50196: config(
		"the sign-in service saw the same request too often (a loop)",
		"look for another program that signs in with {client} over and over; this one waits",
	).of(ScopeChain),
	90006: transient("the sign-in service is temporarily unavailable", wait),
	90012: transient("the sign-in service took too long", wait),
	90024: transient("the sign-in service is temporarily busy", wait),
	90033: transient("the sign-in service is temporarily unavailable", wait),
	50033: transient("the sign-in service has a temporary fault", wait),
	50087: transient("the sign-in service is temporarily unavailable", wait),
	90090: transient("the sign-in service has a temporary fault", wait),
	90055: transient("tenant {tenant} signs in too often and is slowed down", wait).of(ScopeCustomer),
	50000: transient(
		"the sign-in service has a fault",
		wait+"; if it stays, send the ids that follow to Microsoft's support",
	),
}

// family explains codes of a group whose members all mean much the same; ok is false for
// others.
func family(code int) (explanation, bool) {
	switch {
	case code/10 == 5007:
		return signIn("multi-factor authentication is asked for", mfa).of(ScopeCustomer), true
	case code/10 == 5013:
		return signIn("the session is not valid any more", again), true
	case code/1000 == 53, code/1000 == 530:
		return refused("a conditional access policy of tenant {tenant} blocks the sign-in", policy), true
	}

	return explanation{}, false
}

// lookUp finds what is known of a code.
func lookUp(code int) (explanation, bool) {
	if x, ok := explanations[code]; ok {
		return x, true
	}

	return family(code)
}
