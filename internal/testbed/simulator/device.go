package simulator

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// devicePage is where a person enters the code that a device shows (at Microsoft:
// https://microsoft.com/devicelogin).
const devicePage = "/devicelogin"

// The life of a device code, and how often a client may poll for it.
const (
	deviceLife     = 15 * time.Minute
	deviceInterval = 5 * time.Second
)

// deviceCode is a sign-in on another device.
type deviceCode struct {
	user             string // what the person enters
	tenant           *tenant
	app              *App
	client           string
	grant            grant
	v2               bool
	issued, lastPoll time.Time
	interval         time.Duration
	approved         bool
	declined         bool
}

// deviceStart answers the device authorization endpoint: RFC 8628 at v2.0; at v1 with
// verification_url and numbers as strings.
func (s *Simulator) deviceStart(x *exchange, path string, v2 bool) {
	in := &signIn{x: x, v2: v2, path: path}

	d, code, bad := in.newDevice()
	if bad != nil {
		x.refuseSignIn(bad, "{client}", in.client, "{tenant}", path, "{resource}", in.form.Get("resource"))
		return
	}

	page := x.base() + devicePage
	o := object{}
	o.open()
	o.text("user_code", d.user)
	o.text("device_code", code)

	if v2 {
		o.text("verification_uri", page)
		o.int("expires_in", int64(deviceLife/time.Second))
		o.int("interval", int64(deviceInterval/time.Second))
	} else {
		o.text("verification_url", page)
		o.text("expires_in", strconv.Itoa(int(deviceLife/time.Second)))
		o.text("interval", strconv.Itoa(int(deviceInterval/time.Second)))
	}

	o.text(
		"message",
		"To sign in, use a web browser to open the page "+page+" and enter the code "+d.user+" to authenticate.",
	)
	o.close()
	x.json(http.StatusOK, o.b)
}

// newDevice reads a request for a device code and issues the code.
func (in *signIn) newDevice() (*deviceCode, string, *refusal) {
	if bad := in.parseDevice(); bad != nil {
		return nil, "", bad
	}

	s := in.x.sim
	s.mu.Lock()
	defer s.mu.Unlock()

	q := &authRequest{query: url.Values{"client_id": {in.client}}, path: in.path}
	if bad := s.findApp(q); bad != nil && bad.code() != 50011 {
		return nil, "", bad
	}

	g := grant{
		user:    q.tenant.User,
		offline: true,
		mfa:     !q.tenant.NoMFA,
		exact:   true,
	}
	if bad := in.deviceGrant(&g); bad != nil {
		return nil, "", bad
	}

	s.issued++
	r := random(s.cfg.Seed, "device", s.issued)
	d := &deviceCode{
		user:     userCode(r.Uint64()),
		tenant:   q.tenant,
		app:      q.app,
		client:   in.client,
		grant:    g,
		v2:       in.v2,
		issued:   s.cfg.Clock(),
		interval: deviceInterval,
		approved: s.cfg.AutoConsent,
	}
	code := "D" + base64URL(r, 60)

	s.devices[code] = d
	if d.approved {
		s.consent(d.tenant, d.app)
	}

	return d, code, nil
}

// parseDevice reads the form of a request for a device code.
func (in *signIn) parseDevice() *refusal {
	if in.x.r.Method != http.MethodPost {
		return refused(900561, in.x.r.Method)
	}

	body, err := readAll(in.x.r.Body, 1<<20)
	if err == nil {
		in.form, err = url.ParseQuery(string(body))
	}

	if err != nil {
		return refused(9002313)
	}

	in.client = strings.ToLower(in.form.Get("client_id"))
	if in.client == "" {
		return refused(900144, "client_id")
	}

	return nil
}

