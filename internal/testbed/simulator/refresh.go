package simulator

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// grant is what a person agreed to.
type grant struct {
	user     string
	resource string // what was asked for when signing in, at v1; the first resource of scope at v2
	scope    string
	offline  bool // offline_access
	mfa      bool // the person proved who they are with a second factor
	exact    bool // the token must be for this resource (a code), not for any (a refresh token)
	idToken  bool
}

// refreshToken is one token of a chain. Its times are true time.
type refreshToken struct {
	text   string
	chain  int
	tenant *tenant
	client string
	grant  grant
	spa    bool
	issued time.Time
	// parent is the token whose redemption gave this one.
	parent *refreshToken
	// redeemed is when it was first redeemed, inherited says that one of its successors
	// was.
	redeemed  time.Time
	inherited bool
	// dead is the code it is refused with, if it was revoked.
	dead int
	// refused says that the client was told so.
	refused bool
}

// strictGrace is how long after its redemption a token is still accepted with Strict.
const strictGrace = 60 * time.Second

// spaLife is the life of a refresh token of a single-page application, not extended by
// rotation (entra-docs, refresh-tokens).
const spaLife = 24 * time.Hour

// seed makes a refresh token that is valid from the beginning. The caller holds s.mu.
func (s *Simulator) seed(t *tenant, a *App, text string) {
	s.issued++
	s.refresh[text] = &refreshToken{
		text:   text,
		chain:  s.issued,
		tenant: t,
		client: strings.ToLower(a.ClientID),
		spa:    a.SPA,
		grant:  grant{user: t.User, offline: true, mfa: !t.NoMFA},
		issued: s.cfg.Clock(),
	}
}

// chain notes that a chain is being redeemed, for the statistics; the function that it
// returns ends that.
func (in *signIn) chain() func() {
	s := in.x.sim
	if in.form.Get("grant_type") != "refresh_token" {
		return func() {}
	}

	s.mu.Lock()
	rt := s.refresh[in.form.Get("refresh_token")]
	s.mu.Unlock()

	if rt == nil {
		return func() {}
	}

	return s.stats.within(
		"chain "+strconv.Itoa(rt.chain),
		func(n int) { s.stats.ConcurrentChain = max(s.stats.ConcurrentChain, n) },
	)
}

// refreshToken answers the grant of RFC 6749 section 6.
func (in *signIn) refreshToken() ([]byte, *refusal) {
	s := in.x.sim

	text := in.form.Get("refresh_token")
	if text == "" {
		return nil, refused(900144, "refresh_token")
	}

	rt := s.refresh[text]
	if rt == nil {
		return nil, refused(9002313) // seen for texts that were never a token
	}

	if bad := in.checkRefreshToken(rt); bad != nil {
		return nil, bad
	}

	g := rt.grant

	t, offline, bad := in.delegated(&g)
	if bad != nil {
		return nil, bad
	}

	s.stats.count(func(c *Stats) { c.Redeemed++ })

	if rt.tenant != in.tenant && s.customer(in.tenant) {
		return in.abroad(rt, t, &g), nil
	}

	now := s.cfg.Clock()
	if rt.redeemed.IsZero() {
		rt.redeemed = now
	}

	for p := rt.parent; p != nil && !p.inherited; p = p.parent {
		p.inherited = true
	}

	next := ""
	if offline && !s.cfg.OmitRefresh {
		next = s.successor(in, &g, rt)
	} else {
		rt.redeemed = time.Time{} // nothing took its place
	}

	return in.answer(t, &g, next, g.idToken), nil
}

// checkRefreshToken returns why a refresh token is refused, nil if it is not. It notes
// what the client is told.
func (in *signIn) checkRefreshToken(rt *refreshToken) *refusal {
	bad := in.usable(rt)
	if bad == nil {
		return in.admission(rt)
	}

	if rt.refused {
		in.x.sim.stats.count(func(c *Stats) { c.DeadAgain++ })
	}

	if rt.client == in.client && rt.tenant == in.tenant {
		rt.refused = true
	}

	return bad
}

