package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/testbed/clock"
	"fluent-bit-defender/internal/testbed/loglines"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

// stored puts a chain into a new store.
func stored(t *testing.T, refresh, previous string) *tokenstest.Store {
	t.Helper()

	s := tokenstest.New()

	err := s.Save(
		t.Context(),
		app(tokens.V2).ChainKey(),
		tokens.Chain{Refresh: secret.New(refresh), Previous: secret.New(previous)},
	)
	if err != nil {
		t.Fatal(err)
	}

	return s
}

func load(t *testing.T, s tokens.ChainStore) tokens.Chain {
	t.Helper()

	c, _, err := s.Load(context.Background(), app(tokens.V2).ChainKey())
	if err != nil {
		t.Fatal(err)
	}

	return c
}

// fails returns the *Error of a call of Token that must not succeed.
func fails(t *testing.T, s *tokens.Source) *tokens.Error {
	t.Helper()
	_, err := s.Token(t.Context())

	var e *tokens.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}

	return e
}

func TestANewRefreshTokenIsStoredBeforeItsAccessTokenIsUsed(t *testing.T) {
	f, c := &fake{}, newClock()
	store := tokenstest.New()

	s := newSource(t, tokens.SourceConfig{
		App:        app(tokens.V2),
		Seed:       seed("rt0\n"),
		Store:      store,
		HTTP:       f.client(),
		Now:        c.Now,
		TenantName: "contoso",
	})
	for i, want := range []string{"at1", "at2", "at3"} {
		if got := token(t, s); got != want {
			t.Fatalf("step %d: access token %s, want %s", i, got, want)
		}

		chain := load(t, store)
		if chain.Refresh.Reveal() != "rt"+want[2:] || chain.TenantName != "contoso" ||
			!chain.Refreshed.Equal(c.Now()) ||
			!chain.Obtained.Equal(newClock().Now()) {
			t.Fatalf("step %d: stored %+v", i, chain)
		}

		if before := chain.Previous.Reveal(); before != "rt"+string(want[2]-1) {
			t.Fatalf("step %d: the one before is %s", i, before)
		}

		c.Advance(time.Hour)
	}

	if f.refreshes() != "rt0 rt1 rt2" {
		t.Errorf("sent %s", f.refreshes())
	}
}

func TestSourcesOfOneTenantShareAChainAndNeverRedeemAtOnce(t *testing.T) {
	f, c := &fake{}, newClock()
	store := tokenstest.New()

	var sources []*tokens.Source

	for i := range 8 {
		a := app(tokens.V2)

		a.Resource = "https://api" + string(rune('a'+i)) + ".example.test"
		if i%2 == 1 {
			a.Version = tokens.V1
		}
		// Every other source has a Keeper of its own, as another process has.
		sources = append(
			sources,
			newSource(t, tokens.SourceConfig{
				App:   a,
				Seed:  seed("rt0"),
				Store: store,
				HTTP:  f.client(),
				Now:   c.Now,
			}),
		)
	}

	var wg sync.WaitGroup

	for _, s := range sources {
		for range 3 {
			wg.Go(func() {
				if _, err := s.Token(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}

	wg.Wait()

	if f.overlap || f.refreshes() != "rt0 rt1 rt2 rt3 rt4 rt5 rt6 rt7" {
		t.Errorf("overlap %v, sent %s", f.overlap, f.refreshes())
	}
}

func TestAConfiguredTokenBeginsAChainOnceInItsLife(t *testing.T) {
	f, c := &fake{}, newClock()
	store := tokenstest.New()
	current := "rt0"
	cfg := tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: store,
		HTTP:  f.client(),
		Now:   c.Now,
		Seed:  func() (secret.Text, error) { return secret.New(current), nil },
	}
	token(t, newSource(t, cfg))
	token(t, newSource(t, cfg)) // a restart: the stored successor is used, not the configured value

	if f.refreshes() != "rt0 rt1" {
		t.Fatalf("sent %s", f.refreshes())
	}

	f.newest, current = 40, "rt40" // the operator configures a new one: it wins over a living chain
	s := newSource(t, cfg)
	token(t, s)
	c.Advance(2 * time.Hour)
	token(t, s)

	if got := f.refreshes(); got != "rt0 rt1 rt40 rt41" {
		t.Errorf("sent %s", got)
	}

	current = "rt0" // back to the old value: seen, so it changes nothing

	token(t, newSource(t, cfg))

	if got := f.refreshes(); got != "rt0 rt1 rt40 rt41 rt42" {
		t.Errorf("sent %s", got)
	}
}

func TestADeadTokenIsNotSentAgainAndTheTenantResumesByItself(t *testing.T) {
	for _, code := range []int{700082, 70008, 70043, 50173, 50132, 50133, 700084} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			d := newDeadChain(t, code)

			d.isNotSentAgain()
			d.resumesAfterASignIn()
			d.resumesWithAnotherSeed()
		})
	}
}

