package tokens_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

func redeem(ctx context.Context, c tokens.Client) error {
	_, err := c.Redeem(ctx, secret.New("rt0"))
	return err
}

func asApplication(ctx context.Context, c tokens.Client) error {
	_, err := c.ClientCredentials(ctx)
	return err
}

func exchange(ctx context.Context, c tokens.Client) error {
	_, err := c.Exchange(ctx, secret.New("the-code"), "https://mssp.example.test/SiemMsspConnector", "the-verifier")
	return err
}

// grantForms are the forms that each grant sends, by version of the endpoint; client_id
// and client_secret stand in all of them.
var grantForms = map[string]struct {
	version tokens.Version
	call    func(context.Context, tokens.Client) error
	path    string
	want    map[string]string
	without string
}{
	"v1 refresh names the resource": {tokens.V1, redeem, "/oauth2/token", map[string]string{
		"grant_type":    "refresh_token",
		"refresh_token": "rt0",
		"resource":      resource,
	}, "scope"},
	"v2 refresh names the scope": {tokens.V2, redeem, "/oauth2/v2.0/token", map[string]string{
		"grant_type":    "refresh_token",
		"refresh_token": "rt0",
		"scope":         resource + "/.default offline_access",
	}, "resource"},
	"v1 client credentials": {tokens.V1, asApplication, "/oauth2/token", map[string]string{
		"grant_type": "client_credentials",
		"resource":   resource,
	}, "scope"},
	"v2 client credentials ask for .default alone": {tokens.V2, asApplication, "/oauth2/v2.0/token", map[string]string{
		"grant_type": "client_credentials",
		"scope":      resource + "/.default",
	}, "resource"},
	"v1 code": {tokens.V1, exchange, "/oauth2/token", map[string]string{
		"grant_type":    "authorization_code",
		"code":          "the-code",
		"code_verifier": "the-verifier",
		"resource":      resource,
		"redirect_uri":  "https://mssp.example.test/SiemMsspConnector",
	}, "scope"},
	"v2 code": {tokens.V2, exchange, "/oauth2/v2.0/token", map[string]string{
		"grant_type":    "authorization_code",
		"code":          "the-code",
		"code_verifier": "the-verifier",
		"scope":         resource + "/.default offline_access",
		"redirect_uri":  "https://mssp.example.test/SiemMsspConnector",
	}, "resource"},
}

func TestEachGrantSendsWhatItsEndpointFamilyKnows(t *testing.T) {
	for name, tc := range grantForms {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			if err := tc.call(t.Context(), tokens.Client{App: app(tc.version), HTTP: f.client()}); err != nil {
				t.Fatal(err)
			}

			sent := f.sent()
			if len(sent) != 1 {
				t.Fatalf("%d requests, want 1 (no probing of the authentication style)", len(sent))
			}

			got := sent[0]
			if got.path != "/"+tenant+tc.path {
				t.Errorf("path %s", got.path)
			}

			want := maps.Clone(tc.want)
			want["client_id"], want["client_secret"] = client, "s3cr3t+/=%~"

			for k, v := range want {
				if got.form.Get(k) != v || len(got.form[k]) != 1 {
					t.Errorf("%s is %q, want %q", k, got.form[k], v)
				}
			}

			if got.form.Has(tc.without) {
				t.Errorf("%s was sent", tc.without)
			}

			if len(got.form) != len(want) {
				t.Errorf("sent %v", got.form)
			}

			if got.header.Get("Authorization") != "" || got.header.Get("Origin") != "" ||
				len(got.header.Get("client-request-id")) != 36 {
				t.Errorf("headers %v", got.header)
			}
		})
	}
}

