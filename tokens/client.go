package tokens

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
)

// Access is an access token: for one Authorization header.
type Access struct {
	// Token is opaque; it goes to the configured API host only.
	Token secret.Text
	// Obtained is our time just before the request. Expiry is that plus the life that
	// the service gave it, so a wrong clock of ours does no harm.
	Obtained, Expiry time.Time
	// Scope is what the service granted to a user's token. It does not say for an
	// application's.
	Scope string
	// SecretRefused is why the configured secret was refused, where one that it accepted
	// before was used instead; nil where the configured one is good.
	SecretRefused error
	// Rotated says that a new refresh token came with it.
	Rotated bool
	// SignedIn is Chain.Obtained of the chain with which it was got: a token of an
	// earlier sign-in is told by it. Zero for an application's.
	SignedIn time.Time
}

// Tokens is one successful answer of the token endpoint.
type Tokens struct {
	// Access is the access token.
	Access Access
	// Refresh is the refresh token to use from now on. It is the one that was sent
	// where the service returned no new one (RFC 6749 section 6), and zero for client
	// credentials.
	Refresh secret.Text
	// Account is the user who signed in, where there is one. It is for people only.
	Account string
}

// Client makes single requests for an application. It keeps no state: Source does. Safe
// for concurrent use.
type Client struct {
	// App is the application, and what it asks for.
	App App
	// HTTP sends the requests; nil means a plain client. Its redirect policy and
	// cookies are not used.
	HTTP *http.Client
	// Timeout is how long a request may go without a byte arriving; 0 means a minute. A
	// whole request may take twice that.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// OnSkew, if set, is called with the service's clock (the Date header) and ours at
	// that moment.
	OnSkew func(serverDate, at time.Time)

	// onWritten, if set, is called when a request has been sent whole.
	onWritten func()
	// again, if set, is called before another request of the same exchange. It returns
	// the onWritten of that one.
	again func(ctx context.Context) (onWritten func(), err error)
}

// defaultLife is the life of an access token whose answer does not say. Entra documents
// an hour.
const defaultLife = time.Hour

// defaultTimeout is Client.Timeout where none is given.
const defaultTimeout = time.Minute

func (c Client) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}

	return defaultTimeout
}

func (c Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}

	return time.Now()
}

// prepare returns the wire for one request, which adds extra and the application's
// credential to the form, and the context that makes the library use it.
func (c Client) prepare(ctx context.Context, extra url.Values) (context.Context, *wire, *Error) {
	proof := url.Values{}
	if fault := c.prove(proof); fault != nil {
		return nil, nil, fault
	}

	return c.prepareWith(ctx, extra, proof)
}

// prove adds the application's credential to a form.
func (c Client) prove(form url.Values) *Error {
	if c.App.Credential == nil {
		return nil
	}

	if err := c.App.Credential.prove(form, c.App.tokenURL(), c.App.ClientID, c.now()); err != nil {
		return settingError(
			advice.CredentialWrong,
			"the application's credential cannot be used",
			"check client_secret, client_secret_file or client_certificate_file",
			err,
		)
	}

	return nil
}

// prepareWith is prepare for a credential that is in a form already.
func (c Client) prepareWith(ctx context.Context, extra, proof url.Values) (context.Context, *wire, *Error) {
	if err := c.App.validate(); err != nil {
		return nil, nil, settingError(
			advice.CredentialWrong,
			"the application is not fully described",
			"check login_url, tenant_id, client_id and resource",
			err,
		)
	}

	w := &wire{
		app:       c.App,
		now:       c.now,
		skew:      c.OnSkew,
		host:      LoginHost(c.App.LoginURL),
		timeout:   c.timeout(),
		onWritten: c.onWritten,
		add:       url.Values{},
	}
	maps.Copy(w.add, extra)
	maps.Copy(w.add, proof)

	return w.bind(ctx, c.HTTP), w, nil
}

// exchangeFunc is one exchange of the library.
type exchangeFunc func(context.Context, *wire) (*oauth2.Token, error)