// deadChain is a chain whose token the service refuses for good.
type deadChain struct {
	t       *testing.T
	code    int
	fake    *fake
	clock   *clock.Manual
	store   tokens.ChainStore
	current string // the seed
	cfg     tokens.SourceConfig
	source  *tokens.Source
}

func newDeadChain(t *testing.T, code int) *deadChain {
	t.Helper()

	d := &deadChain{
		t:     t,
		code:  code,
		fake:  &fake{},
		clock: newClock(),
		store: stored(t, "rt-dead", "rt-older"),
	}
	d.cfg = tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: d.store,
		HTTP:  d.fake.client(),
		Now:   d.clock.Now,
		Seed:  func() (secret.Text, error) { return secret.New(d.current), nil },
	}
	d.source = newSource(t, d.cfg)
	d.refuse()

	return d
}

// refuse lets the service refuse every token.
func (d *deadChain) refuse() {
	d.fake.set(func(asked) (int, string) { return 400, refusal("invalid_grant", d.code) })
}

func (d *deadChain) isNotSentAgain() {
	d.t.Helper()

	first := fails(d.t, d.source)
	if first.Fate != advice.NeedsSignIn || first.Code != d.code || !first.Dead() {
		d.t.Fatalf("%v (fate %v)", first, first.Fate)
	}

	d.noticesNoChange()

	again := fails(d.t, d.source)
	if again.Fate != advice.NeedsSignIn || again.Problem != first.Problem || again.Code != d.code {
		d.t.Errorf("the second time it says %v", again)
	}

	fails(d.t, newSource(d.t, d.cfg)) // nor by another source

	if d.fake.refreshes() != "rt-dead" {
		d.t.Errorf("sent %s", d.fake.refreshes())
	}

	d.noticesNoChange()
}

func (d *deadChain) noticesNoChange() {
	d.t.Helper()

	if d.source.Changed(d.t.Context()) {
		d.t.Error("our own mark counts as a change")
	}
}

// resumesWith checks that the source notices a change, and gets an access token.
func (d *deadChain) resumesWith(want string) {
	d.t.Helper()

	if !d.source.Changed(d.t.Context()) {
		d.t.Error("the change is not noticed")
	}

	if got := token(d.t, d.source); got != want {
		d.t.Errorf("got %s, want %s", got, want)
	}
}

// resumesAfterASignIn: a person signs in.
func (d *deadChain) resumesAfterASignIn() {
	d.t.Helper()

	d.fake.set(nil)
	d.fake.newest = 7

	signIn := tokens.SignIn{Refresh: secret.New("rt7"), Account: "soc@contoso.test", At: d.clock.Now()}
	if err := tokens.Adopt(d.t.Context(), d.store, d.cfg.App.ChainKey(), signIn); err != nil {
		d.t.Fatal(err)
	}

	d.resumesWith("at8")
	d.noticesNoChange()

	chain := load(d.t, d.store)
	if !chain.Dead.IsZero() || !chain.Rejected.IsZero() || chain.Account != "soc@contoso.test" {
		d.t.Errorf("the chain is %+v", chain)
	}
}

// resumesWithAnotherSeed: the chain dies again, and a new token is configured.
func (d *deadChain) resumesWithAnotherSeed() {
	d.t.Helper()

	d.refuse()
	d.clock.Advance(2 * time.Hour)
	fails(d.t, d.source)

	d.fake.set(nil)
	d.fake.newest, d.current = 20, "rt20"
	d.resumesWith("at21")
}

