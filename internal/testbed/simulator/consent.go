package simulator

import (
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
)

// adminConsent answers the page on which an administrator gives consent for the whole
// tenant (v2-admin-consent.md).
func (s *Simulator) adminConsent(x *exchange, path string, v2 bool) {
	decision, ok := x.decision()
	if !ok {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	query := x.r.URL.Query()
	q := &authRequest{
		query:    query,
		path:     path,
		redirect: query.Get("redirect_uri"),
		v2:       v2,
	}

	bad := s.checkConsent(q, v2)
	if bad != nil {
		x.signInPage(bad, "{tenant}", path, "{client}", query.Get("client_id"))
		return
	}

	values := url.Values{}
	if state := query.Get("state"); state != "" {
		values.Set("state", state)
	}

	switch {
	case decision == "decline":
		values.Set("error", "access_denied")
		values.Set("error_description", "AADSTS65004: User declined to consent to access the app.")

		if v2 {
			values.Set("admin_consent", "True")
		}
	case decision == "accept" || s.cfg.AutoConsent:
		s.consentByAdmin(q.tenant, q.app)
		values.Set("admin_consent", "True")
		values.Set("tenant", q.tenant.ID)

		if v2 {
			values.Set("scope", query.Get("scope"))
		}
	default:
		x.decisionPage(
			"Permissions requested: review for your organization",
			fmt.Sprintf("<p id=\"app\">Application %s</p><p id=\"account\">%s</p>",
				html.EscapeString(q.app.ClientID), html.EscapeString(q.tenant.User)),
			"",
		)

		return
	}

	x.sendBack(q.redirect, "query", values)
}

// checkConsent finds tenant and application of a request for consent, and checks its
// scope. The caller holds s.mu.
func (s *Simulator) checkConsent(q *authRequest, v2 bool) *refusal {
	if v2 && slices.Contains([]string{"common", "consumers"}, strings.ToLower(q.path)) {
		return refused(90023, "admin consent is not possible over /"+q.path)
	}

	if bad := s.findApp(q); bad != nil || !v2 {
		return bad
	}

	switch sc := parseScopes(q.query.Get("scope")); {
	case len(sc.list) == 0:
		return refused(900144, "scope")
	case sc.unknown != "":
		return refused(70011)
	}

	return nil
}

// consentByAdmin grants an application all permissions that it is registered for. The
// caller holds s.mu.
func (s *Simulator) consentByAdmin(t *tenant, a *App) {
	if s.customer(t) {
		registered := s.registration(t, a.ClientID)
		s.grantConsent(t, registered, registered.Scopes)

		return
	}

	s.consent(t, a)
}
