package tokens

// again is the remedy of most dead refresh tokens.
const again = "sign in again: {acquire}"

// oauthExplanations serve when no code says more. device_code errors: RFC 8628 section 3.5.
var oauthExplanations = map[string]explanation{
	"invalid_request":         {sentence: "the sign-in service found the request malformed", remedy: "check tenant_id {tenant}, client_id {client} and the resource {resource}", fate: Config, exit: ExitFailed},
	"invalid_client":          {sentence: "the sign-in service did not accept the application's credential", remedy: "check client_id {client} and its secret or certificate", fate: Config, exit: ExitFailed},
	"invalid_grant":           {sentence: "the refresh token or code is not valid any more", remedy: again, fate: NeedsSignIn, exit: ExitNeedsSignIn},
	"unauthorized_client":     {sentence: "the application {client} may not sign in this way in tenant {tenant}", remedy: "an administrator of the tenant opens {consent}", fate: NotAuthorised, exit: ExitNotAuthorised},
	"unsupported_grant_type":  {sentence: "the sign-in service does not offer this grant", remedy: "check login_url and grant", fate: Config, exit: ExitFailed},
	"invalid_scope":           {sentence: "the sign-in service does not accept the scope", remedy: "check resource ({resource})", fate: Config, exit: ExitFailed},
	"invalid_resource":        {sentence: "the resource {resource} is not known in tenant {tenant}", remedy: "check resource, and that the customer has the Defender licence", fate: NotAuthorised, exit: ExitNotAuthorised},
	"access_denied":           {sentence: "the sign-in was declined", remedy: "sign in as a user who may consent, or let an administrator open {consent}", fate: NotAuthorised, exit: ExitNotAuthorised},
	"consent_required":        {sentence: "the application {client} has no consent in tenant {tenant}", remedy: "an administrator of the tenant opens {consent}", fate: NotAuthorised, exit: ExitNotAuthorised},
	"permission_denied":       {sentence: "the administrator did not grant the permissions", remedy: "an administrator of the tenant opens {consent}", fate: NotAuthorised, exit: ExitNotAuthorised},
	"interaction_required":    {sentence: "the sign-in service asks for a person", remedy: again, fate: NeedsSignIn, exit: ExitNeedsSignIn},
	"login_required":          {sentence: "the sign-in service asks for a person", remedy: again, fate: NeedsSignIn, exit: ExitNeedsSignIn},
	"temporarily_unavailable": {sentence: "the sign-in service is busy", remedy: wait, fate: Transient, exit: ExitFailed},
	"server_error":            {sentence: "the sign-in service has a fault", remedy: wait, fate: Transient, exit: ExitFailed},
	"authorization_pending":   {sentence: "nobody has entered the device code yet", remedy: "enter it on the page shown", fate: Transient, exit: ExitFailed},
	"slow_down":               {sentence: "the sign-in service is asked too often", remedy: "it is asked more slowly by itself", fate: Transient, exit: ExitFailed},
	"authorization_declined":  {sentence: "the sign-in with the device code was declined", remedy: "start over and accept: {acquire} --device-code", fate: NotAuthorised, exit: ExitNotAuthorised},
	"bad_verification_code":   {sentence: "the device code was not recognised", remedy: "start over: {acquire} --device-code", fate: Config, exit: ExitFailed},
	"expired_token":           {sentence: "the device code has expired", remedy: "start over: {acquire} --device-code", fate: Config, exit: ExitFailed},
	"code_expired":            {sentence: "the device code has expired", remedy: "start over: {acquire} --device-code", fate: Config, exit: ExitFailed},
}

// explanations by AADSTS code, built once from the groups.
var explanations = join(applicationCodes, permissionCodes, requestCodes, grantCodes, credentialCodes, userCodes, serviceCodes)

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
	return explanation{sentence: sentence, remedy: remedy, fate: Config, exit: ExitFailed}
}

func signIn(sentence, remedy string) explanation {
	return explanation{sentence: sentence, remedy: remedy, fate: NeedsSignIn, exit: ExitNeedsSignIn}
}

