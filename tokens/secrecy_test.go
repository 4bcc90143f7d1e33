package tokens_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/testbed/loglines"
	"fluent-bit-defender/internal/testbed/rawhttp"
	"fluent-bit-defender/tokens"
	"fluent-bit-defender/tokens/tokenstest"
)

// Every secret of this test has this in it.
const hidden = "H1DDEN"

// printer prints values in every way that a program may.
type printer struct {
	out    bytes.Buffer
	logger *slog.Logger
	lines  loglines.Lines // what sources log
}

func newPrinter() *printer {
	p := &printer{}
	p.logger = slog.New(slog.NewJSONHandler(&p.out, nil))

	return p
}

func (p *printer) show(values ...any) {
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&p.out, verb+"\n", v)
		}

		p.logger.Info("x", "v", v)

		if b, err := json.Marshal(v); err == nil {
			p.out.Write(b)
		}
	}
}

// showSource prints what a source and its parts are, and what becomes of its requests.
func (p *printer) showSource(t *testing.T, a tokens.App, f *fake) {
	t.Helper()

	store := tokenstest.New()
	keeper := tokens.NewKeeper(store, p.lines.Logger())
	cfg := tokens.SourceConfig{
		App:   a,
		Seed:  seed("seed-" + hidden),
		Store: keeper,
		HTTP:  f.client(),
		Log:   p.lines.Logger(),
	}
	s := newSource(t, cfg)
	access, err := s.Token(t.Context())
	p.show(a, &a, cfg, access, err, a.ChainKey())
	fmt.Fprintf(&p.out, "%+v %#v %v\n", s, s, s)
	store.Fail("Save", errDisk)

	access, err = s.Refresh(t.Context())
	p.show(access, err)

	chain, _, _ := keeper.Load(t.Context(), a.ChainKey())
	p.show(chain)
	fmt.Fprintf(&p.out, "%+v %#v\n", keeper, keeper)
}

// showFlows prints what becomes of each way to sign in.
func (p *printer) showFlows(t *testing.T, c tokens.Client) {
	t.Helper()

	got, err := c.Redeem(t.Context(), secret.New("rt-"+hidden))
	p.show(c, got, err)
	got, err = c.Exchange(t.Context(), secret.New("code-"+hidden), "https://r.test", "verifier-"+hidden)
	p.show(got, err)
	device, err := c.DeviceAuth(t.Context())
	p.show(device, err)

	attempt := tokens.NewAuthCode(c, "https://r.test", "")
	_, err = attempt.ExchangePasted(t.Context(), "https://r.test/?code=code-"+hidden+"&state="+attempt.State())
	p.show(attempt, err)
	_, err = attempt.ExchangePasted(t.Context(), "https://r.test/?error=access_denied&error_description="+hidden)
	p.show(err)
}

// hiddenAnswers are answers of the sign-in service that hold secrets, by status.
var hiddenAnswers = map[int]string{
	200: `{"access_token":"at-` + hidden + `","refresh_token":"rt-` + hidden + `","id_token":"` + hidden +
		`","device_code":"` + hidden + `","user_code":"AB12","verification_uri":"https://x.test"}`,
	400: `{"error":"invalid_grant","error_description":"AADSTS7999999: ` + hidden + ` was sent",` +
		`"error_codes":[70008],"suberror":"` + hidden + ` x","trace_id":"` + hidden + `","correlation_id":"` +
		hidden + `"}`,
	401: `<html>` + hidden + `</html>`,
	302: hidden,
	503: hidden,
}

