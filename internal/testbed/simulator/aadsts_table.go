package simulator

type aadsts struct {
	err      string
	status   int
	suberror string
	text     string
}

const basicAction = "basic_action"

// aadstsTable has the codes that an MSSP meets. Sources: entra-docs
// reference-error-codes.md for codes and texts; the strings of `error` where the
// documents print them, else as seen in public issues; texts are shortened.
var aadstsTable = map[int]aadsts{
	16000: {
		"interaction_required",
		400,
		"",
		"User account '{user}' from identity provider does not exist in tenant '{tenant}' and cannot access the " +
			"application.",
	},
	16003: {
		"invalid_grant",
		400,
		"",
		"Sign-in failed because the user has not been explicitly added to the tenant.",
	},
	28002: {
		"invalid_scope",
		400,
		"",
		"Provided value for the input parameter scope is not valid when requesting an access token.",
	},
	28003: {
		"invalid_scope",
		400,
		"",
		"Provided value for the input parameter scope cannot be empty when requesting an access token using the " +
			"provided authorization code.",
	},
	50000: {"server_error", 500, "", "There was an error issuing a token or an issue with our sign-in service."},
	50001: {
		"invalid_resource",
		400,
		"",
		"The resource principal named {resource} was not found in the tenant named {tenant}.",
	},
	50005: {
		"interaction_required",
		400,
		"message_only",
		"User tried to log in to a device from a platform that's currently not supported through Conditional " +
			"Access policy.",
	},
	50011: {
		"invalid_client",
		400,
		"",
		"The redirect URI specified in the request does not match the redirect URIs configured for the application " +
			"'{client}'.",
	},
	50012: {"invalid_client", 401, "", "Authentication failed: the client assertion was used before."},
	50013: {"invalid_grant", 400, "", "Assertion failed signature validation."},
	50014: {"access_denied", 400, "", "Guest user's redemption is in a pending state."},
	50020: {
		"invalid_grant",
		400,
		"",
		"User account '{user}' from identity provider does not exist in tenant '{tenant}' and cannot access the " +
			"application '{client}' in that tenant.",
	},
	50027: {"invalid_client", 401, "", "Invalid JWT token. The client assertion is malformed."},
	50033: {"temporarily_unavailable", 503, "", "A transient error has occurred. Please try again."},
	50034: {"invalid_grant", 400, "", "The user account {user} does not exist in the {tenant} directory."},
	50053: {
		"invalid_grant",
		400,
		"",
		"The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
	},
	50055: {"invalid_grant", 400, "user_password_expired", "The password is expired."},
	50057: {"invalid_grant", 400, "", "The user account is disabled."},
	50058: {"login_required", 400, "", "A silent sign-in request was sent but no user is signed in."},
	50072: {
		"interaction_required",
		400,
		basicAction,
		"Due to a configuration change made by your administrator, you must enroll in multi-factor authentication " +
			"to access '{resource}'.",
	},
	50074: {"interaction_required", 400, basicAction, "Strong Authentication is required."},
	50076: {
		"interaction_required",
		400,
		basicAction,
		"Due to a configuration change made by your administrator, or because you moved to a new location, you " +
			"must use multi-factor authentication to access '{resource}'.",
	},
	50078: {
		"interaction_required",
		400,
		basicAction,
		"Presented multi-factor authentication has expired due to policies configured by your administrator, you " +
			"must refresh your multi-factor authentication to access '{resource}'.",
	},
	50079: {
		"interaction_required",
		400,
		basicAction,
		"Due to a configuration change made by your administrator, you must enroll in multi-factor authentication " +
			"to access '{resource}'.",
	},
	50087: {
		"temporarily_unavailable",
		503,
		"",
		"A transient error has occurred during strong authentication. Please try again.",
	},
	50089: {"invalid_grant", 400, "", "Flow token expired."},
	50097: {"interaction_required", 400, "message_only", "Device authentication is required."},
	50105: {
		"invalid_grant",
		400,
		"",
		"Your administrator has configured the application ('{client}') to block users unless they are " +
			"specifically granted access to the application.",
	},
	50126: {"invalid_grant", 400, "", "Error validating credentials due to invalid username or password."},
	50131: {"interaction_required", 400, "message_only", "Device is not in required device state."},
	50132: {
		"invalid_grant",
		400,
		"bad_token",
		"The session is not valid due to password expiration or recent password change.",
	},
	50133: {
		"invalid_grant",
		400,
		"bad_token",
		"The session is not valid due to password expiration or recent password change.",
	},
	50144: {"invalid_grant", 400, "user_password_expired", "The user's Active Directory password has expired."},
	50147: {"invalid_request", 400, "", "Invalid size of Code_Challenge parameter."},
	50158: {"interaction_required", 400, basicAction, "External security challenge not satisfied."},
	50173: {
		"invalid_grant",
		400,
		"bad_token",
		"The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have " +
			"changed or reset their password.",
	},
	50177: {
		"invalid_grant",
		400,
		"",
		"User account '{user}' from identity provider does not exist in tenant '{tenant}' and cannot access the " +
			"application '{client}' in that tenant. The account needs to be added as an external user in the " +
			"tenant first.",
	},
	50178: {"interaction_required", 400, "message_only", "Session control is not supported for passthrough users."},
	50194: {
		"invalid_request",
		400,
		"",
		"Application '{client}' is not configured as a multi-tenant application. Usage of the /common endpoint is " +
			"not supported for such apps.",
	},
	50196: {
		"invalid_grant",
		400,
		"",
		"The server terminated an operation because it encountered a client request loop. Please contact your app " +
			"vendor.",
	},
	51004: {
		"invalid_grant",
		400,
		"",
		"The user account {user} does not exist in the {tenant} directory. To sign into this application, the " +
			"account must be added to the directory.",
	},
	53000: {
		"interaction_required",
		400,
		"message_only",
		"Your device is required to be managed to access this resource.",
	},
	53001: {
		"interaction_required",
		400,
		"message_only",
		"Your device is required to be domain joined to access this resource.",
	},
	53003: {
		"invalid_grant",
		400,
		"message_only",
		"Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
	},
	53011: {"invalid_grant", 400, "", "User blocked due to risk on home tenant."},
	54005: {
		"invalid_grant",
		400,
		"",
		"OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing " +
			"refresh token.",
	},
	65001: {
		"invalid_grant",
		400,
		"consent_required",
		"The user or administrator has not consented to use the application with ID '{client}'. Send an " +
			"interactive authorization request for this user and resource.",
	},
	65002: {
		"invalid_grant",
		400,
		"",
		"Consent between first party application '{client}' and first party resource must be configured via " +
			"preauthorization.",
	},
	65004: {"access_denied", 400, "", "User declined to consent to access the app."},
	65005: {
		"invalid_client",
		400,
		"",
		"The application '{client}' asked for scope that doesn't exist or isn't in its required resources.",
	},
	70000: {"invalid_grant", 400, "bad_token", "Provided grant is invalid or malformed."},
	70001: {"invalid_client", 400, "", "Application with identifier '{client}' is disabled."},
	70002: {"invalid_client", 401, "", "Error validating credentials."},
	70003: {"unsupported_grant_type", 400, "", "The app requested an unsupported grant type."},
	70008: {
		"invalid_grant",
		400,
		"token_expired",
		"The provided authorization code or refresh token has expired due to inactivity. Send a new interactive " +
			"authorization request for this user and resource.",
	},
	70011: {"invalid_scope", 400, "", "The provided value for the input parameter 'scope' is not valid."},
	70016: {
		"authorization_pending",
		400,
		"",
		"OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
	},
	70018: {"bad_verification_code", 400, "", "Bad verification code received."},
	70019: {"expired_token", 400, "", "Verification code expired."},
	70043: {
		"invalid_grant",
		400,
		"token_expired",
		"The refresh token has expired or is invalid due to sign-in frequency checks by conditional access.",
	},
	90002: {
		"invalid_request",
		400,
		"",
		"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the " +
			"correct cloud.",
	},
	90004: {"invalid_request", 400, "", "Malformed request. The request isn't properly formatted."},
	90006: {"temporarily_unavailable", 503, "", "The service is temporarily unavailable. Please retry later."},
	90012: {"temporarily_unavailable", 503, "", "RequestTimeout - The request has timed out."},
	90014: {"invalid_request", 400, "", "The required field '{detail}' is missing from the credential."},
	90023: {"invalid_request", 400, "", "The authentication service request isn't valid: {detail}."},
	90024: {
		"temporarily_unavailable",
		503,
		"",
		"RequestBudgetExceededError - A transient error has occurred. Try again.",
	},
	90033: {"temporarily_unavailable", 503, "", "A transient error has occurred. Please try again."},
	90038: {
		"invalid_request",
		400,
		"",
		"The tenant '{tenant}' belongs to another national cloud. Redirect the request to that cloud instance.",
	},
	90055: {"temporarily_unavailable", 429, "", "There are too many incoming requests for the tenant."},
	90072: {
		"invalid_grant",
		400,
		"",
		"User account '{user}' from identity provider does not exist in tenant '{tenant}' and cannot access the " +
			"application '{client}' in that tenant.",
	},
	90090: {"temporarily_unavailable", 503, "", "GraphRetryableError - The service is temporarily unavailable."},
	90093: {
		"access_denied",
		400,
		"",
		"This operation can only be performed by an administrator. Sign out and sign in as an administrator or " +
			"contact one of your organization's administrators.",
	},
	90094: {
		"access_denied",
		400,
		"",
		"Admin consent is required for the permissions requested by this application.",
	},
	90095: {"access_denied", 400, "", "Admin consent is required: a request was sent to your administrator."},
	90099: {
		"invalid_grant",
		400,
		"",
		"The application '{client}' has not been authorized in the tenant '{tenant}'. Applications must be " +
			"authorized to access the customer tenant before partner delegated administrators can use them.",
	},
	90100: {"invalid_request", 400, "", "The parameter '{detail}' is empty or not valid."},
	500011: {
		"invalid_resource",
		400,
		"",
		"The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if " +
			"the application has not been installed by the administrator of the tenant or consented to by any user " +
			"in the tenant.",
	},
	500021: {"access_denied", 400, "", "Access to '{tenant}' tenant is denied."},
	500112: {
		"invalid_client",
		400,
		"",
		"The reply address does not match the one provided when requesting the authorization code.",
	},
	500133: {"invalid_grant", 400, "", "Assertion is not within its valid time range."},
	500212: {
		"access_denied",
		400,
		"",
		"The user's administrator has set an outbound access policy that does not allow access to the resource tenant.",
	},
	500213: {
		"access_denied",
		400,
		"",
		"The resource tenant's cross-tenant access policy does not allow this user to access this tenant.",
	},
	501481: {
		"invalid_grant",
		400,
		"",
		"The Code_Verifier does not match the code_challenge supplied in the authorization request.",
	},
	501491: {"invalid_request", 400, "", "Invalid size of Code_Challenge parameter."},
	530003: {
		"interaction_required",
		400,
		"message_only",
		"Your device is required to be managed to access this resource.",
	},
	530032: {"invalid_grant", 400, "message_only", "User blocked due to conditional access policy."},
	530034: {
		"invalid_grant",
		400,
		"",
		"A delegated administrator was blocked from accessing the tenant due to account risk in their home tenant.",
	},
	530036: {"invalid_grant", 400, "message_only", "Access has been blocked by Conditional Access policies."},
	650051: {
		"invalid_grant",
		400,
		"",
		"The application '{client}' asked for a permission that the tenant has not consented to.",
	},
	650052: {
		"invalid_client",
		400,
		"",
		"The app needs access to a service '{resource}' that your organization '{tenant}' has not subscribed to or " +
			"enabled.",
	},
	650057: {
		"invalid_resource",
		400,
		"",
		"Invalid resource. The client has requested access to a resource which is not listed in the requested " +
			"permissions in the client's application registration.",
	},
	700003: {
		"invalid_grant",
		400,
		"device_authentication_failed",
		"Device object was not found in the tenant '{tenant}' directory.",
	},
	700005: {"invalid_grant", 400, "", "The provided authorization code was issued for another tenant."},
	700011: {
		"unauthorized_client",
		400,
		"",
		"Application with identifier '{client}' was not found in the directory.",
	},
	700016: {
		"unauthorized_client",
		400,
		"",
		"Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the " +
			"application has not been installed by the administrator of the tenant or consented to by any user in " +
			"the tenant.",
	},
	700021: {
		"invalid_client",
		401,
		"",
		"Client assertion application identifier doesn't match 'client_id' parameter.",
	},
	700022: {
		"invalid_scope",
		400,
		"",
		"The provided value for the input parameter scope is not valid because it contains more than one resource.",
	},
	700023: {"invalid_client", 401, "", "Client assertion audience claim does not match Realm issuer."},
	700024: {"invalid_client", 401, "", "Client assertion is not within its valid time range."},
	700025: {
		"invalid_client",
		401,
		"",
		"Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
	},
	700027: {
		"invalid_client",
		401,
		"",
		"The certificate with identifier used to sign the client assertion is not registered on application. " +
			"[Reason - The key was not found.]",
	},
	700082: {
		"invalid_grant",
		400,
		"token_expired",
		"The refresh token has expired due to inactivity. The token was issued on {issued} and was inactive for " +
			"90.00:00:00.",
	},
	700084: {
		"invalid_grant",
		400,
		"token_expired",
		"The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of " +
			"1.00:00:00, which can't be extended.",
	},
	900144: {"invalid_request", 400, "", "The request body must contain the following parameter: '{detail}'."},
	900382: {"invalid_request", 400, "", "Confidential Client is not supported in Cross Cloud request."},
	900421: {"interaction_required", 400, basicAction, "Multi-factor authentication is required by Partner Center."},
	900432: {"invalid_request", 400, "", "Confidential Client is not supported in Cross Cloud request."},
	900561: {"invalid_request", 400, "", "The endpoint only accepts POST requests. Received a {detail} request."},
	901002: {"invalid_request", 400, "", "The 'resource' request parameter is not supported."},
	1002012: {
		"invalid_scope",
		400,
		"",
		"The provided value for scope {detail} is not valid. Client credential flows must have a scope value with " +
			"/.default suffixed to the resource identifier (application ID URI).",
	},
	5000224: {"invalid_request", 400, "", "We are sorry, this resource is not available."},
	5000225: {"invalid_request", 400, "", "This tenant has been blocked due to inactivity."},
	7000112: {"unauthorized_client", 400, "", "Application '{client}' is disabled."},
	7000215: {
		"invalid_client",
		401,
		"",
		"Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, " +
			"not the client secret ID, for a secret added to app '{client}'.",
	},
	7000218: {
		"invalid_client",
		401,
		"",
		"The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
	},
	7000222: {"invalid_client", 401, "", "The provided client secret keys for app '{client}' are expired."},
	9001023: {
		"invalid_request",
		400,
		"",
		"The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations " +
			"or tenant-specific endpoint.",
	},
	9002313: {"invalid_request", 400, "", "Invalid request. Request is malformed or invalid."},
	9002326: {
		"invalid_request",
		400,
		"",
		"Cross-origin token redemption is permitted only for the 'Single-Page Application' client-type.",
	},
	9002327: {
		"invalid_request",
		400,
		"",
		"Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin requests.",
	},
}
