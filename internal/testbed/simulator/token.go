package simulator

import (
	"crypto/subtle"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// accessToken is one that was issued. Times are the servers'.
type accessToken struct {
	tenant   *tenant
	client   string
	aud      string
	resource *resource
	v2       bool
	appOnly  bool
	granted  []string // roles or scp
	expires  time.Time
}

// signIn is a request to the token endpoint.
type signIn struct {
	x      *exchange
	v2     bool
	path   string // the {tenant} of the path
	form   url.Values
	tenant *tenant
	app    *App
	client string
}

// token answers the token endpoint of either version.
func (s *Simulator) token(x *exchange, path string, v2 bool) {
	in := &signIn{x: x, v2: v2, path: path}

	answer, bad := in.handle()
	if bad == nil {
		x.header.Set("Cache-Control", "no-store, no-cache")
		x.header.Set("Pragma", "no-cache")
		x.json(http.StatusOK, answer)

		return
	}

	if in.form.Get("grant_type") == "refresh_token" {
		s.stats.count(func(c *Stats) { c.RefusedRedemptions++ })
	}

	user := ""
	if in.tenant != nil {
		user = in.tenant.User
	}

	x.refuseSignIn(
		bad,
		"{client}",
		in.client,
		"{tenant}",
		path,
		"{user}",
		user,
		"{resource}",
		first(in.form.Get("resource"), in.form.Get("scope")),
	)
}

func (in *signIn) handle() ([]byte, *refusal) {
	if in.x.r.Method != http.MethodPost {
		return nil, refused(900561, in.x.r.Method)
	}

	if bad := in.parse(); bad != nil {
		return nil, bad
	}

	s := in.x.sim
	if f := s.strikes(in.x, "aadsts"); f != nil {
		return nil, refused(f.Code)
	}

	in.x.leaveChain = in.chain()

	s.mu.Lock()
	defer s.mu.Unlock()

	if bad := in.identify(); bad != nil {
		return nil, bad
	}

	if in.v2 && in.form.Has("resource") {
		return nil, refused(901002)
	}

	switch grant := in.form.Get("grant_type"); {
	case grant == "client_credentials":
		return in.clientCredentials()
	case grant == "refresh_token":
		return in.refreshToken()
	case grant == "authorization_code":
		return in.authorizationCode()
	case in.v2 && grant == "urn:ietf:params:oauth:grant-type:device_code", !in.v2 && grant == "device_code":
		return in.deviceCode()
	}

	return nil, refused(70003)
}

// parse reads the form. Only the body counts: what stands in the address's query is not
// looked at.
func (in *signIn) parse() *refusal {
	media, _, _ := mime.ParseMediaType(in.x.r.Header.Get("Content-Type"))
	if media != "application/x-www-form-urlencoded" {
		return refused(900144, "grant_type")
	}

	body, err := readAll(in.x.r.Body, 1<<20)
	if err != nil {
		return refused(9002313)
	}

	if in.form, err = url.ParseQuery(string(body)); err != nil {
		in.form = nil
		return refused(9002313)
	}

	for _, v := range in.form {
		if len(v) > 1 {
			return refused(9002313)
		}
	}

	if user, password, ok := in.x.r.BasicAuth(); ok && in.v2 { // RFC 6749 section 2.3.1: both parts are form-encoded
		id, err1 := url.QueryUnescape(user)

		secret, err2 := url.QueryUnescape(password)
		if err1 != nil || err2 != nil || in.form.Has("client_secret") ||
			in.form.Has("client_id") && !strings.EqualFold(in.form.Get("client_id"), id) {
			return refused(9002313)
		}

		in.form.Set("client_id", id)
		in.form.Set("client_secret", secret)
	}

	for _, name := range []string{"grant_type", "client_id"} {
		if in.form.Get(name) == "" {
			return refused(900144, name)
		}
	}

	in.client = strings.ToLower(in.form.Get("client_id"))
	in.x.client = in.client

	return nil
}

// identify finds tenant and application and checks the application's credential; s.mu
// is held.
func (in *signIn) identify() *refusal {
	s := in.x.sim
	switch strings.ToLower(in.path) {
	case "common", "organizations", "consumers":
		if in.form.Get("grant_type") == "client_credentials" {
			return refused(9001023)
		}

		in.tenant = s.tenantOf(in.client)
	default:
		in.tenant = s.tenant(in.path)
	}

	if in.tenant == nil {
		return refused(90002)
	}

	if in.tenant.AADSTS != 0 {
		return refused(in.tenant.AADSTS)
	}

	if in.app = in.tenant.app(in.client); in.app == nil {
		return refused(700016)
	}

	switch {
	case in.app.AADSTS != 0:
		return refused(in.app.AADSTS)
	case in.app.Disabled:
		return refused(7000112)
	}

	return in.authenticate()
}

// tenantOf is where a person who signs in at /common with this application comes from:
// the first tenant that knows it.
func (s *Simulator) tenantOf(client string) *tenant {
	for _, t := range s.tenants {
		if !t.gone && t.app(client) != nil {
			return t
		}
	}

	return nil
}

func (t *tenant) app(client string) *App {
	for i := range t.Apps {
		if strings.EqualFold(t.Apps[i].ClientID, client) {
			return &t.Apps[i]
		}
	}

	return nil
}

// authenticate checks the client's credential. Clients that have none must send none,
// and a browser must not send one.
func (in *signIn) authenticate() *refusal {
	secret, hasSecret := in.form.Get("client_secret"), in.form.Has("client_secret")

	hasAssertion := in.form.Has("client_assertion") || in.form.Has("client_assertion_type")
	if origin := in.x.r.Header.Get("Origin") != ""; origin && (!in.app.SPA || hasSecret || hasAssertion) {
		return refused(9002326)
	} else if !origin && in.app.SPA && in.form.Get("grant_type") == "authorization_code" {
		return refused(9002327)
	}

	switch {
	case in.app.Public || in.app.SPA:
		if hasSecret || hasAssertion {
			return refused(700025)
		}

		if in.form.Get("grant_type") == "client_credentials" {
			return refused(7000218)
		}

		return nil
	case hasAssertion && hasSecret:
		return refused(9002313)
	case hasAssertion:
		return in.assertion()
	case secret == "":
		return refused(7000218)
	case subtle.ConstantTimeCompare([]byte(secret), []byte(in.app.Secret)) != 1:
		return refused(7000215)
	case in.app.SecretExpired:
		return refused(7000222)
	}

	return nil
}

// clientCredentials is the grant of RFC 6749 section 4.4; it never gives a refresh token.
func (in *signIn) clientCredentials() ([]byte, *refusal) {
	var uri string
	if !in.v2 {
		if uri = in.form.Get("resource"); uri == "" {
			return nil, refused(900144, "resource")
		}

		if resourceOf(uri) == nil {
			return nil, refused(50001)
		}
	} else {
		text := in.form.Get("scope")
		if strings.TrimSpace(text) == "" {
			return nil, refused(900144, "scope")
		}

		sc := parseScopes(text)
		switch {
		case len(sc.uris) > 1:
			return nil, refused(700022)
		case len(sc.uris) == 0 || len(sc.names) > 0 || len(sc.list) != 1:
			return nil, refused(1002012, text)
		case sc.unknown != "":
			return nil, refused(500011)
		}

		uri = sc.uris[0]
	}

	r := resourceOf(uri)
	t := &accessToken{
		tenant:   in.tenant,
		client:   in.client,
		aud:      uri,
		resource: r,
		v2:       in.v2,
		appOnly:  true,
		granted:  r.granted(in.app.Roles, r.roles),
	}

	return in.answer(t, nil, "", false), nil
}

// delegated works out what a request with a user's grant is for: the resource and the
// permissions.
func (in *signIn) delegated(g *grant) (*accessToken, bool, *refusal) {
	t := &accessToken{
		tenant: in.tenant,
		client: in.client,
		v2:     in.v2,
		aud:    g.resource,
	}
	offline, idToken := true, true

	if !in.v2 {
		if uri := in.form.Get("resource"); uri != "" {
			if g.exact && g.resource != "" &&
				!strings.EqualFold(strings.TrimRight(uri, "/"), strings.TrimRight(g.resource, "/")) {
				return nil, false, refused(90023, "the resource differs from the one of the authorization request")
			}

			t.aud = uri
		} else if !g.exact || g.resource == "" {
			return nil, false, refused(900144, "resource")
		}
	} else {
		sc := parseScopes(first(in.form.Get("scope"), g.scope))
		if sc.unknown != "" {
			return nil, false, refused(70011)
		}

		if in.form.Has("scope") && g.exact && len(sc.uris) > 1 {
			return nil, false, refused(700022)
		}

		if len(sc.uris) > 0 {
			t.aud = sc.uris[0]
		}

		switch {
		case g.exact:
			offline = g.offline || sc.offline
		case in.form.Get("scope") == "":
			offline = g.offline
		default:
			offline = sc.offline
		}

		if t.aud == "" {
			return nil, false, refused(900144, "scope")
		}

		idToken = sc.openid
	}

	if t.resource = resourceOf(t.aud); t.resource == nil {
		if in.v2 {
			return nil, false, refused(500011)
		}

		return nil, false, refused(50001)
	}

	t.granted = t.resource.granted(in.app.Scopes, t.resource.scopes)
	if len(t.granted) == 0 && len(t.resource.scopes) > 0 && in.app.Scopes != nil && t.resource.api != SIEM {
		return nil, false, refused(65001)
	}

	if t.resource.api == SIEM && len(t.granted) == 0 {
		t.granted = slices.Clone(t.resource.scopes)
	}

	g.idToken = idToken

	return t, offline, nil
}
