package tokens_test

import (
	"context"
	"errors"
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

func appOnly(f *fake, c *clock.Manual) tokens.SourceConfig {
	return tokens.SourceConfig{
		App:   app(tokens.V2),
		Grant: grant.ClientCredentials,
		HTTP:  f.client(),
		Now:   c.Now,
	}
}

func TestATokenIsRenewedFiveMinutesOrAFifthOfItsLifeEarly(t *testing.T) {
	for _, tc := range []struct{ life, early time.Duration }{
		{time.Hour, 5 * time.Minute},
		{25 * time.Minute, 5 * time.Minute},
		{10 * time.Minute, 2 * time.Minute},
		{30 * time.Second, 6 * time.Second},
		{24 * time.Hour, 5 * time.Minute},
	} {
		f, c := &fake{expires: int(tc.life / time.Second)}, newClock()
		s := newSource(t, appOnly(f, c))
		first := token(t, s)

		c.Advance(tc.life - tc.early - time.Millisecond)

		if token(t, s) != first {
			t.Errorf("life %v: renewed too early", tc.life)
		}

		c.Advance(time.Millisecond)

		if token(t, s) == first {
			t.Errorf("life %v: not renewed %v before its end", tc.life, tc.early)
		}
	}
}

func TestAFailedEarlyRenewalLeavesTheTokenInUseUntilItEnds(t *testing.T) {
	f, c := &fake{}, newClock()
	s := newSource(t, appOnly(f, c))
	first := token(t, s)

	f.set(func(asked) (int, string) { return 503, "<html>" })
	c.Advance(56 * time.Minute)

	for range 5 {
		if token(t, s) != first {
			t.Fatal("not the token that still lives")
		}
	}

	if n := len(f.sent()); n != 2 {
		t.Errorf("%d requests: the failed renewal is hammered", n)
	}

	c.Advance(4 * time.Minute)

	if e := fails(t, s); e.Fate != advice.TryAgain {
		t.Errorf("%v", e)
	}
}

func TestInvalidateForgetsThatTokenOnly(t *testing.T) {
	f, c := &fake{}, newClock()
	s := newSource(t, appOnly(f, c))

	old, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	s.Invalidate(old)

	renewed := token(t, s)
	if renewed == old.Token.Reveal() {
		t.Fatal("an invalid token is handed out again")
	}

	s.Invalidate(old) // a second worker reports the same 401 late

	if token(t, s) != renewed {
		t.Error("a token that nobody complained of was dropped")
	}
}

func TestManyCallersMakeOneSignIn(t *testing.T) {
	f, c := &fake{}, newClock()
	s := newSource(t, appOnly(f, c))

	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := s.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}

	wg.Wait()

	if n := len(f.sent()); n != 1 {
		t.Errorf("%d sign-ins", n)
	}
}

func TestACallerThatWaitsForAnothersSignInCanGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fake{answer: func(asked) (int, string) { <-release; return 200, granted("a", "", 60) }}

		s := newSource(t, appOnly(f, newClock()))
		go s.Token(t.Context())

		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}

		close(release)
	})
}

func TestAutoChoosesTheRefreshTokenIfOneIsConfiguredOrStored(t *testing.T) {
	public := app(tokens.V2)
	public.Credential = nil

	dead := tokenstest.New()
	if err := dead.Save(
		t.Context(),
		public.ChainKey(),
		tokens.Chain{Refresh: secret.New("x"), Dead: tokens.Refusal{AADSTS: []int{700082}}},
	); err != nil {
		t.Fatal(err)
	}

	broken := tokenstest.New()
	broken.Fail("Load", errors.New("disk I/O error"))

	unreadable := func() (secret.Text, error) { return secret.Text{}, errors.New("permission denied") }
	for name, tc := range map[string]struct {
		app   tokens.App
		seed  func() (secret.Text, error)
		store tokens.ChainStore
		grant grant.Grant
		want  grant.Grant
		fails bool
	}{
		"configured": {app(tokens.V2),
			seed("rt0"), tokenstest.New(), grant.Auto, grant.RefreshToken, false},
		"configured, store broken": {app(tokens.V2), seed("rt0"), broken, grant.Auto, grant.RefreshToken, false},
		"stored": {app(tokens.V2), nil, stored(t, "rt0", ""), grant.Auto, grant.RefreshToken,
			false},
		"stored and dead: no fallback": {app(tokens.V2), nil, dead, grant.Auto, grant.RefreshToken, false},
		"neither": {app(tokens.V2),
			seed(" \n"), tokenstest.New(), grant.Auto, grant.ClientCredentials, false},
		"neither, public client":          {public, nil, tokenstest.New(), grant.Auto, grant.RefreshToken, false},
		"store unreadable: no guess":      {app(tokens.V2), nil, broken, grant.Auto, grant.Auto, true},
		"file unreadable: no guess":       {app(tokens.V2), unreadable, tokenstest.New(), grant.Auto, grant.Auto, true},
		"no store":                        {app(tokens.V2), nil, nil, grant.Auto, grant.ClientCredentials, false},
		"no store for what is configured": {app(tokens.V2), seed("rt0"), nil, grant.Auto, grant.Auto, true},
		"no store, public client":         {public, nil, nil, grant.Auto, grant.Auto, true},
		"said: client credentials": {
			app(tokens.V2),
			nil,
			stored(t, "rt0", ""),
			grant.ClientCredentials,
			grant.ClientCredentials,
			false,
		},
		"said: refresh token, though no": {app(tokens.V2),
			nil, tokenstest.New(), grant.RefreshToken, grant.RefreshToken, false},
	} {
		t.Run(name, func(t *testing.T) {
			var lines loglines.Lines

			s := newSource(t, tokens.SourceConfig{
				App:   tc.app,
				Seed:  tc.seed,
				Store: tc.store,
				Grant: tc.grant,
				Log:   lines.Logger(),
			})

			got, reason, err := s.Decide(t.Context())
			if tc.fails {
				if err == nil {
					t.Fatalf("decided %v", got)
				}

				return
			}

			if err != nil || got != tc.want || reason == "" || s.Grant() != tc.want {
				t.Fatalf("got %v (%s), %v", got, reason, err)
			}

			s.Decide(t.Context())

			if infos := lines.With("INFO"); len(infos) != 1 {
				t.Errorf("lines %q, want 1", infos)
			}
		})
	}
}

