package defender

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/testbed/clock"
	"fluent-bit-defender/internal/testbed/loglines"
	"fluent-bit-defender/internal/testbed/simulator"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/tokens"
)

const (
	contoso      = "11111111-0000-4000-8000-000000000001"
	clientID     = "22222222-0000-4000-8000-000000000001"
	clientSecret = "s3cret"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// virtualClock is a clock for which sleeping takes no time.
type virtualClock struct{ *clock.Manual }

func newClock() virtualClock { return virtualClock{clock.At(start)} }

// Sleep moves the clock on instead of waiting.
func (c virtualClock) Sleep(_ context.Context, d time.Duration) error {
	c.Advance(d)

	return nil
}

// rig is a reader in front of a simulator, with a virtual clock.
type rig struct {
	*simulator.Simulator
	t       *testing.T
	api     alert.API
	clock   virtualClock
	reader  DeferringReader
	limiter *Limiter
	notices loglines.Lines
	cfg     Settings
}

// newRig makes a rig; change may alter the simulator's configuration and the reader's
// settings.
func newRig(t *testing.T, api alert.API, change func(*simulator.Config, *Settings)) *rig {
	t.Helper()
	r := &rig{t: t, api: api, clock: newClock()}
	sim := simulator.Config{
		Clock:  r.clock.Now,
		Seed:   7,
		Quotas: map[string]simulator.Quota{string(api): {}},
		Sleep:  func(ctx context.Context, d time.Duration) { r.clock.Advance(d) },
		Tenants: []simulator.Tenant{{
			ID:             contoso,
			Domain:         "contoso.example",
			MSSPAuthorised: true,
			Apps:           []simulator.App{{ClientID: clientID, Secret: clientSecret}},
		}},
	}

	target, err := cloud.Lookup(cloud.Commercial, api, "")
	if err != nil && api != alert.SIEM {
		t.Fatal(err)
	}

	r.cfg = Settings{
		Path:        target.Path,
		Resource:    target.Resource,
		ClientID:    clientID,
		TenantID:    contoso,
		HTTP:        &http.Client{},
		Now:         r.clock.Now,
		IdleTimeout: time.Minute,
		MaxPage:     target.MaxPage,
		PageSize:    target.DefaultPage,
		Log:         r.notices.Logger(),
	}
	if change != nil {
		change(&sim, &r.cfg)
	}

	if r.Simulator, err = simulator.New(sim); err != nil {
		t.Fatal(err)
	}

	if err := r.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		r.cfg.HTTP.CloseIdleConnections()

		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})

	r.cfg.BaseURL = r.APIURL(string(api))
	if r.cfg.Tokens == nil {
		r.cfg.Tokens = &signIn{rig: r}
	}

	r.limiter = r.cfg.Limiter

	reader, err := NewReader(api, r.cfg)
	if err != nil {
		t.Fatal(err)
	}

	r.reader = reader.(DeferringReader)

	return r
}

// signIn is a TokenSource that asks the simulator.
type signIn struct {
	rig   *rig
	have  tokens.Access
	asked int
}

func (s *signIn) Token(context.Context) (tokens.Access, error) {
	if !s.have.Token.IsZero() {
		return s.have, nil
	}

	s.asked++
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {clientSecret}}

	path := "/oauth2/v2.0/token"
	if s.rig.api == alert.SIEM {
		path = "/oauth2/token"

		form.Set("resource", s.rig.cfg.Resource)
	} else {
		form.Set("scope", s.rig.cfg.Resource+"/.default")
	}

	res, err := http.PostForm(s.rig.LoginURL()+"/"+contoso+path, form)
	if err != nil {
		return tokens.Access{}, err
	}
	defer res.Body.Close()

	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Token == "" {
		return tokens.Access{}, fmt.Errorf("no token: %w", err)
	}

	s.have = tokens.Access{Token: secret.New(answer.Token)}

	return s.have, nil
}

func (s *signIn) Invalidate(tokens.Access) { s.have = tokens.Access{} }

// basket is a sink that keeps what it gets.
type basket struct {
	t     *testing.T
	api   alert.API
	rows  map[string]int // by identity \n version, as the simulator's ledger has them
	total int
	safe  tick.Tick
	// before, if set, is called for each row.
	before func(raw []byte) error
}

func newBasket(t *testing.T, api alert.API) *basket {
	return &basket{t: t, api: api, rows: map[string]int{}}
}

func (b *basket) Row(raw []byte) error {
	if b.before != nil {
		if err := b.before(raw); err != nil {
			return err
		}
	}

	describer, err := alert.NewDescriber(b.api)
	if err != nil {
		return err
	}

	row := describer.Describe(raw)
	b.rows[string(row.Identity)+"\n"+string(row.Version)]++
	b.total++

	return nil
}

