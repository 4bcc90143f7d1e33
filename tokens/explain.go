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
	// dead: when a refresh token was sent, it will never work again.
	dead bool
	// doubtful: seen of good tokens too; retried before it is believed.
	doubtful bool
	// weak: says less than any code beside it.
	weak bool
}

// Explain gives, for an AADSTS code that the sign-in service answered for app, what happened in a sentence, what to do, what the
// failure waits for, and the exit code for a command. Any code has a sentence and a remedy; unknown ones general ones.
//
// Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
func Explain(code int, app App) (sentence, remedy string, fate Fate, exit ExitClass) {
	x, ok := lookUp(code)
	if !ok {
		x = explanation{
			sentence: fmt.Sprintf("the sign-in service refused with AADSTS%d, which this program does not know", code),
			remedy:   fmt.Sprintf("look it up at https://login.microsoftonline.com/error?code=%d", code),
			fate:     Config, exit: ExitFailed,
		}
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
		"{tenant}", orElse(app.TenantID, "TENANT"), "{client}", orElse(app.ClientID, "CLIENT"),
		"{resource}", orElse(app.Resource, "the API"), "{login}", orElse(LoginHost(app.LoginURL), "the sign-in service"),
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

// AdminConsentURL is the address an administrator of the customer's tenant opens to allow the application everything its
// registration lists. redirectURI must be registered; empty leaves the choice to the registration.
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

// consentAddress is the shortest form of AdminConsentURL, which needs no redirect address.
func (a App) consentAddress() string {
	v1 := a
	v1.Version = V1
	if v1.LoginURL == "" {
		v1.LoginURL = "https://login.microsoftonline.com"
	}
	return v1.AdminConsentURL("", "")
}

// explainAnswer makes the Error of a refusal.
func explainAnswer(a answer, status int, app App) *Error {
	e := &Error{OAuth: a.err, Suberror: a.suberror, Codes: a.codes, TraceID: a.trace, CorrelationID: a.correlation, Status: status}
	var x explanation
	found := false
	for _, c := range a.codes {
		known, ok := lookUp(c)
		if ok && (!found || x.weak && !known.weak) {
			x, found, e.Code = known, true, c
		}
	}
	switch {
	case found:
		e.Sentence, e.Remedy, e.Fate, e.Exit = fill(x.sentence, app), fill(x.remedy, app), x.fate, x.exit
		e.dead, e.doubtful = x.dead, x.doubtful
		if x.weak && a.err == "invalid_grant" {
			e.Sentence, e.Remedy, _, _ = explainOAuth(a.err, app)
			e.byOAuth()
		}
	default:
		sentence, remedy, fate, exit := explainOAuth(a.err, app)
		if len(a.codes) > 0 {
			e.Code = a.codes[0]
			_, lookup, _, _ := Explain(e.Code, app)
			remedy += "; " + lookup
		}
		e.Sentence, e.Remedy, e.Fate, e.Exit = sentence, remedy, fate, exit
		e.byOAuth()
	}
	if status == 429 || status >= 500 {
		// Nothing is settled by an answer that says it is not the real one.
		e.Fate, e.Exit, e.dead, e.doubtful = Transient, ExitFailed, false, false
	}
	return e
}

// interaction are the suberrors after which the same refresh token may work again once a person or an administrator acted
// (as the Microsoft Authentication Library classifies them).
var interaction = []string{"basic_action", "additional_action", "message_only", "consent_required", "device_authentication_failed", "protection_policy_required"}

// byOAuth settles whether a refresh token is dead where no code does: Microsoft asks clients to discard it on invalid_grant.
func (e *Error) byOAuth() {
	if e.OAuth != "invalid_grant" || slices.Contains(interaction, e.Suberror) {
		return
	}
	e.dead = true
	// Only these two suberrors leave no doubt; a bare invalid_grant is asked again before it is believed.
	e.doubtful = e.Suberror != "bad_token" && e.Suberror != "token_expired"
	e.Fate, e.Exit = NeedsSignIn, ExitNeedsSignIn
}

// explainOAuth explains the error names of RFC 6749 sections 4.1.2.1 and 5.2 and Microsoft's additions, for refusals without a known code.
func explainOAuth(name string, app App) (sentence, remedy string, fate Fate, exit ExitClass) {
	x, ok := oauthExplanations[name]
	if !ok {
		x = explanation{"the sign-in service refused the request", "look up the codes that follow, or send them to Microsoft's support", Config, ExitFailed, false, false, false}
	}
	return fill(x.sentence, app), fill(x.remedy, app), x.fate, x.exit
}