func TestARefusedSeedIsRememberedAndHarmsNoLivingChain(t *testing.T) {
	f, c := &fake{}, newClock()
	store := stored(t, "rt0", "")

	f.set(func(a asked) (int, string) {
		if a.form.Get("refresh_token") == "bad" {
			return 400, refusal("invalid_grant", 700082)
		}

		return f.rotate(a)
	})

	var lines loglines.Lines

	cfg := tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: store,
		HTTP:  f.client(),
		Now:   c.Now,
		Seed:  seed("bad"),
		Log:   lines.Logger(),
	}
	if got := token(t, newSource(t, cfg)); got != "at1" {
		t.Errorf("got %s", got)
	}

	token(t, newSource(t, cfg))

	if f.refreshes() != "bad rt0 rt1" {
		t.Errorf("sent %s", f.refreshes())
	}

	if !strings.Contains(lines.String(), "the stored one stays in use") {
		t.Errorf("log: %q", lines.String())
	}

	empty := tokenstest.New()
	cfg.Store = empty
	before := len(f.sent())
	s := newSource(t, cfg)
	fails(t, s)
	fails(t, s)
	fails(t, newSource(t, cfg))

	if n := len(f.sent()) - before; n != 1 {
		t.Errorf("a dead configured token was sent %d times", n)
	}
}

func TestAnUnreliableRefusalIsRepeatedThenThePreviousTokenTried(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(try int, rt string) bool // true: granted
		sent   string
		alive  bool
	}{
		"the third try is granted":     {func(try int, _ string) bool { return try == 3 }, "new new new", true},
		"the one before is granted":    {func(_ int, rt string) bool { return rt == "old" }, "new new new old", true},
		"both are refused three times": {func(int, string) bool { return false }, "new new new old old old", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{}
				store := stored(t, "new", "old")

				f.set(func(a asked) (int, string) {
					if tc.answer(len(f.sent()), a.form.Get("refresh_token")) {
						return 200, granted("at", "newest", 3600)
					}

					return 400, refusal("invalid_grant", 70000)
				})
				s := newSource(t, tokens.SourceConfig{App: app(tokens.V2), Store: store, HTTP: f.client()})
				_, err := s.Token(t.Context())

				chain := load(t, store)
				if (err == nil) != tc.alive || !chain.Dead.IsZero() || f.refreshes() != tc.sent {
					t.Fatalf("err %v, chain %+v, sent %s", err, chain, f.refreshes())
				}

				last := strings.Fields(tc.sent)
				if tc.alive && (chain.Refresh.Reveal() != "newest" || chain.Previous.Reveal() != last[len(last)-1]) {
					t.Errorf("stored %s, before %s", chain.Refresh.Reveal(), chain.Previous.Reveal())
				}
			})
		})
	}
}

func TestARefusalThatAPersonCanLiftDoesNotEndTheToken(t *testing.T) {
	for name, body := range map[string]string{
		"conditional access": refusal("invalid_grant", 53003),
		"MFA":                refusal("interaction_required", 50076),
		"consent":            refusal("invalid_grant", 65001),
		"wrong secret":       refusal("invalid_client", 7000215),
		"no licence":         refusal("invalid_resource", 500011),
		"account disabled":   refusal("invalid_grant", 50057),
		"an unknown code that asks for interaction": `{"error":"invalid_grant","suberror":"basic_action",` +
			`"error_codes":[7999999]}`,
		"a weak code beside a telling one": refusal("invalid_client", 70002, 7000222),
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{answer: func(asked) (int, string) { return 400, body }}
			store := stored(t, "rt0", "")

			s := newSource(t, tokens.SourceConfig{App: app(tokens.V2), Store: store, HTTP: f.client()})
			if e := fails(t, s); e.Fate == advice.TryAgain || e.Dead() {
				t.Errorf("%v: fate %v, dead %v", e, e.Fate, e.Dead())
			}

			f.set(nil)

			if got := token(t, s); got != "at1" || f.refreshes() != "rt0 rt0" {
				t.Errorf("%s, sent %s", got, f.refreshes())
			}
		})
	}
}