func TestAPastedLineBreakIsNoPartOfASecret(t *testing.T) {
	f := &fake{}
	a := app(tokens.V2)

	a.Credential = fixed(" s3cr3t\r\n")
	if _, err := (tokens.Client{App: a, HTTP: f.client()}).ClientCredentials(t.Context()); err != nil {
		t.Fatal(err)
	}

	if got := f.sent()[0].form.Get("client_secret"); got != "s3cr3t" {
		t.Errorf("sent %q", got)
	}

	a.Credential = fixed(" \n")

	var e *tokens.Error
	_, err := (tokens.Client{App: a, HTTP: f.client()}).ClientCredentials(t.Context())
	if !errors.As(err, &e) || e.Fate != advice.NeedsFix || len(f.sent()) != 1 {
		t.Errorf("an empty secret: %v", err)
	}
}

func TestAPublicClientSendsNoSecret(t *testing.T) {
	f := &fake{}
	a := app(tokens.V2)

	a.Credential = nil
	if _, err := (tokens.Client{App: a, HTTP: f.client()}).Redeem(t.Context(), secret.New("rt0")); err != nil {
		t.Fatal(err)
	}

	if form := f.sent()[0].form; form.Has("client_secret") || form.Has("client_assertion") {
		t.Errorf("sent %v", form)
	}
}

// lenientAnswer is an answer to a redemption, and what is read from it.
type lenientAnswer struct {
	body    string
	life    time.Duration
	refresh string
	rotated bool
}

func lenientAnswers() map[string]lenientAnswer {
	c := newClock()

	return map[string]lenientAnswer{
		"number": {
			`{"access_token":"a","refresh_token":"r","expires_in":3599}`,
			3599 * time.Second,
			"r",
			true,
		},
		"number in a string": {
			`{"access_token":"a","refresh_token":"r","expires_in":"3599"}`,
			3599 * time.Second,
			"r",
			true,
		},
		"fraction": {
			`{"access_token":"a","expires_in":3599.9}`,
			3599*time.Second + 900*time.Millisecond,
			"rt0",
			false,
		},
		"expires_on only": {
			`{"access_token":"a","expires_on":"1770116400"}`,
			time.Unix(1770116400, 0).Sub(c.Now()),
			"rt0",
			false,
		},
		"no life at all": {`{"access_token":"a"}`, time.Hour, "rt0", false},
		"null and junk in fields nobody needs": {
			`{"access_token":"a","expires_in":null,"ext_expires_in":{},"scope":7,"foci":[1]}`,
			time.Hour,
			"rt0",
			false,
		},
		"a life below zero is a second": {`{"access_token":"a","expires_in":-5}`, time.Second, "rt0", false},
		"an absurd life is cut": {`{"access_token":"a","expires_in":999999999}`, 7 * 24 * time.Hour,
			"rt0", false},
		"missing refresh token keeps the old": {`{"access_token":"a","refresh_token":null,"expires_in":60}`,
			time.Minute, "rt0", false},
		"the same refresh token is not rotation": {`{"access_token":"a","refresh_token":"rt0","expires_in":60}`,
			time.Minute, "rt0", false},
		"byte order mark": {"\ufeff" + `{"access_token":"a","expires_in":60}`, time.Minute, "rt0", false},
		"bearer in lower case": {`{"token_type":"bearer","access_token":"a","expires_in":60}`, time.Minute, "rt0",
			false},
	}
}

func TestTokenAnswersAreReadLeniently(t *testing.T) {
	for name, tc := range lenientAnswers() {
		t.Run(name, func(t *testing.T) {
			f := &fake{answer: func(asked) (int, string) { return 200, tc.body }}
			f.header = map[string][]string{
				"Content-Type": {"text/plain"},
			} // a label that x/oauth2 would take at its word

			got, err := tokens.Client{
				App:  app(tokens.V1),
				HTTP: f.client(),
				Now:  newClock().Now,
			}.Redeem(t.Context(), secret.New("rt0"))
			if err != nil {
				t.Fatal(err)
			}

			if life := got.Access.Expiry.Sub(got.Access.Obtained); life != tc.life {
				t.Errorf("life %v, want %v", life, tc.life)
			}

			if got.Access.Token.Reveal() != "a" || got.Refresh.Reveal() != tc.refresh ||
				got.Access.Rotated != tc.rotated {
				t.Errorf("access %q, refresh %q, rotated %v",
					got.Access.Token.Reveal(), got.Refresh.Reveal(), got.Access.Rotated)
			}
		})
	}
}

