package tokens

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"fluent-bit-defender/internal/secret"
)

// AuthCode is one sign-in of a person with the authorization code flow, PKCE and state
// (RFC 6749 section 4.1, RFC 7636). Use one per attempt: state and verifier serve once.
type AuthCode struct {
	// Client redeems the code.
	Client Client
	// RedirectURI is where the browser is sent with the code, exactly as registered;
	// the port of a loopback address is free.
	RedirectURI string
	// Prompt is what the service asks the person in any case: "select_account" (the
	// usual), "login", "consent", or empty. LoginHint is the user whose name the page
	// shows first, if any.
	Prompt, LoginHint string
	// Limit is how long ExchangeReturned waits for the browser; 0 means as long as its
	// context. The redemption afterwards does not count: it has bounds of its own, and
	// a person who has signed in has done so in time.
	Limit time.Duration

	state    string
	verifier secret.Text
}

// NewAuthCode returns an attempt with a new state and verifier.
func NewAuthCode(client Client, redirectURI, prompt string) *AuthCode {
	var b [24]byte
	rand.Read(b[:]) // never fails

	return &AuthCode{
		Client:      client,
		RedirectURI: redirectURI,
		Prompt:      prompt,
		state:       base64.RawURLEncoding.EncodeToString(b[:]),
		verifier:    secret.New(oauth2.GenerateVerifier()),
	}
}

// URL returns the address for the person's browser.
func (a *AuthCode) URL() string {
	address := a.Client.App.AuthCodeURL(a.RedirectURI, a.state, a.verifier.Reveal(), a.Prompt)
	if a.LoginHint != "" {
		address += "&" + url.Values{"login_hint": {a.LoginHint}}.Encode()
	}

	return address
}

// State returns the value that comes back with the answer and tells it from those to
// other attempts.
func (a *AuthCode) State() string { return a.state }

// Exchange redeems the code that came back.
func (a *AuthCode) Exchange(ctx context.Context, code secret.Text) (Tokens, error) {
	return a.Client.Exchange(ctx, code, a.RedirectURI, a.verifier.Reveal())
}

// ExchangePasted redeems the code of an address that a person pasted (see ParsePasted).
// An address with another attempt's state is refused; a bare code has none, and is
// protected by PKCE alone.
func (a *AuthCode) ExchangePasted(ctx context.Context, text string) (Tokens, error) {
	code, state, err := ParsePasted(text)
	if state != "" && !sameState(state, a.state) {
		return Tokens{}, errors.New(
			"this address answers another sign-in, or was cut off: " +
				"paste the one the browser ended on after opening the address above",
		)
	}

	if err != nil {
		return Tokens{}, a.explain(err)
	}

	return a.Exchange(ctx, code)
}

// ErrNobodyReturned is the error of ExchangeReturned when AuthCode.Limit is over.
var ErrNobodyReturned = errors.New("tokens: nobody came back from the sign-in in time")

// ExchangeReturned waits for the browser at cb, redeems the code that it brings, and
// tells the browser how that went. If the person sees the URL before this is called,
// call cb.Expect(a.State()) before that.
func (a *AuthCode) ExchangeReturned(ctx context.Context, cb *Callback) (Tokens, error) {
	code, err := a.waitReturned(ctx, cb)
	if err != nil {
		return Tokens{}, a.explain(err)
	}

	t, err := a.redeemReturned(ctx, code)
	cb.report(a.closingPage(t, err))

	return t, err
}

// waitReturned waits for the browser at cb, until ctx ends or the limit is over.
func (a *AuthCode) waitReturned(ctx context.Context, cb *Callback) (secret.Text, error) {
	if a.Limit <= 0 {
		return cb.Wait(ctx, a.state)
	}

	limited, cancel := context.WithTimeout(ctx, a.Limit)
	defer cancel()

	code, err := cb.Wait(limited, a.state)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return secret.Text{}, ErrNobodyReturned
	}

	return code, err
}

// redeemReturned redeems a code that came with a request.
func (a *AuthCode) redeemReturned(ctx context.Context, code secret.Text) (Tokens, error) {
	if err := code.CheckToken(); err != nil {
		return Tokens{}, fmt.Errorf("the code that the browser brought %w", err)
	}

	return a.Exchange(ctx, code)
}

// closingPage returns what the browser shows at the end: who signed in to what, or why
// the sign-in failed.
func (a *AuthCode) closingPage(t Tokens, err error) page {
	app := a.Client.App

	var refused *Error
	switch {
	case err == nil:
		return page{
			status: http.StatusOK,
			title:  "Signed in",
			text: fmt.Sprintf("%s signed in to tenant %s for %s with application %s. "+
				"Go back to the command line. You can close this window.",
				cmp.Or(t.Account, "You"), app.TenantID, app.Resource, app.ClientID),
		}
	case errors.As(err, &refused):
		return page{
			status: http.StatusOK,
			title:  "The sign-in failed",
			text: fmt.Sprintf("Nobody is signed in to tenant %s: %s. "+
				"The command line says what to do. You can close this window.", app.TenantID, refused.Problem),
		}
	}

	return page{
		status: http.StatusOK,
		title:  "The sign-in was not completed",
		text:   "The command line says why. You can close this window.",
	}
}

// explain puts this application's ids into a refusal that came by redirect.
func (a *AuthCode) explain(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}

	return e.Refusal.Explain(a.Client.App)
}

// AuthCodeURL returns the address of the authorize endpoint. prompt may be empty; so
// may verifier, for a service without PKCE.
//
// v1 is asked for the resource here already, so that the person gives consent and meets
// conditional access while at the browser.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
func (a App) AuthCodeURL(redirectURI, state, verifier, prompt string) string {
	conf := a.config()
	if a.Version == V2 {
		// For the account's name, which comes with an id token.
		conf.Scopes = withScopes(conf.Scopes, "openid", "profile")
	}

	conf.RedirectURL = redirectURI

	options := []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("response_mode", "query")}
	if a.Version == V1 {
		options = append(options, oauth2.SetAuthURLParam("resource", a.Resource))
	}

	if verifier != "" {
		options = append(options, oauth2.S256ChallengeOption(verifier))
	}

	if prompt != "" {
		options = append(options, oauth2.SetAuthURLParam("prompt", prompt))
	}

	return conf.AuthCodeURL(state, options...)
}

// withScopes returns the list with more scopes, each once.
func withScopes(list []string, more ...string) []string {
	list = list[:len(list):len(list)]

	for _, m := range more {
		if !slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, m) }) {
			list = append(list, m)
		}
	}

	return list
}

// Exchange redeems an authorization code. redirectURI is the string that was opened,
// verifier the one AuthCodeURL was given.
func (c Client) Exchange(ctx context.Context, code secret.Text, redirectURI, verifier string) (Tokens, error) {
	extra := c.App.resource()
	if list := c.App.scopes(true); len(list) > 0 {
		extra.Set("scope", strings.Join(list, " ")) // one resource only, whatever the authorize request spanned
	}

	return c.tokens(ctx, extra, secret.Text{}, func(ctx context.Context, _ *wire) (*oauth2.Token, error) {
		conf := c.App.config()
		conf.RedirectURL = redirectURI

		var options []oauth2.AuthCodeOption
		if verifier != "" {
			options = append(options, oauth2.VerifierOption(verifier))
		}

		return conf.Exchange(ctx, code.Reveal(), options...)
	})
}
