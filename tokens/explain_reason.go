package tokens

import (
	"fmt"

	"fluent-bit-defender/internal/advice"
)

// reasonsOfCodes says which reason each AADSTS code of the table has. Every code of the
// table is in one of these lists, and in one only.
var reasonsOfCodes = map[advice.Reason][]int{
	advice.ConsentMissing: {
		90099, 700016, 700011, 70001, 7000112, // the application is not there, or disabled
		65001, 65002, 65004, 650051, 90093, 90094, 90095, // a permission is not consented to
		65005, 650057, // the registration does not ask for it
	},
	advice.RoleMissing: {50105},
	advice.GDAPEnded: {
		50020, 50034, 50177, 90072,
		16000, 16003, 50014, 51004, // ways to say that the account is no guest
	},
	advice.SessionControl: {50178, 50158},
	advice.MFARequired:    {50072, 50074, 50076, 50078, 50079, 70043, 900421},
	advice.ConditionalAccess: {
		53000, 53001, 53003, 53011, 530003, 530032, 530036, 50005, 50097, 50131,
		500021, 500212, 500213, // cross-tenant access and tenant restrictions
	},
	advice.TenantGone: {
		5000224, 5000225, 90002,
		90038, 900382, 900432, 9001023, // another cloud, or no single tenant
	},
	advice.TokenDead: {
		700082, 70008, 700084, 70000, 50173, 50132, 50133, 700003,
		50053, 50055, 50057, 50058, 50126, 50144, 530034, // the user cannot sign in
		54005, 50089, 50147, 500112, 501481, 501491, 700005, // a sign-in that did not end well
		70016, 70018, 70019, 70020, // a device code
	},
	advice.CredentialWrong: {
		7000215, 7000218, 700025, 700027, 50012, 50013, 500133, 700024, 70002,
		50011, 50194, 9002327, 70003, // the registration
		70011, 28002, 28003, 700022, 1002012, 901002, // what is asked for
		900144, 90014, 9002313, 90004, 90023, 90100,
	},
	advice.CredentialExpired: {7000222},
	advice.NotLicensed:       {50001, 500011, 650052},
	advice.Throttled:         {50196, 90055},
	advice.Unreachable:       {900561}, // a proxy changed the request
	advice.BadAnswer:         {90006, 90024, 90033, 50033, 50087, 90090, 50000},
	advice.TooSlow:           {90012},
}

// reasonsOfErrors says which reason each error name of OAuth has.
var reasonsOfErrors = map[advice.Reason][]string{
	advice.ConsentMissing: {"unauthorized_client", "access_denied", "consent_required", "permission_denied"},
	advice.MFARequired:    {"interaction_required"},
	advice.TokenDead: {
		"invalid_grant",
		"login_required",
		"authorization_pending",
		"authorization_declined",
		"bad_verification_code",
		"expired_token",
		"code_expired",
	},
	advice.CredentialWrong: {"invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"},
	advice.NotLicensed:     {"invalid_resource"},
	advice.Throttled:       {"slow_down"},
	advice.BadAnswer:       {"temporarily_unavailable", "server_error"},
}

// withReasons puts the reasons into a table of explanations, and returns it. It panics
// if a list names a row that does not exist, or that has a reason already: the tables
// are fixed, so that any test finds this.
func withReasons[K comparable](table map[K]explanation, lists map[advice.Reason][]K) map[K]explanation {
	for reason, keys := range lists {
		for _, key := range keys {
			x, ok := table[key]
			if !ok || x.reason != "" {
				panic(fmt.Sprintf("the reason of %v: no such row, or one with another reason", key))
			}

			table[key] = x.as(reason)
		}
	}

	return table
}
