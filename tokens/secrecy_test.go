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

func TestNoSecretIsInAnyErrorLogOrPrintedValue(t *testing.T) {
	var (
		out   bytes.Buffer
		lines loglines.Lines
	)

	logger := slog.New(slog.NewJSONHandler(&out, nil))
	show := func(values ...any) {
		for _, v := range values {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}

			logger.Info("x", "v", v)

			if b, err := json.Marshal(v); err == nil {
				out.Write(b)
			}
		}
	}
	p := makePair()

	credentials := map[string]tokens.Credential{
		"secret":      fixed("client-secret-" + hidden),
		"certificate": tokens.Certificate(func() ([]byte, error) { return join(p.certPEM, p.keyPEM), nil }),
	}
	for name, cred := range credentials {
		for status, body := range map[int]string{
			200: `{"access_token":"at-` + hidden + `","refresh_token":"rt-` + hidden + `","id_token":"` + hidden +
				`","device_code":"` + hidden + `","user_code":"AB12","verification_uri":"https://x.test"}`,
			400: `{"error":"invalid_grant","error_description":"AADSTS7999999: ` + hidden + ` was sent",` +
				`"error_codes":[70008],"suberror":"` + hidden + ` x","trace_id":"` + hidden + `","correlation_id":"` +
				hidden + `"}`,
			401: `<html>` + hidden + `</html>`,
			302: hidden,
			503: hidden,
		} {
			f := &fake{answer: func(asked) (int, string) { return status, body }}
			f.header = http.Header{
				"Location":    {"https://u:" + hidden + "@evil.test/" + hidden + "?" + hidden},
				"Retry-After": {hidden},
			}
			a := app(tokens.V2)
			a.Credential = cred
			store := tokenstest.New()
			keeper := tokens.NewKeeper(store, lines.Logger())
			cfg := tokens.SourceConfig{
				App:   a,
				Seed:  seed("seed-" + hidden),
				Store: keeper,
				HTTP:  f.client(),
				Log:   lines.Logger(),
			}
			s := newSource(t, cfg)
			access, err := s.Token(t.Context())
			show(name, a, &a, cfg, access, err, a.ChainKey())
			fmt.Fprintf(&out, "%+v %#v %v\n", s, s, s)
			store.Fail("Save", errDisk)

			access, err = s.Refresh(t.Context())
			show(access, err)

			chain, _, _ := keeper.Load(t.Context(), a.ChainKey())
			show(chain)
			fmt.Fprintf(&out, "%+v %#v\n", keeper, keeper)

			c := tokens.Client{App: a, HTTP: f.client()}
			got, err := c.Redeem(t.Context(), secret.New("rt-"+hidden))
			show(c, got, err)
			got, err = c.Exchange(t.Context(), secret.New("code-"+hidden), "https://r.test", "verifier-"+hidden)
			show(got, err)
			device, err := c.DeviceAuth(t.Context())
			show(device, err)

			attempt := tokens.NewAuthCode(c, "https://r.test", "")
			_, err = attempt.ExchangePasted(
				t.Context(),
				"https://r.test/?code=code-"+hidden+"&state="+attempt.State(),
			)
			show(attempt, err)
			_, err = attempt.ExchangePasted(
				t.Context(),
				"https://r.test/?error=access_denied&error_description="+hidden,
			)
			show(err)
		}
	}
	// The network's errors.
	for _, fault := range []error{errors.New("dial tcp: x"), context.DeadlineExceeded} {
		hc := &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) { return nil, fault })}
		_, err := tokens.Client{App: app(tokens.V1), HTTP: hc}.Redeem(t.Context(), secret.New("rt-"+hidden))
		show(err)
	}

	text := out.String() + lines.String()
	for _, spelled := range []string{
		hidden,
		hex.EncodeToString([]byte(hidden)),
		url.QueryEscape("PRIVATE KEY"),
		"PRIVATE KEY",
		p.key.D.String(),
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
	check := func(name string, c tokens.Client) {
		t.Helper()

		for i, ask := range []func() error{
			func() error { _, err := c.ClientCredentials(t.Context()); return err },
			func() error { _, err := c.Redeem(t.Context(), secret.New(refresh)); return err },
			func() error {
				_, err := c.Exchange(t.Context(), secret.New(refresh), "https://r.test", refresh)
				return err
			},
		} {
			if i == 0 && strings.Contains(name, "refresh") {
				continue // it sends none
			}

			err := ask()
			if err == nil {
				t.Fatalf("%s: no error", name)
			}

			text := strings.ToLower(fmt.Sprintf("%v %+v", err, err))
			if strings.Contains(text, strings.ToLower(secretValue)) ||
				strings.Contains(text, strings.ToLower(refresh)) {
				t.Errorf("%s: %v", name, err)
			}
		}
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
	// A secret of hexadecimal digits reads like an id.
	const hexSecret = "0123456789abcdef0123456789abcdef"

	a.Credential = fixed(hexSecret)

	f := &fake{
		answer: func(asked) (int, string) { return 400, `{"error":"invalid_client","trace_id":"` + hexSecret + `"}` },
	}
	if _, err := (tokens.Client{App: a, HTTP: f.client()}).ClientCredentials(t.Context()); err == nil ||
		strings.Contains(err.Error(), hexSecret) {
		t.Errorf("as a trace id: %v", err)
	}
}