func TestUnusableAnswersAreErrorsNotTokens(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		fate   advice.Fate
	}{
		"no access token":                 {200, `{"token_type":"Bearer"}`, advice.TryAgain},
		"a token with a line break":       {200, `{"access_token":"a\r\nX-Evil: 1"}`, advice.TryAgain},
		"another token type":              {200, `{"token_type":"pop","access_token":"a"}`, advice.TryAgain},
		"a page":                          {200, `<html>sign in to the WiFi</html>`, advice.TryAgain},
		"an array":                        {200, `[]`, advice.TryAgain},
		"cut JSON":                        {200, `{"access_token":"a`, advice.TryAgain},
		"nothing":                         {200, ``, advice.TryAgain},
		"larger than 1 MiB":               {200, `{"access_token":"a"}` + strings.Repeat(" ", 1<<20), advice.TryAgain},
		"a page with 503":                 {503, `<html>busy</html>`, advice.TryAgain},
		"a page with 429":                 {429, `slow`, advice.TryAgain},
		"a page with 404":                 {404, `<html>not here</html>`, advice.NeedsFix},
		"a page with 403":                 {403, `<html>blocked</html>`, advice.NeedsFix},
		"a proxy that wants a password":   {407, ``, advice.NeedsFix},
		"JSON without error and with 400": {400, `{"message":"no"}`, advice.NeedsFix},
		"an error with status 200":        {200, refusal("invalid_client", 7000215), advice.NeedsFix},
		"a dead token with 500":           {500, refusal("invalid_grant", 700082), advice.TryAgain},
		"a dead token with 429":           {429, refusal("invalid_grant", 700082), advice.TryAgain},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{answer: func(asked) (int, string) { return tc.status, tc.body }}
			got, err := tokens.Client{App: app(tokens.V2), HTTP: f.client()}.ClientCredentials(t.Context())

			var e *tokens.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, %v", got, err)
			}

			if e.Fate != tc.fate || e.Dead() || e.Refusal.Status != tc.status || e.Problem == "" || e.Remedy == "" ||
				e.Refusal.CorrelationID == "" {
				t.Errorf("fate %v, dead %v, status %d: %v", e.Fate, e.Dead(), e.Refusal.Status, e)
			}

			if strings.Contains(err.Error(), "html") || len(err.Error()) > 1300 {
				t.Errorf("the body is in the error: %v", err)
			}
		})
	}
}

func TestRetryAfterIsReadAsSecondsOrDate(t *testing.T) {
	for name, tc := range map[string]struct {
		value string
		want  time.Duration
	}{
		"seconds":   {"17", 17 * time.Second},
		"date":      {"Tue, 03 Feb 2026 09:02:00 GMT", 2 * time.Minute},
		"past date": {"Tue, 03 Feb 2026 08:02:00 GMT", 0},
		"absent":    {"", 0},
		"negative":  {"-3", 0},
		"junk":      {"soon", 0},
		"NaN":       {"NaN", 0},
		"absurd":    {"99999999999999", 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			// The service's clock says 9:00; ours is an hour fast, which must not
			// matter.
			f := &fake{
				header: map[string][]string{"Retry-After": {tc.value}, "Date": {"Tue, 03 Feb 2026 09:00:00 GMT"}},
			}
			f.answer = func(asked) (int, string) { return 429, "<html>" }
			c := newClock()
			c.Advance(time.Hour)

			var skew time.Duration

			_, err := tokens.Client{
				App:    app(tokens.V2),
				HTTP:   f.client(),
				Now:    c.Now,
				OnSkew: func(server, at time.Time) { skew = at.Sub(server) },
			}.ClientCredentials(t.Context())

			var e *tokens.Error
			if !errors.As(err, &e) || e.RetryAfter != tc.want || e.Fate != advice.TryAgain {
				t.Errorf("%v: wait %v, want %v", err, e.RetryAfter, tc.want)
			}

			if skew != time.Hour {
				t.Errorf("skew %v", skew)
			}
		})
	}
}
