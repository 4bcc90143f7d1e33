package tokens

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// explanation is what is known of one AADSTS code.
type explanation struct {
	sentence, remedy string
	fate             Fate
	exit             ExitClass
	// scope says whom the refusal concerns.
	scope Scope
	// dead: when a refresh token was sent, it will never work again.
	dead bool
	// doubtful: good tokens were refused with it too. It is asked again at once, and the
	// token before is tried.
	doubtful bool
	// weak: says less than any code beside it.
	weak bool
}

// Explain gives, for an AADSTS code that the sign-in service answered for app, what
// happened in a sentence, what to do, what the failure waits for, and the exit code for a
// command. Any code has a sentence and a remedy; unknown ones general ones.
//
// Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
func Explain(code int, app App) (sentence, remedy string, fate Fate, exit ExitClass) {
	x, ok := lookUp(code)
	if !ok {
		x = unknownCode(code)
	}

	return fill(x.sentence, app), fill(x.remedy, app), x.fate, x.exit
}

// KnownCodes lists the AADSTS codes that have an explanation of their own, ascending.
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
		"{tenant}", orElse(app.TenantID, "TENANT"),
		"{client}", orElse(app.ClientID, "CLIENT"),
		"{resource}", orElse(app.Resource, "the API"),
		"{login}", orElse(LoginHost(app.LoginURL), "the sign-in service"),
		"{consent}", app.consentAddress(),
		"{acquire}", app.acquire(),
	).Replace(text)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}

	return s
}

// AdminConsentURL is the address an administrator of the customer's tenant opens to allow
// the application everything its registration lists. redirectURI must be registered;
// empty leaves the choice to the registration.
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

// consentAddress is the shortest form of AdminConsentURL, which needs no redirect
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
	return config(
		"the sign-in service refused with "+codeName(code)+", which this program does not know",
		lookItUp(code),
	).of(ScopeCustomer)
}

func lookItUp(code int) string {
	return fmt.Sprintf("look it up at https://login.microsoftonline.com/error?code=%d", code)
}

// explainAnswer makes the Error of a refusal.
func explainAnswer(a answer, status int, app App) *Error {
	e := &Error{
		OAuth:         a.err,
		Suberror:      a.suberror,
		Codes:         a.codes,
		TraceID:       a.trace,
		CorrelationID: a.correlation,
		Status:        status,
	}

	x, code, found := tellingCode(a.codes)
	if !found || x.weak && a.err == "invalid_grant" {
		x = explainOAuth(a)
	}

	if !found && len(a.codes) > 0 {
		code = a.codes[0]
		x.remedy += "; " + lookItUp(code)
	}

	e.Code = code
	e.Sentence = fill(x.sentence, app)
	e.Remedy = fill(x.remedy, app)
	e.Fate = x.fate
	e.Exit = x.exit
	e.Scope = x.scope
	e.dead = x.dead
	e.doubtful = x.doubtful

	if status == 429 || status >= 500 {
		// An answer that says it is not the real one settles nothing.
		e.Fate = Transient
		e.Exit = ExitFailed
		e.Scope = ScopeService
		e.dead = false
		e.doubtful = false
	}

	return e
}

// tellingCode finds the code that says most: the first known one that is not weak, else
// the first known one.
func tellingCode(codes []int) (x explanation, code int, found bool) {
	for _, c := range codes {
		known, ok := lookUp(c)
		if ok && (!found || x.weak && !known.weak) {
			x = known
			code = c
			found = true
		}
	}

	return x, code, found
}

// explainOAuth explains a refusal without a known code by its error name (RFC 6749
// sections 4.1.2.1 and 5.2, and Microsoft's additions). It never ends a refresh token:
// Microsoft adds codes at any time.
func explainOAuth(a answer) explanation {
	name := a.err
	if a.suberror == "consent_required" {
		name = a.suberror
	}

	x, ok := oauthExplanations[name]
	switch {
	case !ok:
		return config(
			"the sign-in service refused the request",
			"look up the codes that follow, or send them to Microsoft's support",
		).of(ScopeCustomer)
	case name == "invalid_grant" && len(a.codes) > 0:
		x.scope = ScopeCustomer // an unknown code may be about this customer only
	}

	// The same token may work again once a person or an administrator acted: nothing to
	// ask again at once.
	x.doubtful = name == "invalid_grant" && !slices.Contains(interaction, a.suberror)

	return x
}

// interaction are the suberrors after which the same refresh token may work again once a
// person or an administrator acted, as the Microsoft Authentication Library classifies
// them.
var interaction = []string{
	"basic_action",
	"additional_action",
	"message_only",
	"consent_required",
	"device_authentication_failed",
	"protection_policy_required",
}