// tokens runs one exchange of the library and reads its answer. sent is the refresh
// token that was sent, if any. When the service refuses the application's secret,
// another one that it may accept is tried at once.
func (c Client) tokens(ctx context.Context, extra url.Values, sent secret.Text, run exchangeFunc) (Tokens, error) {
	proof := url.Values{}
	if fault := c.prove(proof); fault != nil {
		return Tokens{}, fault
	}

	got, err := c.exchange(ctx, extra, proof, sent, run)

	var tried []string

	for refused := err; isRefusedCredential(refused) && c.App.Credential != nil; {
		tried = append(tried, proof.Get(secretField))

		old, ok := c.App.Credential.another(proof, tried)
		if !ok {
			return got, err // the refusal of the configured secret says most
		}

		if c.again != nil {
			var stopped error
			if c.onWritten, stopped = c.again(ctx); stopped != nil {
				return got, err
			}
		}

		var second Tokens

		second, refused = c.exchange(ctx, extra, proof, sent, run)
		if refused == nil {
			if old {
				second.Access.SecretRefused = err
			}

			got, err = second, nil
		}
	}

	if err == nil && c.App.Credential != nil {
		c.App.Credential.accepted(proof)
	}

	return got, err
}

// isRefusedCredential reports whether the service refused the secret or certificate.
func isRefusedCredential(err error) bool {
	var e *Error

	return errors.As(err, &e) && e.Scope == advice.ScopeCredential && e.Fate != advice.TryAgain
}

// exchange runs one exchange with the credential in proof.
func (c Client) exchange(
	ctx context.Context,
	extra, proof url.Values,
	sent secret.Text,
	run exchangeFunc,
) (Tokens, error) {
	ctx, w, fault := c.prepareWith(ctx, extra, proof)
	if fault != nil {
		return Tokens{}, fault
	}

	start := c.now()

	t, err := run(ctx, w)
	if err != nil {
		e := w.failure(err)
		w.keepRotated(e, sent)

		return Tokens{}, e
	}

	if t.Type() != "Bearer" || !usableInHeader(t.AccessToken) {
		e := w.unusable("the token of " + w.host + " cannot be used as a bearer token")
		w.keepRotated(e, sent)

		return Tokens{}, e
	}

	if err := secret.New(t.RefreshToken).CheckToken(); err != nil {
		e := w.unusable("the refresh token in the answer of " + w.host + " " + err.Error())

		return Tokens{}, e
	}

	life := w.answer.life
	if life == 0 {
		life = defaultLife
	}

	out := Tokens{
		Access: Access{
			Token:    secret.New(t.AccessToken),
			Obtained: start,
			Expiry:   start.Add(life),
			Scope:    w.answer.scope,
		},
		Refresh: secret.New(t.RefreshToken),
	}
	if out.Refresh.IsZero() {
		out.Refresh = sent
	}

	out.Access.Rotated = !out.Refresh.IsZero() && !out.Refresh.Equal(sent)
	if claims, err := Inspect(w.answer.idToken); err == nil {
		out.Account = claims.Account()
	} else if claims, err := Inspect(out.Access.Token); err == nil {
		out.Account = claims.Account()
	}

	return out, nil
}

// Redeem redeems a refresh token once (RFC 6749 section 6). The caller holds the
// chain's lock and stores the successor.
func (c Client) Redeem(ctx context.Context, refresh secret.Text) (Tokens, error) {
	extra := c.App.resource()
	// The library sends no scope with a refresh; without one v2 would answer for
	// whatever was asked for first.
	if list := c.App.scopes(true); len(list) > 0 {
		extra.Set("scope", strings.Join(list, " "))
	}

	return c.tokens(ctx, extra, refresh, func(ctx context.Context, _ *wire) (*oauth2.Token, error) {
		// A token without an access token is not valid, so that the source redeems it
		// at once.
		return c.App.config().TokenSource(ctx, &oauth2.Token{RefreshToken: refresh.Reveal()}).Token()
	})
}

// ClientCredentials signs in as the application itself (RFC 6749 section 4.4).
func (c Client) ClientCredentials(ctx context.Context) (Tokens, error) {
	return c.tokens(ctx, c.App.resource(), secret.Text{}, func(ctx context.Context, _ *wire) (*oauth2.Token, error) {
		conf := clientcredentials.Config{
			ClientID:  c.App.ClientID,
			TokenURL:  c.App.tokenURL(),
			Scopes:    c.App.scopes(false),
			AuthStyle: oauth2.AuthStyleInParams,
		}

		return conf.Token(ctx)
	})
}
