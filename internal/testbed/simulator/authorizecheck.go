package simulator

import (
	"regexp"
	"slices"
	"strings"
)

// findApp finds the tenant and the application of a request, and checks the reply
// address. The caller holds s.mu.
func (s *Simulator) findApp(q *authRequest) *refusal {
	client := q.query.Get("client_id")
	if client == "" {
		return refused(900144, "client_id")
	}

	common := slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(q.path))
	if bad := s.findTenant(q, client, common); bad != nil {
		return bad
	}

	q.app = q.tenant.app(client)
	if q.app == nil {
		q.app = s.registration(q.tenant, client)
		if q.app == nil || q.app.SingleTenant {
			return refused(700016)
		}
	}

	if common && q.app.SingleTenant {
		return refused(50194)
	}

	switch {
	case q.redirect == "" && q.v2:
		return refused(900144, "redirect_uri")
	case q.redirect == "": // v1 uses the first registered one
		q.redirect = first(append(slices.Clone(q.app.RedirectURIs), "http://localhost")...)
	}

	if !redirectAllowed(q.app, q.redirect) {
		return refused(50011)
	}

	return nil
}

// findTenant finds the tenant of a request: of its path, or with a common path a tenant
// that knows the client. The caller holds s.mu.
func (s *Simulator) findTenant(q *authRequest, client string, common bool) *refusal {
	if !common {
		q.tenant = s.tenant(q.path)
		if q.tenant == nil {
			return refused(90002)
		}

		return nil
	}

	q.tenant = s.tenantOf(client)
	if q.tenant == nil && len(s.tenants) > 0 && s.foreign[strings.ToLower(client)] != nil {
		q.tenant = s.tenants[0]
	}

	if q.tenant == nil {
		return refused(700016)
	}

	return nil
}

var challengeForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// checkAuthorize checks what is reported back to the application. The caller holds s.mu.
func (s *Simulator) checkAuthorize(q *authRequest) (*grant, *refusal) {
	for _, list := range q.query {
		if len(list) > 1 {
			return nil, refused(9002313)
		}
	}

	if bad := checkModes(q); bad != nil {
		return nil, bad
	}

	if bad := checkChallenge(q.query.Get("code_challenge_method"), q.query.Get("code_challenge")); bad != nil {
		return nil, bad
	}

	g, bad := requestedGrant(q)
	if bad == nil && q.query.Get("prompt") == "none" {
		bad = refused(50058)
	}

	return g, bad
}

// checkModes checks response_type, response_mode and prompt.
func checkModes(q *authRequest) *refusal {
	switch q.query.Get("response_type") {
	case "code":
	case "":
		return refused(900144, "response_type")
	default:
		r := refused(90023, "the response_type is not supported")
		r.err = "unsupported_response_type"

		return r
	}

	if !slices.Contains([]string{"", "query", "fragment", "form_post"}, q.query.Get("response_mode")) {
		return refused(90023, "the response_mode is not supported")
	}

	prompts := []string{"", "login", "none", "consent", "select_account"}
	if !q.v2 {
		prompts = append(prompts, "admin_consent")
	}

	if !slices.Contains(prompts, q.query.Get("prompt")) {
		return refused(90023, "unsupported prompt value")
	}

	return nil
}

// checkChallenge checks the challenge of PKCE (RFC 7636 section 4.3).
func checkChallenge(method, challenge string) *refusal {
	switch {
	case method != "" && method != "S256" && method != "plain":
		return refused(90023, "the code_challenge_method is not supported")
	case challenge == "" && method != "":
		return refused(900144, "code_challenge")
	case challenge != "" && (!challengeForm.MatchString(challenge) || method == "S256" && len(challenge) != 43):
		return refused(501491)
	}

	return nil
}

// requestedGrant returns what the application asks for, with scope (v2) or resource
// (v1).
func requestedGrant(q *authRequest) (*grant, *refusal) {
	v := q.query
	g := &grant{
		user:    q.tenant.User,
		offline: true,
		mfa:     !q.tenant.NoMFA,
		exact:   true,
	}

	if !q.v2 {
		g.resource = v.Get("resource")
		if g.resource != "" && resourceOf(g.resource) == nil {
			return nil, refused(50001)
		}

		return g, nil
	}

	if v.Has("resource") {
		return nil, refused(901002)
	}

	sc := parseScopes(v.Get("scope"))
	if len(sc.list) == 0 {
		return nil, refused(900144, "scope")
	}

	if sc.unknown != "" || sc.dflt && (len(sc.uris) > 1 || len(sc.names) > 0) {
		return nil, refused(70011)
	}

	g.scope = v.Get("scope")
	g.offline = sc.offline

	if len(sc.uris) > 0 {
		g.resource = sc.uris[0]
	}

	return g, nil
}
