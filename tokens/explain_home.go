package tokens

import "fluent-bit-defender/internal/advice"

// view has the words for a code where a customer refused the provider's sign-in: nobody
// signs in at the customer, and no guest is invited.
type view struct{ problem, remedy string }

// The views of customers' refusals, for rows of the table (explanation.abroad).
var (
	newCustomer = view{
		"the application {client} is not in tenant {tenant} yet, as in every new customer's",
		"run: defenderctl tenants consent {tenant}; or an administrator of the customer opens {consent}",
	}
	unconsented = view{
		"the application {client} is in tenant {tenant}, and a permission that it needs has no consent there",
		"run: defenderctl tenants consent {tenant}; or an administrator of the customer opens {consent}",
	}
	noRole = view{
		"the provider's user has no access to tenant {tenant}: the relationship (GDAP) has ended, the user's group " +
			"has no role in it, or a guest account of the same user stands in its way",
		"the provider checks in Partner Center that the relationship is active and the user's group has a role " +
			"in it; the customer removes a guest account of the user",
	}
	sessionPolicy = view{
		"a policy of tenant {tenant} asks for a session control or another's multi-factor authentication, " +
			"which a provider's user cannot meet",
		"the customer excludes the provider's users (service provider users of tenant {home}) from that policy",
	}
	accessPolicy = view{
		"a conditional access policy of tenant {tenant} blocks the provider's user",
		"the customer excludes the provider's users (service provider users of tenant {home}) from the policy, " +
			"or allows this machine's address",
	}
	secondFactor = view{
		"tenant {tenant} asks for multi-factor authentication that the provider's sign-in does not have, " +
			"or does not trust",
		"the customer trusts the multi-factor authentication of tenant {home} (cross-tenant access settings); " +
			"if the sign-in has none, sign in again with it: {acquire}",
	}
	gone = view{
		"the tenant {tenant} is gone: it does not exist, or was deleted or blocked",
		"if the customer has left, remove the tenant; else check tenant_id, and cloud or login_url",
	}
)

// abroad sets the words for a customer that is reached with the provider's sign-in.
func (x explanation) abroad(v view) explanation {
	x.view = v
	return x
}

// seenFrom returns the explanation in the words for an application: one in the
// provider's own tenant, at a customer that is reached from there, or neither.
//
// A customer's refusal never says anything about the chain. It is about authorisation,
// unless the refresh token may have ended; then the provider's own tenant is asked. If
// that tenant refuses the user, this concerns every customer.
func (x explanation) seenFrom(app App) explanation {
	switch {
	case app.Home == "":
	case app.isHome():
		if x.dead {
			x.reason = advice.ChainDead
			x.problem = "the provider's sign-in has ended: " + x.problem
		}

		if x.dead || x.reason == advice.MFARequired {
			x.scope = advice.ScopeChain
		}
	default:
		if x.view != (view{}) {
			x.problem = x.view.problem
			x.remedy = x.view.remedy
		}

		if x.scope == advice.ScopeCustomer && x.fate != advice.TryAgain && !x.dead {
			x.fate = advice.NotAuthorised
		}
	}

	return x
}
