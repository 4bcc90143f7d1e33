package tokens

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"fluent-bit-defender/internal/advice"
)

// explanation is what is known of one AADSTS code.
type explanation struct {
	reason          advice.Reason
	problem, remedy string
	fate            advice.Fate
	scope           advice.Scope
	// view has other words for a customer that refused the provider's sign-in; zero: the
	// same words.
	view view
	// dead says that the refresh token that was sent will never work again.
	dead bool
	// unreliable says that good tokens were refused with this code too. The same token is
	// sent again at once, and then the token before it.
	unreliable bool
	// weak says that any other code in the same answer tells more.
	weak bool
}

// fault returns the explanation with app's ids filled in.
func (x explanation) fault(app App) advice.Fault {
	x = x.seenFrom(app)

	return advice.Fault{
		Reason:  x.reason,
		Problem: fill(x.problem, app),
		Remedy:  fill(x.remedy, app),
		Fate:    x.fate,
		Scope:   x.scope,
	}
}

// Explain returns what an AADSTS code means that the sign-in service returned to app.
// Every code has a problem and a remedy; those of unknown codes are general.
//
// Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
func Explain(code int, app App) advice.Fault {
	x, ok := lookUp(code)
	if !ok {
		x = unknownCode(code)
	}

	return x.fault(app)
}

// KnownCodes returns the AADSTS codes that have an explanation of their own, in
// ascending order.
func KnownCodes() []int {
	list := make([]int, 0, len(explanations))
	for c := range explanations {
		list = append(list, c)
	}

	slices.Sort(list)

	return list
}

// fill puts app's ids into a text of the tables.
func fill(text string, app App) string {
	if !strings.Contains(text, "{") {
		return text
	}

	return strings.NewReplacer(
		"{tenant}", cmp.Or(app.TenantID, "TENANT"),
		"{client}", cmp.Or(app.ClientID, "CLIENT"),
		"{resource}", cmp.Or(app.Resource, "the API"),
		"{login}", cmp.Or(LoginHost(app.LoginURL), "the sign-in service"),
		"{consent}", app.consentAddress(),
		"{home}", cmp.Or(app.Home, app.TenantID, "TENANT"),
		"{acquire}", app.acquire(),
	).Replace(text)
}

// AdminConsentURL returns the address that an administrator of the customer's tenant
// opens to allow the application everything its registration lists. redirectURI must be
// registered; empty leaves the choice to the registration.
//
// https://learn.microsoft.com/entra/identity-platform/v2-admin-consent
func (a App) AdminConsentURL(redirectURI, state string) string {
	v := url.Values{"client_id": {a.ClientID}}

	path := "/adminconsent"
	if a.Version != V1 {
		path = "/v2.0/adminconsent"
		// Application permissions are granted through /.default only.
		v.Set("scope", a.Resource+"/.default")
	}

	if redirectURI != "" {
		v.Set("redirect_uri", redirectURI)
	}

	if state != "" {
		v.Set("state", state)
	}

	return strings.TrimRight(a.LoginURL, "/") + "/" + url.PathEscape(a.TenantID) + path + "?" + v.Encode()
}

// consentAddress returns the shortest form of AdminConsentURL, which needs no redirect
// address.
func (a App) consentAddress() string {
	v1 := a

	v1.Version = V1
	if v1.LoginURL == "" {
		v1.LoginURL = "https://login.microsoftonline.com"
	}

	return v1.AdminConsentURL("", "")
}

// unknownCode explains a code that has no explanation.
func unknownCode(code int) explanation {
	return needsFix(
		"the sign-in service refused with "+codeName(code)+", which this program does not know",
		lookItUp(code),
	).of(advice.ScopeCustomer).as(advice.BadAnswer)
}

func lookItUp(code int) string {
	return fmt.Sprintf("look it up at https://login.microsoftonline.com/error?code=%d", code)
}

// Explain returns the error for the refusal. app is the application that asked; its ids
// appear in the text.
func (r Refusal) Explain(app App) *Error {
	x, code, known := tellingCode(r.AADSTS)
	if !known || x.weak && r.OAuth == "invalid_grant" {
		x = explainOAuth(r)
	}

	if !known && len(r.AADSTS) > 0 {
		code = r.AADSTS[0]
		x.remedy += "; " + lookItUp(code)
	}

	r.AADSTS = slices.Clone(r.AADSTS)
	e := &Error{
		Fault:      x.fault(app),
		Code:       code,
		Refusal:    r,
		dead:       x.dead,
		unreliable: x.unreliable,
	}

	// A service that answered 429 or 503 has decided nothing.
	if r.Status == http.StatusTooManyRequests || r.Status >= http.StatusInternalServerError {
		e.Reason = advice.BadAnswer
		e.Fate = advice.TryAgain
		e.Scope = advice.ScopeService
		e.dead = false
		e.unreliable = false

		if r.Status == http.StatusTooManyRequests || x.reason == advice.Throttled {
			e.Reason = advice.Throttled
		}
	}

	return e
}

// tellingCode returns the code that says most: the first known one that is not weak, or
// else the first known one. known is false if no code is known.
func tellingCode(codes []int) (x explanation, code int, known bool) {
	for _, c := range codes {
		candidate, ok := lookUp(c)
		if ok && (!known || x.weak && !candidate.weak) {
			x = candidate
			code = c
			known = true
		}
	}

	return x, code, known
}

// explainOAuth explains a refusal without a known code by its error name: RFC 6749
// sections 4.1.2.1 and 5.2, and Microsoft's additions. It never ends a refresh token,
// since Microsoft adds codes at any time.
func explainOAuth(r Refusal) explanation {
	name := r.OAuth
	if r.Suberror == "consent_required" {
		name = r.Suberror
	}

	x, ok := oauthExplanations[name]
	switch {
	case !ok:
		return needsFix(
			"the sign-in service refused the request",
			"look up the codes that follow, or send them to Microsoft's support",
		).of(advice.ScopeCustomer).as(advice.BadAnswer)
	case name == "invalid_grant" && len(r.AADSTS) > 0:
		x.scope = advice.ScopeCustomer // an unknown code may be about this customer only
	}

	// After a suberror of interaction it makes no sense to send the same token again at
	// once: a person has to act first.
	x.unreliable = name == "invalid_grant" && !slices.Contains(interaction, r.Suberror)

	return x
}

// interaction are the suberrors after which the same refresh token may work again once
// a person or an administrator acted, as the Microsoft Authentication Library
// classifies them.
var interaction = []string{
	"basic_action",
	"additional_action",
	"message_only",
	"consent_required",
	"device_authentication_failed",
	"protection_policy_required",
}
