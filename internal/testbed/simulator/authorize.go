package simulator

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// codeLife is how long an authorization code lives.
const codeLife = 10 * time.Minute

// grantCode is an authorization code.
type grantCode struct {
	grant     grant
	tenant    *tenant
	path      string
	client    string
	redirect  string
	challenge string // empty if PKCE was not used
	plain     bool   // the challenge is the verifier itself
	issued    time.Time
	used      bool
}

// authRequest is a request to the authorize endpoint.
type authRequest struct {
	query    url.Values
	tenant   *tenant
	app      *App
	path     string
	redirect string
	v2       bool
}

// authorize answers the page on which a person signs in. It shows on the page what is
// wrong with the application or the reply address; everything else it sends back to the
// application.
func (s *Simulator) authorize(x *exchange, path string, v2 bool) {
	query := x.r.URL.Query()

	decision, ok := x.decision()
	if !ok {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	q := &authRequest{
		query:    query,
		path:     path,
		redirect: query.Get("redirect_uri"),
		v2:       v2,
	}
	if bad := s.findApp(q); bad != nil {
		x.signInPage(bad, "{tenant}", path, "{client}", query.Get("client_id"))
		return
	}

	g, bad := s.checkAuthorize(q)

	accepted := decision == "accept" || decision != "decline" && s.cfg.AutoConsent
	if code := max(q.app.AADSTS, q.tenant.AADSTS); bad == nil && accepted && code != 0 {
		bad = refused(code)
	}

	switch {
	case bad != nil:
		s.refuseAuthorize(x, q, bad)
	case decision == "decline":
		x.answerAuthorize(q, url.Values{
			"error":             {"access_denied"},
			"error_description": {"AADSTS65004: the user canceled the authentication"},
		})
	case accepted:
		s.issueCode(x, q, g)
	default:
		x.consentPage(q)
	}
}

// decision returns what the person decided with the page's buttons, "" for nothing yet.
// If it reports false, it has answered the request. OpenID Connect also allows the
// request itself to be posted.
func (x *exchange) decision() (decision string, ok bool) {
	switch x.r.Method {
	case http.MethodGet:
		return "", true
	case http.MethodPost:
		body, err := readAll(x.r.Body, 1<<16)

		form, formErr := url.ParseQuery(string(body))
		if err != nil || formErr != nil {
			x.signInPage(refused(9002313))
			return "", false
		}

		return form.Get("decision"), true
	}

	x.header.Set("Allow", "GET, POST")
	x.html(http.StatusMethodNotAllowed, "")

	return "", false
}

// answerAuthorize sends values to the application.
func (x *exchange) answerAuthorize(q *authRequest, values url.Values) {
	if state := q.query.Get("state"); state != "" {
		values.Set("state", state)
	}

	x.sendBack(q.redirect, q.query.Get("response_mode"), values)
}

// refuseAuthorize sends an error to the application. The caller holds s.mu.
func (s *Simulator) refuseAuthorize(x *exchange, q *authRequest, r *refusal) {
	id := guid(random(s.cfg.Seed, "authorize", s.issued))
	text := strings.NewReplacer(
		"{client}", q.app.ClientID,
		"{tenant}", q.path,
		"{user}", q.tenant.User,
		"{resource}", q.query.Get("resource"),
	).Replace(r.text)

	x.answerAuthorize(q, url.Values{
		"error":             {r.err},
		"error_description": {(&refusal{codes: r.codes, text: text}).description(id, id, x.now)},
		"error_uri":         {fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", r.code())},
	})
}

// issueCode returns consent and sends an authorization code to the application. The
// caller holds s.mu.
func (s *Simulator) issueCode(x *exchange, q *authRequest, g *grant) {
	s.consent(q.tenant, q.app)
	s.issued++

	code := "0.A" + base64URL(random(s.cfg.Seed, "code", s.issued), 80)
	s.codes[code] = &grantCode{
		grant:     *g,
		tenant:    q.tenant,
		path:      q.tenant.ID,
		client:    strings.ToLower(q.app.ClientID),
		redirect:  q.redirect,
		challenge: q.query.Get("code_challenge"),
		plain:     q.query.Get("code_challenge_method") != "S256",
		issued:    s.cfg.Clock(),
	}

	session := guid(random(s.cfg.Seed, "session", s.issued))
	x.answerAuthorize(q, url.Values{"code": {code}, "session_state": {session}})
}

// consentPage asks the person for a decision.
func (x *exchange) consentPage(q *authRequest) {
	x.decisionPage(
		"Permissions requested",
		fmt.Sprintf(
			"<p id=\"app\">Application %s</p><p id=\"account\">%s signs in to %s</p><p id=\"scope\">%s</p>",
			html.EscapeString(q.app.ClientID),
			html.EscapeString(q.tenant.User),
			html.EscapeString(first(q.tenant.Name, q.tenant.Domain, q.tenant.ID)),
			html.EscapeString(first(q.query.Get("scope"), q.query.Get("resource"))),
		),
		"",
	)
}

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

// consent makes an application known in a tenant. The caller holds s.mu.
func (s *Simulator) consent(t *tenant, a *App) {
	if t.app(a.ClientID) == nil {
		c := *a
		c.RefreshTokens = nil
		t.Apps = append(t.Apps, c)
	}
}

// sendBack sends the answer to the application, in the mode that it asked for. A reply
// address without a path gets a slash.
func (x *exchange) sendBack(redirect, mode string, values url.Values) {
	u, err := url.Parse(redirect)
	if err != nil {
		x.signInPage(refused(50011))
		return
	}

	if mode == "form_post" { // OAuth 2.0 Form Post Response Mode
		var b strings.Builder
		fmt.Fprintf(
			&b,
			"<!DOCTYPE html><html><body onload=\"document.forms[0].submit()\"><form method=\"post\" action=\"%s\">",
			html.EscapeString(redirect),
		)

		for _, k := range sortedKeys(values) {
			fmt.Fprintf(
				&b,
				"<input type=\"hidden\" name=\"%s\" value=\"%s\">",
				html.EscapeString(k),
				html.EscapeString(values.Get(k)),
			)
		}

		x.html(http.StatusOK, b.String()+"<noscript><button>Continue</button></noscript></form></body></html>")

		return
	}

	if u.Path == "" {
		u.Path = "/"
	}

	target := u.String()
	switch {
	case mode == "fragment":
		target += "#" + values.Encode()
	case u.RawQuery != "":
		target += "&" + values.Encode()
	default:
		target += "?" + values.Encode()
	}

	x.header.Set("Location", target)
	x.header.Set("Cache-Control", "no-store")
	x.html(http.StatusFound, "")
}

// signInPage shows an error that must not be sent to the reply address.
func (x *exchange) signInPage(r *refusal, fill ...string) {
	text := strings.NewReplacer(fill...).Replace(r.text)
	x.html(
		http.StatusBadRequest,
		fmt.Sprintf(
			"<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body>"+
				"<h1>Sorry, but we're having trouble signing you in.</h1>"+
				"<p id=\"error\">AADSTS%d: %s</p></body></html>",
			r.code(),
			html.EscapeString(text),
		),
	)
	x.sim.stats.count(func(c *Stats) { c.Refused[r.code()]++ })
}

// decisionPage has two buttons, #accept and #decline, which post the decision to the
// page's own address.
func (x *exchange) decisionPage(title, text, fields string) {
	x.html(
		http.StatusOK,
		fmt.Sprintf("<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1>%s<form method=\"post\">%s"+
			"<button id=\"decline\" name=\"decision\" value=\"decline\">Cancel</button> "+
			"<button id=\"accept\" name=\"decision\" value=\"accept\">Accept</button>"+
			"</form></body></html>", title, title, text, fields),
	)
}

// authorizationCode answers the grant of RFC 6749 section 4.1.3 with PKCE (RFC 7636
// section 4.6).
func (in *signIn) authorizationCode() ([]byte, *refusal) {
	s := in.x.sim
	for _, name := range []string{"code", "redirect_uri"} {
		if in.form.Get(name) == "" {
			return nil, refused(900144, name)
		}
	}

	c := s.codes[in.form.Get("code")]
	switch {
	case c == nil:
		return nil, refused(9002313)
	case c.tenant != in.tenant:
		return nil, refused(700005)
	case c.client != in.client:
		return nil, refused(70000)
	case c.used:
		return nil, refused(54005)
	case s.cfg.Clock().Sub(c.issued) >= codeLife:
		return nil, refused(70008)
	case c.redirect != in.form.Get("redirect_uri"):
		return nil, refused(500112)
	}

	if bad := c.verify(in.form.Get("code_verifier")); bad != nil {
		return nil, bad
	}

	g := c.grant

	t, offline, bad := in.delegated(&g)
	if bad != nil {
		return nil, bad
	}

	c.used = true
	refresh := ""

	if offline {
		g.offline = true
		refresh = s.successor(in, &g, nil)
	}

	return in.answer(t, &g, refresh, g.idToken), nil
}

// verify checks the verifier of PKCE (RFC 7636 section 4.6).
func (c *grantCode) verify(verifier string) *refusal {
	if c.challenge == "" {
		if verifier != "" {
			return refused(501481)
		}

		return nil
	}

	if verifier == "" {
		return refused(900144, "code_verifier")
	}

	if !challengeForm.MatchString(verifier) {
		return refused(501491)
	}

	if !c.plain {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}

	if subtle.ConstantTimeCompare([]byte(verifier), []byte(c.challenge)) != 1 {
		return refused(501481)
	}

	return nil
}