// Only the codes of the closed list end a token. Whatever else the service says, it is
// tried again.
func TestOnlyCodesOfTheClosedListEndAToken(t *testing.T) {
	deadly := []int{70008, 700082, 700084, 70043, 50173, 50132, 50133}

	bodies := map[string]string{
		"bare":                     `{"error":"invalid_grant"}`,
		"bare, suberror bad_token": `{"error":"invalid_grant","suberror":"bad_token"}`,
		"unknown code":             refusal("invalid_grant", 7999999),
		"unknown code, bad_token":  `{"error":"invalid_grant","suberror":"bad_token","error_codes":[7999999]}`,
		"70002 alone":              refusal("invalid_grant", 70002),
		"70002 and an unknown one": refusal("invalid_grant", 70002, 7999999),
	}

	for _, code := range tokens.KnownCodes() {
		if !slices.Contains(deadly, code) {
			bodies[fmt.Sprint(code)] = refusal("invalid_grant", code)
		}
	}

	for _, code := range []int{50071, 50139, 53999, 530999} { // of families
		bodies[fmt.Sprint(code)] = refusal("invalid_grant", code)
	}

	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{answer: func(asked) (int, string) { return 400, body }}
				store := stored(t, "rt0", "")
				s := newSource(t, tokens.SourceConfig{App: app(tokens.V2), Store: store, HTTP: f.client()})

				e := fails(t, s)
				if e.Dead() || !load(t, store).Dead.IsZero() || strings.Trim(f.refreshes(), "rt0 ") != "" {
					t.Errorf("%v; sent %s", e, f.refreshes())
				}

				before := len(f.sent())

				time.Sleep(e.RetryAfter)

				if fails(t, s); len(f.sent()) == before {
					t.Error("the token is not tried again")
				}

				time.Sleep(e.RetryAfter)
				f.set(nil)

				if got := token(t, s); got != "at1" {
					t.Errorf("got %s once the service takes it again", got)
				}
			})
		})
	}
}

func TestADeadTokenIsExplainedLaterAsWhenItDied(t *testing.T) {
	bodies := map[string]string{
		"beside a weak code": refusal("invalid_grant", 70002, 70008),
		"with a suberror":    `{"error":"invalid_grant","suberror":"token_expired","error_codes":[700084]}`,
		"without error name": `{"error_codes":[50133]}`,
	}
	for _, code := range []int{70008, 700082, 700084, 70043, 50173, 50132, 50133} {
		bodies[fmt.Sprint(code)] = refusal("invalid_grant", code)
	}

	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			f := &fake{answer: func(asked) (int, string) { return 400, body }}
			store := stored(t, "rt0", "")
			clock := newClock()
			cfg := tokens.SourceConfig{
				App:   app(tokens.V2),
				Store: store,
				HTTP:  f.client(),
				Now:   clock.Now,
			}

			then := fails(t, newSource(t, cfg))

			now := fails(t, newSource(t, cfg))
			if !then.Dead() || len(f.sent()) != 1 {
				t.Fatalf("%v; sent %s", then, f.refreshes())
			}

			if !reflect.DeepEqual(then, now) || now.Error() != then.Error() || now.Fate != advice.NeedsSignIn {
				t.Errorf("then %v\n now %v", then, now)
			}

			forecast := load(t, store).Forecast(clock.Now(), cfg.App)
			if !strings.Contains(forecast.Text, then.Message()) || forecast.Remedy != then.Remedy {
				t.Errorf("forecast %+v, want the words of %v", forecast, then)
			}
		})
	}
}

// cutBody ends in the middle.
type cutBody struct{ io.Reader }

func (cutBody) Close() error { return nil }

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func TestALostAnswerIsRepeatedAtOnceWithTheSameToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		store := stored(t, "rt0", "")
		lost := 0
		hc := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			res, err := f.RoundTrip(r)
			if lost++; lost <= 2 {
				f.newest = 0 // a strict service still honours the token it was just given
				res.Body = cutBody{io.MultiReader(strings.NewReader(`{"access_token":"at`), errReader{})}
			}

			return res, err
		})}
		start := time.Now()

		s := newSource(t, tokens.SourceConfig{App: app(tokens.V2), Store: store, HTTP: hc})
		if got := token(t, s); got != "at1" || f.refreshes() != "rt0 rt0 rt0" || time.Since(start) > 10*time.Second {
			t.Errorf("%s after %v, sent %s", got, time.Since(start), f.refreshes())
		}
	})
}

