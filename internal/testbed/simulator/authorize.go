package simulator

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
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

// consent makes an application known in a tenant. The caller holds s.mu.
func (s *Simulator) consent(t *tenant, a *App) {
	if t.app(a.ClientID) == nil {
		c := *a
		c.RefreshTokens = nil
		t.Apps = append(t.Apps, c)
	}
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