func dead(sentence, remedy string) explanation {
	x := signIn(sentence, remedy)
	x.dead = true
	return x
}

func refused(sentence, remedy string) explanation {
	return explanation{sentence: sentence, remedy: remedy, fate: NotAuthorised, exit: ExitNotAuthorised}
}

func transient(sentence, remedy string) explanation {
	return explanation{sentence: sentence, remedy: remedy, fate: Transient, exit: ExitFailed}
}

const (
	consent    = "an administrator of the tenant opens {consent}; also check tenant_id and client_id"
	appMissing = "the application {client} is not known in tenant {tenant}"
	register   = "register exactly the redirect address that is sent: scheme, host, path, case and slash at the end"
	nextCloud  = "set cloud (gcc, gcchigh, dod) or login_url to the tenant's cloud and use an application registered there"
	license    = "check that tenant {tenant} is the right one and has Microsoft Defender licensed and set up, and the resource ({resource})"
	permission = "add the API permission for {resource} to the application's registration, then consent again: {consent}"
)

var applicationCodes = map[int]explanation{
	50011:   config("the redirect address is not registered for application {client}", register),
	500112:  config("the redirect address sent with the code differs from the one that was opened", "send the same redirect address both times; start over: {acquire}"),
	50194:   config("the application {client} is registered for a single tenant", "use the customer's tenant id, or make the registration multi-tenant (Authentication, Supported account types)"),
	700016:  refused(appMissing, consent),
	700011:  refused(appMissing, consent),
	7000112: refused("the application {client} is disabled", "enable it: Entra admin center, Enterprise applications, Properties, \"Enabled for users to sign-in\""),
	70001:   refused("the application {client} is disabled or unknown in tenant {tenant}", consent),
	90002:   config("the tenant {tenant} does not exist at {login}", "check tenant_id, and cloud or login_url"),
	90038:   config("the tenant {tenant} belongs to another national cloud than {login}", nextCloud),
	900382:  config("the application and tenant {tenant} are in different national clouds", nextCloud),
	900432:  config("the application and tenant {tenant} are in different national clouds", nextCloud),
	9001023: config("this grant needs a tenant in the address, not common or organizations", "set tenant_id to the customer's tenant"),
}

var permissionCodes = map[int]explanation{
	50001:  refused("the resource {resource} is unknown or disabled in tenant {tenant}", license),
	500011: refused("the resource {resource} does not exist in tenant {tenant}", license),
	650057: refused("the application {client} does not ask for permissions on {resource}", permission),
	65005:  refused("the application {client} does not ask for permissions on {resource}", permission),
	650052: refused("tenant {tenant} has not subscribed to the service behind {resource}", license),
	65001:  refused("the application {client} has no consent in tenant {tenant}", "an administrator of the tenant opens {consent}"),
	65004:  refused("the user declined the application's permissions", "sign in again and accept, or let an administrator of the tenant open {consent}"),
	90094:  refused("consent of an administrator is required", "an administrator of the tenant opens {consent}"),
	90095:  refused("consent of an administrator was requested and is not given yet", "an administrator of the tenant approves the request, or opens {consent}"),
	50105:  refused("the user is not assigned to the application {client}", "assign the user: Entra admin center, Enterprise applications, Users and groups"),
}

const report = "this is a fault of this program or of what stands between: report it with the ids that follow"