func TestACancelledCallerDoesNotLoseTheAnswerUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		store := stored(t, "rt0", "")
		ctx, cancel := context.WithCancel(t.Context())
		hc := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			cancel() // the program ends while the service answers

			select {
			case <-time.After(time.Second):
				return f.RoundTrip(r)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})}
		s := newSource(t, tokens.SourceConfig{App: app(tokens.V2), Store: store, HTTP: hc})
		s.Token(ctx)

		if got := load(t, store).Refresh.Reveal(); got != "rt1" {
			t.Errorf("stored %s", got)
		}
	})
}

func TestNoRefreshTokenAtAllSaysHowToGetOne(t *testing.T) {
	f := &fake{}
	s := newSource(t, tokens.SourceConfig{
		App:   app(tokens.V2),
		Grant: grant.RefreshToken,
		Store: tokenstest.New(),
		HTTP:  f.client(),
	})

	e := fails(t, s)
	if e.Fate != advice.NeedsSignIn ||
		!strings.Contains(e.Error(), "defenderctl tokens acquire --tenant-id "+tenant) ||
		len(f.sent()) != 0 {
		t.Errorf("%v", e)
	}
}

// What the service rotated to is kept whatever else is wrong with its answer: a strict
// one does not take the old token for long.
func TestTheRefreshTokenOfAnAnswerThatCannotBeUsedIsKept(t *testing.T) {
	for name, answer := range map[string]string{
		"no access token": `{"token_type":"Bearer","expires_in":3600,"refresh_token":"rt-new"}`,
		"empty":           `{"token_type":"Bearer","access_token":"","expires_in":3600,"refresh_token":"rt-new"}`,
		"another type":    `{"token_type":"pop","access_token":"a","expires_in":3600,"refresh_token":"rt-new"}`,
		"not fit for a header": `{"token_type":"Bearer","access_token":"a\nb","expires_in":3600,` +
			`"refresh_token":"rt-new"}`,
	} {
		for _, seeded := range []bool{false, true} {
			f, c := &fake{answer: func(asked) (int, string) { return 200, answer }}, newClock()

			cfg := tokens.SourceConfig{
				App:   app(tokens.V2),
				Store: stored(t, "rt0", ""),
				HTTP:  f.client(),
				Now:   c.Now,
				Seed:  seed(""),
			}
			if seeded {
				cfg.Store, cfg.Seed = tokenstest.New(), seed("rt0")
			}

			s := newSource(t, cfg)
			if e := fails(t, s); e.Fate != advice.TryAgain || strings.Contains(e.Error(), "rt-new") {
				t.Errorf("%s: %v", name, e)
			}

			chain := load(t, cfg.Store)
			if chain.Refresh.Reveal() != "rt-new" || chain.Previous.Reveal() != "rt0" ||
				!chain.Dead.IsZero() {
				t.Errorf("%s, seeded %t: stored %q and before it %q",
					name, seeded, chain.Refresh.Reveal(), chain.Previous.Reveal())
			}
		}
	}
}

func TestTheSuccessorOfThePreviousTokenIsKeptToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(a asked) (int, string) {
			if a.form.Get("refresh_token") == "rt1" {
				return 400, refusal("invalid_grant", 70000)
			}

			return 200, `{"token_type":"Bearer","expires_in":3600,"refresh_token":"rt-new"}`
		}}
		cfg := tokens.SourceConfig{
			App:   app(tokens.V2),
			Store: stored(t, "rt1", "rt0"),
			HTTP:  f.client(),
		}

		fails(t, newSource(t, cfg))

		if chain := load(t, cfg.Store); chain.Refresh.Reveal() != "rt-new" || !chain.Dead.IsZero() {
			t.Errorf("stored %q, before it %q", chain.Refresh.Reveal(), chain.Previous.Reveal())
		}
	})
}
