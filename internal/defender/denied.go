package defender

import "fluent-bit-defender/internal/alert"

// forbidden returns what it means that the API denies access. At a provider's customer
// the permission came with the consent, without which there is no token.
func forbidden(s Settings) string {
	if s.abroad() {
		return "the provider's user may not read the alerts of tenant " + string(s.TenantID) +
			": the relationship (GDAP) has no role for it, or Defender's own roles keep the user out"
	}

	return "the token has no permission for this API in the customer's tenant"
}

// abroad reports whether the provider's sign-in reads the alerts of another tenant.
func (s Settings) abroad() bool { return s.Home != "" && s.Home != s.TenantID }

// permissionRemedy returns which permission has to be granted, and where.
func permissionRemedy(p alert.Permission, s Settings) string {
	if s.abroad() {
		return "ask the customer for a new relationship with the role Security Reader, since the roles of one cannot " +
			"be changed, and assign the user's group to it; where Defender's own roles are in use, the customer lets " +
			"the user view the data there; the consent needs " + p.Names() + " of " + p.Service
	}

	return "add " + p.Names() + " of " + p.Service + " to application " + string(s.ClientID) +
		" and ask an administrator of tenant " + string(s.TenantID) +
		" to consent to it; a user who signed in also needs a role that may view alerts"
}