var requestCodes = map[int]explanation{
	70011:   config("the scope is not valid", "check resource ({resource})"),
	28002:   config("the scope is not valid", "check resource ({resource})"),
	28003:   config("the scope is empty", "check resource ({resource})"),
	700022:  config("the scope names more than one resource", "name one resource only ({resource})"),
	901002:  config("a resource was sent to a v2 endpoint", report),
	900144:  config("a parameter is missing in the request", "check that client_id, tenant_id and the refresh token are set; else report it with the ids that follow"),
	90014:   config("a field is missing in the request", "check that client_id, tenant_id and the refresh token are set; else report it with the ids that follow"),
	9002313: config("the request is malformed", "check client_id, and that the refresh token or secret was pasted whole and without quotes"),
	90004:   config("the request is malformed", "check client_id, tenant_id and resource"),
	90023:   config("the request is not valid", "check client_id, tenant_id and resource"),
	90100:   config("a parameter of the request is empty or not valid", "check client_id, tenant_id and resource"),
	900561:  config("the endpoint was asked with GET instead of POST", "a proxy or redirect changed the request: check proxy and login_url"),
	70003:   config("the sign-in service does not offer this grant to the application", "check grant"),
	501481:  config("the code_verifier does not match the code_challenge", "start over: {acquire}; if it happens again, report it with the ids that follow"),
	50147:   config("the code_challenge is not valid", report),
	501491:  config("the code_challenge has the wrong size", report),
	700005:  config("the code was issued for another tenant", "start over with one tenant id: {acquire}"),
	50089:   config("the sign-in took too long", "start over: {acquire}"),
	54005:   config("the code was already redeemed", "start over: {acquire}"),
	70018:   config("the device code was not recognised", "start over: {acquire} --device-code"),
	70019:   config("the device code has expired", "start over: {acquire} --device-code"),
	70020:   config("the device code has expired", "start over: {acquire} --device-code"),
}

var grantCodes = map[int]explanation{
	70008:   dead("the refresh token or code has expired", again),
	700082:  dead("the refresh token has expired because it was not used for 90 days", again),
	700084:  dead("the refresh token has expired: one issued to a single-page application lives 24 hours", "register the redirect address as Web instead of SPA, then sign in again: {acquire}"),
	70043:   dead("the refresh token has expired by the tenant's sign-in frequency policy", "exempt the account from the policy, then sign in again: {acquire}"),
	70000:   {sentence: "the refresh token or code is malformed, cut short or not usable any more", remedy: "check that it was pasted whole; else sign in again: {acquire}", fate: NeedsSignIn, exit: ExitNeedsSignIn, dead: true, doubtful: true},
	50173:   dead("the refresh token was revoked (password reset, or an administrator or the user ended all sessions)", again),
	50132:   dead("the session is not valid any more because the password changed or expired", again),
	50133:   dead("the session is not valid any more because the password changed or expired", again),
	500133:  signIn("the token sent as proof has expired", again),
	50013:   signIn("the assertion sent as proof is not valid", "check client_certificate_file and this machine's clock; else "+again),
	70016:   transient("nobody has entered the device code yet", "enter it on the page shown"),
	1002012: config("a scope for client credentials must end in /.default", "check resource ({resource})"),
}

var credentialCodes = map[int]explanation{
	70002:   {sentence: "the credentials did not validate", remedy: "check client_id {client} and its secret or certificate", fate: Config, exit: ExitFailed, weak: true},
	7000215: config("the client secret is wrong", "paste the secret's value, not its ID, into client_secret or its file, and check that it belongs to client_id {client}"),
	7000222: config("the client secret has expired", "create a new secret for {client} (Entra admin center, App registrations, Certificates & secrets) and put its value into client_secret or its file"),
	7000218: config("the application {client} must send a secret or certificate", "set client_secret or client_certificate_file; for a public client turn on \"Allow public client flows\" in its registration"),
	700025:  config("the application {client} is a public client and must not send a secret", "remove client_secret (for defenderctl: unset DEFENDER_CLIENT_SECRET, give no --client-secret-file), or register the redirect address as Web"),
	700027:  config("the certificate or the assertion signed with it was not accepted", "upload the certificate of client_certificate_file to the registration of {client}"),
	50012:   config("the certificate or the assertion signed with it was not accepted", "upload the certificate of client_certificate_file to the registration of {client}"),
	700024:  config("the signed assertion is not valid at this time", "set this machine's clock (NTP)"),
}

const (
	mfa    = "sign in again with multi-factor authentication: {acquire}"
	policy = "the customer exempts the account from the conditional access policy or allows this machine's address"
	guest  = "invite the account as a guest (B2B) into tenant {tenant}, accept the invitation, then sign in again: {acquire}"
)