func TestAutoStaysWithWhatItDecided(t *testing.T) {
	f, c := &fake{}, newClock()
	store := tokenstest.New()
	s := newSource(t, tokens.SourceConfig{
		App:   app(tokens.V2),
		Store: store,
		HTTP:  f.client(),
		Now:   c.Now,
	})
	token(t, s)

	if err := tokens.Adopt(t.Context(), store, app(tokens.V2).ChainKey(), tokens.SignIn{
		Refresh: secret.New("rt0"),
		At:      c.Now(),
	}); err != nil {
		t.Fatal(err)
	}

	c.Advance(2 * time.Hour)
	token(t, s)

	if f.refreshes() != " " {
		t.Errorf("sent refresh tokens %q", f.refreshes())
	}
}

func TestChangedNoticesANewSecretAfterAFailure(t *testing.T) {
	f, c := &fake{}, newClock()
	f.set(func(a asked) (int, string) {
		if a.form.Get("client_secret") != "right" {
			return 401, refusal("invalid_client", 7000215)
		}

		return f.rotate(a)
	})

	value, fault := "wrong", error(nil)
	cfg := appOnly(f, c)
	cfg.App.Credential = tokens.Secret(func() (secret.Text, error) { return secret.New(value), fault })

	s := newSource(t, cfg)
	if s.Changed(t.Context()) {
		t.Error("changed before anything failed")
	}

	if e := fails(t, s); e.Fate != advice.NeedsFix {
		t.Errorf("%v", e)
	}

	if s.Changed(t.Context()) {
		t.Error("changed, though nothing did")
	}

	fault = errors.New("file is being replaced")

	if !s.Changed(t.Context()) {
		t.Error("an unreadable file is no change")
	}

	if e := fails(t, s); e.Fate != advice.NeedsFix || !errors.Is(e, fault) {
		t.Errorf("%v", e)
	}

	value, fault = "right", nil

	if !s.Changed(t.Context()) {
		t.Error("a new secret is not noticed")
	}

	token(t, s)

	if s.Changed(t.Context()) {
		t.Error("changed after success")
	}
}

func TestASourceThatCannotWorkIsRefused(t *testing.T) {
	good := tokens.SourceConfig{App: app(tokens.V1), Store: tokenstest.New()}

	for name, spoil := range map[string]func(*tokens.SourceConfig){
		"no login URL":          func(c *tokens.SourceConfig) { c.App.LoginURL = "" },
		"login URL with a path": func(c *tokens.SourceConfig) { c.App.LoginURL += "/common" },
		"login URL with a user": func(c *tokens.SourceConfig) { c.App.LoginURL = "https://u:p@login.example.test" },
		"another scheme":        func(c *tokens.SourceConfig) { c.App.LoginURL = "ftp://login.example.test" },
		"no tenant":             func(c *tokens.SourceConfig) { c.App.TenantID = "" },
		"no client":             func(c *tokens.SourceConfig) { c.App.ClientID = "" },
		"no resource":           func(c *tokens.SourceConfig) { c.App.Resource = "" },
		"no store":              func(c *tokens.SourceConfig) { c.Grant, c.Store = grant.RefreshToken, nil },
		"no secret for app sign-in": func(c *tokens.SourceConfig) {
			c.Grant, c.App.Credential = grant.ClientCredentials, nil
		},
		"unknown grant": func(c *tokens.SourceConfig) { c.Grant = "password" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			spoil(&cfg)

			if _, err := tokens.NewSource(cfg); err == nil {
				t.Error("accepted")
			}
		})
	}

	if _, err := tokens.NewSource(good); err != nil {
		t.Error(err)
	}
}

func TestTheChainKeyIsInLowerCaseAndWithoutTheSchemesOwnPort(t *testing.T) {
	for in, want := range map[string]string{
		"https://Login.Example.TEST":      "login.example.test",
		"https://login.example.test:443/": "login.example.test",
		"http://localhost:80":             "localhost",
		"http://localhost:8080":           "localhost:8080",
		"https://login.example.test:80":   "login.example.test:80",
		"http://[::1]:8080":               "[::1]:8080",
		"http://[::1]":                    "[::1]",
	} {
		k := tokens.App{LoginURL: in, TenantID: "Contoso.OnMicrosoft.com", ClientID: "ABC"}.ChainKey()
		if k != (tokens.ChainKey{LoginHost: want, TenantID: "contoso.onmicrosoft.com", ClientID: "abc"}) {
			t.Errorf("%s is read as %+v", in, k)
		}
	}
}