// usable returns why a refresh token is refused, nil if it is not.
func (in *signIn) usable(rt *refreshToken) *refusal {
	s := in.x.sim

	now := s.cfg.Clock()
	switch {
	case rt.client != in.client:
		r := refused(70000)
		r.suberror = "client_mismatch"

		return r
	case in.misplaced(rt) != nil:
		return refused(70000)
	case rt.tenant != in.tenant && rt.tenant != s.home && !s.cfg.RefreshAcrossTenants:
		return refused(50020)
	case rt.dead != 0:
		return refused(rt.dead)
	case rt.spa && now.Sub(rt.issued) >= spaLife:
		return refused(700084)
	case now.Sub(rt.issued) >= s.cfg.RefreshLife:
		r := refused(700082)
		r.text = strings.ReplaceAll(r.text, "{issued}", rt.issued.UTC().Format("2006-01-02T15:04:05.0000000Z"))

		return r
	case rt.redeemed.IsZero() || s.cfg.Rotation == Keep:
		return nil
	case s.cfg.Rotation == Kill, rt.inherited, now.Sub(rt.redeemed) >= strictGrace:
		r := refused(50173)
		r.text += " The token was replaced by a newer one."

		return r
	}

	return nil
}

// successor issues a new refresh token. The caller holds s.mu.
func (s *Simulator) successor(in *signIn, g *grant, from *refreshToken) string {
	s.issued++
	text := "1.A" + base64URL(random(s.cfg.Seed, "refresh", s.issued), 96) + "." + strconv.Itoa(s.issued)
	rt := &refreshToken{
		text:   text,
		chain:  s.issued,
		tenant: in.tenant,
		client: in.client,
		grant:  *g,
		spa:    in.registered.SPA,
		issued: s.cfg.Clock(),
	}

	rt.grant.exact = false
	if from != nil {
		rt.chain, rt.parent, rt.tenant = from.chain, from, from.tenant
		if from.spa {
			rt.issued = from.issued
		}
	}

	s.refresh[text] = rt

	return text
}

// answer issues the access token and writes the answer in the form of the endpoint's
// version. The caller holds s.mu.
func (in *signIn) answer(t *accessToken, g *grant, refresh string, idToken bool) []byte {
	s, now := in.x.sim, in.x.now
	life := s.cfg.TokenLife
	t.expires = now.Add(life)
	t.mfa = g != nil && g.mfa

	text := s.accessJWT(t, g, now)
	if f := s.strikesLocked(in.x, "die", anyFault); f != nil {
		t.expires = now.Add(f.By)
	}

	s.access[text] = t
	s.forget(now)

	seconds := int64(life/time.Second) - 1
	o := object{}
	o.open()
	o.text("token_type", "Bearer")

	number := func(key string, n int64) {
		if in.v2 {
			o.int(key, n)
		} else {
			o.text(key, strconv.FormatInt(n, 10))
		}
	}

	if g != nil {
		o.text("scope", t.scope())
	}

	number("expires_in", seconds)
	number("ext_expires_in", seconds)

	if !in.v2 {
		number("expires_on", now.Add(time.Duration(seconds)*time.Second).Unix())
		number("not_before", now.Add(-5*time.Minute).Unix())
		o.text("resource", t.aud)
	}

	o.text("access_token", text)

	if refresh != "" {
		o.text("refresh_token", refresh)
	}

	if g != nil && idToken {
		o.text("id_token", s.idJWT(t, g, now))
	}

	o.close()

	return o.b
}

// scope returns what the answer of the token endpoint says of the permissions.
func (t *accessToken) scope() string {
	list := t.permissions()

	if t.v2 {
		for i, p := range list {
			list[i] = strings.TrimRight(t.aud, "/") + "/" + p
		}
	}

	return strings.Join(list, " ")
}

// forget removes access tokens that expired long ago. Most calls do nothing.
func (s *Simulator) forget(now time.Time) {
	if len(s.access)%1024 != 0 {
		return
	}

	for text, t := range s.access {
		if now.Sub(t.expires) > time.Hour {
			delete(s.access, text)
		}
	}
}

// readAll reads a body of at most limit bytes.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("simulator: the body is longer than %d bytes", limit)
	}

	return b, err
}