// deviceGrant adds to g what a request for a device code asks for.
func (in *signIn) deviceGrant(g *grant) *refusal {
	if !in.v2 {
		g.resource = in.form.Get("resource")

		switch {
		case g.resource == "":
			return refused(900144, "resource")
		case resourceOf(g.resource) == nil:
			return refused(50001)
		}

		return nil
	}

	sc := parseScopes(in.form.Get("scope"))

	switch {
	case in.form.Has("resource"):
		return refused(901002)
	case len(sc.list) == 0:
		return refused(900144, "scope")
	case sc.unknown != "":
		return refused(70011)
	}

	g.scope = in.form.Get("scope")
	g.offline = sc.offline

	if len(sc.uris) > 0 {
		g.resource = sc.uris[0]
	}

	return nil
}

// userCode returns nine letters and digits that a person does not confuse.
func userCode(n uint64) string {
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

	b := make([]byte, 9)
	for i := range b {
		b[i] = letters[n%32]
		n /= 32
	}

	return string(b)
}

// deviceCode answers the grant of RFC 8628 section 3.4; at v1 the parameter is `code`.
func (in *signIn) deviceCode() ([]byte, *refusal) {
	s := in.x.sim

	name := "device_code"
	if !in.v2 {
		name = "code"
	}

	code := in.form.Get(name)
	if code == "" {
		return nil, refused(900144, name)
	}

	d := s.devices[code]
	if d == nil || d.client != in.client || d.v2 != in.v2 || d.tenant != in.tenant {
		return nil, refused(70018)
	}

	now := s.cfg.Clock()
	early := !d.lastPoll.IsZero() && now.Sub(d.lastPoll) < d.interval

	d.lastPoll = now
	switch {
	case now.Sub(d.issued) >= deviceLife:
		r := refused(70019)
		if !in.v2 {
			r.err = "code_expired"
		}

		return nil, r
	case early: // RFC 8628 section 3.5: the interval grows by 5 seconds for this and all further requests
		d.interval += 5 * time.Second
		r := refused(70016)
		r.err, r.text = "slow_down", "OAuth 2.0 device flow error. Polling too often."

		return nil, r
	case d.declined:
		r := refused(65004)
		r.err = "authorization_declined"

		return nil, r
	case !d.approved:
		return nil, refused(70016)
	}

	g := d.grant

	t, offline, bad := in.delegated(&g)
	if bad != nil {
		return nil, bad
	}

	delete(s.devices, code)

	refresh := ""
	if offline {
		refresh = s.successor(in, &g, nil)
	}

	return in.answer(t, &g, refresh, g.idToken), nil
}

// DecideDevice accepts or declines for the person to whom a user code was shown. It
// returns an error if no such code is waiting.
func (s *Simulator) DecideDevice(userCode string, accept bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, d := range s.devices {
		if strings.EqualFold(d.user, strings.TrimSpace(userCode)) && !d.approved && !d.declined &&
			s.cfg.Clock().Sub(d.issued) < deviceLife {
			d.approved, d.declined = accept, !accept
			if accept {
				s.consent(d.tenant, d.app)
			}

			return nil
		}
	}

	return fmt.Errorf("simulator: no device waits for the code %q", userCode)
}

// deviceEnter is the page for people: the code in the field #otc, then #accept or
// #decline.
func (s *Simulator) deviceEnter(x *exchange) {
	field := `<p><label>Code <input id="otc" name="otc" autofocus></label></p>`
	if x.r.Method != http.MethodPost {
		x.decisionPage("Enter code", "", field)
		return
	}

	body, err := readAll(x.r.Body, 1<<16)

	form, err2 := url.ParseQuery(string(body))
	if err != nil || err2 != nil {
		x.signInPage(refused(9002313))
		return
	}

	if err := s.DecideDevice(form.Get("otc"), form.Get("decision") == "accept"); err != nil {
		x.decisionPage(
			"Enter code",
			`<p id="error">That code didn't work. Check the code and try again.</p>`+
				"<p>"+html.EscapeString(form.Get("otc"))+"</p>",
			field,
		)

		return
	}

	x.html(http.StatusOK, `<!DOCTYPE html><html><body><p id="done">You may close this window.</p></body></html>`)
}