var userCodes = map[int]explanation{
	50076:  signIn("multi-factor authentication is required now", mfa),
	50074:  signIn("multi-factor authentication is required now", mfa),
	50079:  signIn("the user must enrol for multi-factor authentication", mfa),
	50072:  signIn("the user must enrol for multi-factor authentication", mfa),
	50078:  signIn("the multi-factor authentication has expired", mfa),
	50158:  signIn("an external security challenge has to be met", mfa),
	53003:  refused("a conditional access policy of tenant {tenant} blocks the sign-in", policy),
	530032: refused("a security policy of tenant {tenant} blocks the sign-in", policy),
	53000:  refused("a policy of tenant {tenant} asks for a compliant device", policy),
	53001:  refused("a policy of tenant {tenant} asks for a domain-joined device", policy),
	50005:  refused("a policy of tenant {tenant} does not allow this kind of device", policy),
	50097:  refused("a policy of tenant {tenant} asks for device authentication", policy),
	50131:  signIn("a conditional access policy of tenant {tenant} does not accept this sign-in", "sign in again from where the policy allows it: {acquire}; or "+policy),
	53011:  refused("the user is blocked for risk in the home tenant", "an administrator of the user's home tenant clears the risk, then sign in again: {acquire}"),
	530034: refused("the user is blocked", "an administrator unblocks the user, then sign in again: {acquire}"),
	50053:  refused("the account is locked, or the address is known as malicious", "an administrator unlocks the account; check what else tries to sign in with it"),
	50034:  refused("the account does not exist in tenant {tenant}", guest),
	50020:  refused("the account is not in tenant {tenant}", guest),
	16000:  refused("the account is not in tenant {tenant}, or several accounts are signed in", "choose the right account when signing in; else "+guest),
	16003:  refused("the account was not added to tenant {tenant}", guest),
	50014:  refused("the guest account has not accepted its invitation", guest),
	51004:  refused("the account is not in tenant {tenant}", guest),
	90072:  refused("the account is not in tenant {tenant}", guest),
	500212: refused("the cross-tenant access policy does not allow this sign-in", "the customer's or the home tenant's administrator allows it in the cross-tenant access settings"),
	500213: refused("the customer's cross-tenant access policy does not allow this sign-in", "the customer's administrator allows it in the cross-tenant access settings"),
	500021: refused("tenant restrictions of this network or tenant do not allow access to tenant {tenant}", "the administrator of the network or tenant allows {tenant}"),
	50055:  signIn("the user's password has expired", "set a new password, then sign in again: {acquire}"),
	50144:  signIn("the user's password has expired", "set a new password, then sign in again: {acquire}"),
	50057:  refused("the user's account is disabled", "an administrator enables the account, or sign in as another user: {acquire}"),
	50126:  signIn("user name or password is wrong", again),
	50058:  signIn("no user is signed in", again),
}

const wait = "try again later; a running input does so by itself"

var serviceCodes = map[int]explanation{
	50196: config("the sign-in service saw the same request too often (a loop)", "look for another program that signs in with {client} over and over; this one waits"),
	90006: transient("the sign-in service is temporarily unavailable", wait),
	90012: transient("the sign-in service took too long", wait),
	90024: transient("the sign-in service is temporarily busy", wait),
	90033: transient("the sign-in service is temporarily unavailable", wait),
	50033: transient("the sign-in service has a temporary fault", wait),
	50087: transient("the sign-in service is temporarily unavailable", wait),
	90090: transient("the sign-in service has a temporary fault", wait),
	90055: transient("tenant {tenant} signs in too often and is slowed down", wait),
	50000: transient("the sign-in service has a fault", wait+"; if it stays, send the ids that follow to Microsoft's support"),
}

// family explains codes of a group whose members all mean much the same; ok is false for others.
func family(code int) (explanation, bool) {
	switch {
	case code/10 == 5007:
		return signIn("multi-factor authentication is asked for", mfa), true
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
