package simulator

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// adminConsent answers the page on which an administrator gives consent for the whole
// tenant (v2-admin-consent.md).
func (s *Simulator) adminConsent(x *exchange, path string, v2 bool) {
	query := x.r.URL.Query()
	decision := ""

	if x.r.Method == http.MethodPost {
		body, err := readAll(x.r.Body, 1<<16)

		form, err2 := url.ParseQuery(string(body))
		if err != nil || err2 != nil {
			x.signInPage(refused(9002313))
			return
		}

		decision = form.Get("decision")
	} else if x.r.Method != http.MethodGet {
		x.header.Set("Allow", "GET, POST")
		x.html(http.StatusMethodNotAllowed, "")

		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	q := &authRequest{
		query:    query,
		path:     path,
		redirect: query.Get("redirect_uri"),
		v2:       true,
	}
	if v2 && slices.Contains([]string{"common", "consumers"}, strings.ToLower(path)) {
		x.signInPage(refused(90023, "admin consent is not possible over /"+path))
		return
	}

	if bad := s.findApp(q); bad != nil {
		x.signInPage(bad, "{tenant}", path, "{client}", query.Get("client_id"))
		return
	}

	if v2 {
		sc := parseScopes(query.Get("scope"))
		if len(sc.list) == 0 {
			x.signInPage(refused(900144, "scope"))
			return
		}

		if sc.unknown != "" {
			x.signInPage(refused(70011))
			return
		}
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
		s.consent(q.tenant, q.app)
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
