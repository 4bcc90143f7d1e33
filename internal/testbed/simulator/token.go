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

// accessToken is an issued access token. Its times are by the servers' clock.
type accessToken struct {
	tenant   *tenant
	client   string
	aud      string
	resource *resource
	v2       bool
	appOnly  bool
	granted  []string // roles or scp: those for reading alerts
	others   []string // scp: those for something else
	// provider says that it is for a customer, got with a sign-in at the provider's.
	provider bool
	mfa      bool
	expires  time.Time
}

// permissions returns all permissions of the token.
func (t *accessToken) permissions() []string { return append(slices.Clone(t.granted), t.others...) }

// signIn is a request to the token endpoint.
type signIn struct {
	x      *exchange
	v2     bool
	path   string // the {tenant} of the path
	form   url.Values
	tenant *tenant
	app    *App
	// registered is the application where its credential is, which is the provider's
	// tenant for its customers.
	registered *App
	client     string
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
		"{client}", in.client,
		"{tenant}", path,
		"{user}", user,
		"{resource}", first(in.form.Get("resource"), in.form.Get("scope")),
	)
}

// handle returns the answer to a request, or why it is refused.
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

// parse reads the form. Only the body counts; the query of the address is ignored.
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

	if bad := in.basicAuth(); bad != nil {
		return bad
	}

	for _, name := range []string{"grant_type", "client_id"} {
		if in.form.Get(name) == "" {
			return refused(900144, name)
		}
	}

	in.client = strings.ToLower(in.form.Get("client_id"))
	in.x.client = in.client
	in.x.grantType = in.form.Get("grant_type")

	return nil
}

// basicAuth reads the header Authorization of RFC 6749 section 2.3.1 into the form.
// Both of its parts are form-encoded.
func (in *signIn) basicAuth() *refusal {
	user, password, ok := in.x.r.BasicAuth()
	if !ok || !in.v2 {
		return nil
	}

	id, idErr := url.QueryUnescape(user)

	secret, secretErr := url.QueryUnescape(password)
	if idErr != nil || secretErr != nil || in.form.Has("client_secret") ||
		in.form.Has("client_id") && !strings.EqualFold(in.form.Get("client_id"), id) {
		return refused(9002313)
	}

	in.form.Set("client_id", id)
	in.form.Set("client_secret", secret)

	return nil
}

// identify finds tenant and application and checks the application's credential. The
// caller holds s.mu.
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

	in.app = in.tenant.app(in.client)
	if in.app == nil {
		return in.unknownApp()
	}

	in.registered = s.registration(in.tenant, in.client)

	switch {
	case in.app.AADSTS != 0:
		return refused(in.app.AADSTS)
	case in.app.Disabled, in.registered.Disabled:
		return refused(7000112)
	}

	return in.authenticate()
}

// tenantOf returns the tenant of a person who signs in at /common with this application:
// the first tenant that knows it.
func (s *Simulator) tenantOf(client string) *tenant {
	for _, t := range s.tenants {
		if !t.gone && t.app(client) != nil {
			return t
		}
	}

	return nil
}

// app returns an application of the tenant, nil if the tenant does not know it.
func (t *tenant) app(client string) *App {
	for i := range t.Apps {
		if strings.EqualFold(t.Apps[i].ClientID, client) {
			return &t.Apps[i]
		}
	}

	return nil
}

// authenticate checks the client's credential. A client that has none must send none,
// and a browser must not send one.
func (in *signIn) authenticate() *refusal {
	secret, hasSecret := in.form.Get("client_secret"), in.form.Has("client_secret")
	hasAssertion := in.form.Has("client_assertion") || in.form.Has("client_assertion_type")

	if bad := in.checkOrigin(hasSecret || hasAssertion); bad != nil {
		return bad
	}

	if in.registered.Public || in.registered.SPA {
		switch {
		case hasSecret || hasAssertion:
			return refused(700025)
		case in.form.Get("grant_type") == "client_credentials":
			return refused(7000218)
		}

		return nil
	}

	switch {
	case hasAssertion && hasSecret:
		return refused(9002313)
	case hasAssertion:
		return in.assertion()
	case secret == "":
		return refused(7000218)
	case subtle.ConstantTimeCompare([]byte(secret), []byte(in.registered.Secret)) != 1:
		return refused(7000215)
	case in.registered.SecretExpired:
		return refused(7000222)
	}

	return nil
}