func (b *basket) Safe(at tick.Tick) error {
	if at < b.safe {
		b.t.Errorf("progress went back from %v to %v", b.safe, at)
	}

	b.safe = at

	return nil
}

// keeper is a basket that takes deferred windows.
type keeper struct {
	*basket
	deferred []Window
}

func (k *keeper) Defer(w Window, reason string) error {
	if reason == "" || strings.Contains(reason, "\n") || w.From >= w.To {
		k.t.Errorf("deferred %v for %q", w, reason)
	}

	k.deferred = append(k.deferred, w)

	return nil
}

// window is the last hours.
func (r *rig) window(back time.Duration) Window {
	now := r.clock.Now()
	return Window{From: tick.FromTime(now.Add(-back)), Now: tick.FromTime(now)}
}

// readOn reads a window as package collect does: again from where it was safe, until
// there is no error that may pass.
func (r *rig) readOn(w Window, sink Sink, safe *tick.Tick) {
	r.t.Helper()

	var err error
	for range 800 {
		err = r.reader.Read(r.t.Context(), w, sink)
		if err == nil {
			return
		}

		var e *Error
		if !errors.As(err, &e) || e.Fate.NeedsPerson() {
			r.t.Fatalf("reading: %v", err)
		}

		w.From = max(w.From, *safe)
		r.clock.Advance(max(time.Second, e.RetryAfter))
	}

	r.t.Fatalf("the window was never read to its end; at last: %v", err)
}

// pollAgain is the poll after: it reaches back to just before the first one began, and
// brings what was updated during that.
func (r *rig) pollAgain(b *basket) {
	r.t.Helper()

	if err := r.SetFaults(""); err != nil {
		r.t.Fatal(err)
	}

	r.clock.Advance(time.Minute)
	again := newBasket(r.t, r.api)
	again.rows = b.rows
	w := r.window(0)
	w.From = tick.FromTime(start) - 10*tick.Minute
	r.readOn(w, again, &again.safe)
}

// complete checks that every version listed last has arrived, and what was listed all
// along at least in its last version.
func (r *rig) complete(b *basket) {
	r.t.Helper()

	ledger, missing := r.Ledger(contoso, string(r.api)), 0
	for identity, key := range ledger.Latest {
		if b.rows[key] == 0 {
			if missing++; missing <= 3 {
				r.t.Errorf("lost %q (its latest version is %q)", identity, key)
			}
		}
	}

	if missing > 0 {
		r.t.Errorf("lost %d of %d", missing, len(ledger.Latest))
	}

	if len(ledger.Latest) == 0 {
		r.t.Error("the simulator listed nothing")
	}
}

// oDataAPIs are the APIs whose list has all of a row. One whose list fails with $expand
// is tested in expand_test.go.
var oDataAPIs = listedWhole()

func listedWhole() []alert.API {
	return slices.DeleteFunc(alert.APIs(), func(api alert.API) bool {
		facts, err := api.Descriptor()
		return err != nil || facts.Protocol != alert.OData || facts.Inner.Path != ""
	})
}

// fake makes a reader in front of a handler.
func fake(t *testing.T, api alert.API, h http.HandlerFunc,
	change ...func(*Settings)) (DeferringReader, *loglines.Lines) {
	t.Helper()

	server := httptest.NewServer(h)
	t.Cleanup(server.Close)

	notices := &loglines.Lines{}

	s := Settings{
		BaseURL:  server.URL,
		Path:     "/alerts",
		Resource: "https://resource.example",
		ClientID: clientID,
		TenantID: contoso,
		HTTP:     server.Client(),
		Tokens:   fixedToken("tok"),
		Now:      func() time.Time { return start },
		MaxPage:  100,
		PageSize: 100,
		Log:      notices.Logger(),
	}
	for _, f := range change {
		f(&s)
	}

	reader, err := NewReader(api, s)
	if err != nil {
		t.Fatal(err)
	}

	return reader.(DeferringReader), notices
}

type fixedToken string

func (f fixedToken) Token(context.Context) (tokens.Access, error) {
	return tokens.Access{Token: secret.New(string(f))}, nil
}
func (fixedToken) Invalidate(tokens.Access) {}

// fields returns the names of an API's fields.
func fields(api alert.API) alert.RowFields {
	facts, err := api.Descriptor()
	if err != nil {
		panic(err)
	}

	return facts.Row
}

// row prints an alert of an OData API.
func row(api alert.API, id string, at time.Time) string {
	names := fields(api)
	id = `"` + id + `"`

	return fmt.Sprintf(`{%q:%s,%q:%q}`, names.Identity, id, names.Updated, tick.FromTime(at).Text())
}

func pageOf(rows ...string) string { return `{"value":[` + strings.Join(rows, ",") + `]}` }

func lastHour() Window {
	return Window{From: tick.FromTime(start.Add(-time.Hour)), Now: tick.FromTime(start)}
}