func TestNoSecretIsInAnyErrorLogOrPrintedValue(t *testing.T) {
	p := newPrinter()
	pair := makePair()

	for _, cred := range []tokens.Credential{
		fixed("client-secret-" + hidden),
		tokens.Certificate(func() ([]byte, error) { return join(pair.certPEM, pair.keyPEM), nil }),
	} {
		for status, body := range hiddenAnswers {
			f := &fake{answer: func(asked) (int, string) { return status, body }}
			f.header = http.Header{
				"Location":    {"https://u:" + hidden + "@evil.test/" + hidden + "?" + hidden},
				"Retry-After": {hidden},
			}
			a := app(tokens.V2)
			a.Credential = cred

			p.showSource(t, a, f)
			p.showFlows(t, tokens.Client{App: a, HTTP: f.client()})
		}
	}
	// The network's errors.
	for _, fault := range []error{errors.New("dial tcp: x"), context.DeadlineExceeded} {
		hc := &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) { return nil, fault })}
		_, err := tokens.Client{App: app(tokens.V1), HTTP: hc}.Redeem(t.Context(), secret.New("rt-"+hidden))
		p.show(err)
	}

	text := p.out.String() + p.lines.String()
	for _, spelled := range []string{
		hidden,
		hex.EncodeToString([]byte(hidden)),
		url.QueryEscape("PRIVATE KEY"),
		"PRIVATE KEY",
		pair.key.D.String(),
	} {
		if i := strings.Index(text, spelled); i >= 0 {
			t.Fatalf("a secret shows: …%s…", text[max(0, i-300):min(len(text), i+100)])
		}
	}

	if !strings.Contains(text, secret.Redacted) {
		t.Error("nothing was printed: the test does not look")
	}
}

func TestWhatComesBackOfOurFormIsNotQuoted(t *testing.T) {
	const secretValue, refresh = "SuperSecretValue", "0.TheRefreshToken"

	a := app(tokens.V2)
	a.Credential = fixed(secretValue)
	check := func(what string, c tokens.Client) {
		t.Helper()

		_, err := c.ClientCredentials(t.Context())
		quotesNothing(t, what, err, secretValue)
		_, err = c.Redeem(t.Context(), secret.New(refresh))
		quotesNothing(t, what, err, secretValue, refresh)
		_, err = c.Exchange(t.Context(), secret.New(refresh), "https://r.test", refresh)
		quotesNothing(t, what, err, secretValue, refresh)
	}

	echoing := a
	echoing.LoginURL = rawhttp.Serve(t, func(body string) string { return body + "\r\n\r\n" })
	check("an answer that is not HTTP", tokens.Client{App: echoing})

	for name, value := range map[string]string{"the secret": secretValue, "the refresh token": refresh} {
		f := &fake{
			header: http.Header{"Location": {"https://" + value + ".example/"}},
			answer: func(asked) (int, string) { return 302, "" },
		}
		check(name+" in a redirect's host", tokens.Client{App: a, HTTP: f.client()})
		f = &fake{answer: func(asked) (int, string) {
			return 400, fmt.Sprintf(`{"error":%q,"suberror":%q,"trace_id":%q,"correlation_id":%q}`,
				value, value, value, value)
		}}
		check(name+" in the error's name", tokens.Client{App: a, HTTP: f.client()})
	}
}

// quotesNothing checks that an error quotes none of the secrets that were sent.
func quotesNothing(t *testing.T, what string, err error, sent ...string) {
	t.Helper()

	if err == nil {
		t.Fatalf("%s: no error", what)
	}

	text := strings.ToLower(fmt.Sprintf("%v %+v", err, err))
	for _, s := range sent {
		if strings.Contains(text, strings.ToLower(s)) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestASecretThatReadsLikeAnIDIsNotQuoted(t *testing.T) {
	const hexSecret = "0123456789abcdef0123456789abcdef"

	a := app(tokens.V2)
	a.Credential = fixed(hexSecret)

	f := &fake{
		answer: func(asked) (int, string) { return 400, `{"error":"invalid_client","trace_id":"` + hexSecret + `"}` },
	}
	_, err := (tokens.Client{App: a, HTTP: f.client()}).ClientCredentials(t.Context())
	quotesNothing(t, "a trace id", err, hexSecret)
}