// checkOrigin checks that a request of a browser, which has the header Origin, is that
// of a single-page application, and the other way round.
func (in *signIn) checkOrigin(hasCredential bool) *refusal {
	switch browser := in.x.r.Header.Get("Origin") != ""; {
	case browser && (!in.registered.SPA || hasCredential):
		return refused(9002326)
	case !browser && in.registered.SPA && in.form.Get("grant_type") == "authorization_code":
		return refused(9002327)
	}

	return nil
}

// clientCredentials answers the grant of RFC 6749 section 4.4, which never has a refresh
// token.
func (in *signIn) clientCredentials() ([]byte, *refusal) {
	var uri string

	if !in.v2 {
		uri = in.form.Get("resource")
		if uri == "" {
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

// delegated returns the access token that a request with a user's grant is for, and
// whether a refresh token goes with it.
func (in *signIn) delegated(g *grant) (t *accessToken, offline bool, bad *refusal) {
	wanted := in.wantedByResource
	if in.v2 {
		wanted = in.wantedByScope
	}

	w, bad := wanted(g)
	if bad != nil {
		return nil, false, bad
	}

	t = &accessToken{
		tenant:   in.tenant,
		client:   in.client,
		v2:       in.v2,
		aud:      w.aud,
		resource: resourceOf(w.aud),
	}

	switch {
	case t.resource == nil && in.v2:
		return nil, false, refused(500011)
	case t.resource == nil:
		return nil, false, refused(50001)
	}

	t.granted = t.resource.granted(in.app.Scopes, t.resource.scopes)
	if t.resource.serves(SIEM) && len(t.granted) == 0 {
		t.granted = slices.Clone(t.resource.scopes)
	}

	t.others = t.resource.granted(in.app.Scopes, t.resource.others)
	if in.app.Scopes == nil {
		t.others = nil
	}

	if len(t.granted)+len(t.others) == 0 && len(t.resource.scopes) > 0 && in.app.Scopes != nil {
		return nil, false, refused(65001)
	}

	g.idToken = w.idToken

	return t, w.offline, nil
}

// wanted is what a request with a user's grant asks for.
type wanted struct {
	aud              string // the resource
	offline, idToken bool
}

// wantedByResource returns what a request of v1 asks for.
func (in *signIn) wantedByResource(g *grant) (wanted, *refusal) {
	w := wanted{aud: g.resource, offline: true, idToken: true}
	uri := in.form.Get("resource")

	if uri == "" {
		if !g.exact || g.resource == "" {
			return w, refused(900144, "resource")
		}

		return w, nil
	}

	if g.exact && g.resource != "" &&
		!strings.EqualFold(strings.TrimRight(uri, "/"), strings.TrimRight(g.resource, "/")) {
		return w, refused(90023, "the resource differs from the one of the authorization request")
	}

	w.aud = uri

	return w, nil
}

// wantedByScope returns what a request of v2 asks for.
func (in *signIn) wantedByScope(g *grant) (wanted, *refusal) {
	sc := parseScopes(first(in.form.Get("scope"), g.scope))

	switch {
	case sc.unknown != "":
		return wanted{}, refused(70011)
	case in.form.Has("scope") && g.exact && len(sc.uris) > 1:
		return wanted{}, refused(700022)
	}

	w := wanted{aud: g.resource, offline: sc.offline, idToken: sc.openid}
	if len(sc.uris) > 0 {
		w.aud = sc.uris[0]
	}

	switch {
	case g.exact:
		w.offline = g.offline || sc.offline
	case in.form.Get("scope") == "":
		w.offline = g.offline
	}

	if w.aud == "" {
		return w, refused(900144, "scope")
	}

	return w, nil
}
