package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// acquired is the result of a sign-in, as --json prints it. It holds no token but with
// --print.
type acquired struct {
	TenantID string   `json:"tenant_id"`
	Tenant   string   `json:"tenant"`
	ClientID string   `json:"client_id"`
	Account  string   `json:"account"`
	API      string   `json:"api"`
	Resource string   `json:"resource"`
	Stored   bool     `json:"stored"`
	DataDir  string   `json:"data_dir"`
	Store    string   `json:"store,omitempty"`
	File     string   `json:"file,omitempty"`
	Tid      string   `json:"tid"`
	Aud      string   `json:"aud"`
	Roles    []string `json:"roles"`
	Scp      []string `json:"scp"`
	Exp      *string  `json:"exp"`
	// Answer is "ok", "refused" or "failed", Problem and Remedy say why and what to do.
	Answer  string `json:"api_answer"`
	Problem string `json:"problem,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
	Alert   string `json:"alert,omitempty"`
	// Home is what the sign-in is good for; nil for one in a customer's own tenant.
	Home *homeReport `json:"home,omitempty"`

	AccessToken  string `json:"access_token,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`

	err error
}

// examine looks at what came: whose it is and for what. A token of another tenant or
// user than was asked for is not kept.
func (a *acquisition) examine(t config.Tenant, got tokens.Tokens, before tokens.Chain) (*acquired, error) {
	r := &acquired{
		TenantID: string(t.TenantID),
		Tenant:   t.TenantName,
		ClientID: string(t.ClientID),
		API:      string(t.API),
		Resource: t.Resource,
		Account:  got.Account,
		Roles:    []string{},
		Scp:      []string{},
	}
	if got.Refresh.IsZero() {
		return nil, errors.New("the sign-in service gave no refresh token; check that the application's redirect " +
			"address is of the platform \"web\" or \"mobile and desktop\", not \"single-page application\"")
	}

	claims, err := tokens.Inspect(got.Access.Token)
	if err == nil { // an opaque token says nothing, and is no worse for it
		r.Tid, r.Aud, r.Exp = claims.Tid, claims.Aud, measure.Moment(claims.Exp)

		r.Roles, r.Scp = append(r.Roles, claims.Roles...), append(r.Scp, claims.Scp...)
		if r.Account == "" {
			r.Account = claims.Account()
		}
	}

	if r.Exp == nil {
		r.Exp = measure.Moment(got.Access.Expiry)
	}

	if r.Tid != "" && alert.IsGUID(string(t.TenantID)) && !strings.EqualFold(r.Tid, string(t.TenantID)) {
		return nil, fmt.Errorf("the token is for tenant %s, not for %s: somebody signed in to the wrong tenant; "+
			"nothing was stored. Sign in again with a user of %s", plain.Text(r.Tid, 64), t.TenantID, whose(t))
	}

	if a.account != "" && !strings.EqualFold(a.account, r.Account) {
		return nil, fmt.Errorf("%s signed in, not %s: nothing was stored. Sign in again, and choose the account, "+
			"or open the address in a private window", plain.Text(r.Account, 128), a.account)
	}

	if before.Account != "" && r.Account != "" && !strings.EqualFold(before.Account, r.Account) {
		a.c.say("note: the token in the store was of %s; from now on it is of "+
			"%s", plain.Text(before.Account, 128), plain.Text(r.Account, 128))
	}

	return r, nil
}

// store stores the token, and writes it to the file of --out. A store that fails now
// must not cost the sign-in: the file is written in any case, and at a terminal the
// person may make room on the disk and go on.
func (a *acquisition) store(
	ctx context.Context,
	s store.Store,
	key tokens.ChainKey,
	got tokens.Tokens,
	r *acquired,
	t config.Tenant,
	out *secretFile,
) error {
	if err := out.write(got.Refresh); err != nil {
		return err
	}

	r.File = a.out

	name := ""
	if t.TenantName != string(t.TenantID) {
		name = t.TenantName
	}

	for {
		err := tokens.Adopt(context.WithoutCancel(ctx), s.Tokens(), key, tokens.SignIn{
			Refresh:    got.Refresh,
			Account:    r.Account,
			TenantName: name,
			Home:       t.HomeTenantID != "",
			At:         a.c.Now(),
		})
		if err == nil {
			break
		}

		if !a.c.InTerminal {
			return fmt.Errorf("the refresh token could not be stored: %w", err)
		}

		a.c.say("the refresh token could not be stored: %v", err)

		if _, err := a.c.ask(ctx, "Correct that and press Enter to try again (Ctrl-C gives up the "+
			"token): ", false); err != nil {
			return err
		}
	}

	r.Stored = true
	r.DataDir = t.DataDir
	r.Store = t.Store

	return nil
}

// tryAPI asks for one alert and records what the API answers.
func (a *acquisition) tryAPI(
	ctx context.Context,
	t config.Tenant,
	client *http.Client,
	access tokens.Access,
	r *acquired,
) {
	done := a.c.progress(func() string { return "asking " + t.APIURL + " for an alert" })
	defer done()

	parts := wiring.Parts{
		Tenant: &t,
		HTTP:   client,
		Now:    a.c.Now,
		Log:    logs.Discard(),
	}

	found, err := probe(ctx, parts, onlyToken{access})
	if err == nil {
		r.Answer, r.Alert = "ok", found
		return
	}

	r.err = err
	r.Problem = err.Error()
	r.Answer = "failed"

	if exitCode(err) == exitNotAuthorised {
		r.refused(t, err)
	}
}

// refused records that the API refused the token, and what can be done about it.
func (r *acquired) refused(t config.Tenant, err error) {
	r.Answer = "refused"
	has := permitted(t.API, slices.Concat(r.Scp, r.Roles))

	var refused *defender.Error
	if errors.As(err, &refused) {
		bare := *refused

		bare.Remedy = "" // r.Remedy says it for this tenant
		if has != "" {
			bare.Problem = "the API refuses the user although the token has the permission " + has
		}

		r.Problem = bare.Error()
	}

	if remedy := permissionsFor(t.API).PortalRemedy(t.TenantID, t.ClientID); remedy != "" {
		r.Remedy = remedy + "; then run: defenderctl check, or simply start the input"
		return
	}

	app := wiring.Application(&t, logs.Discard())

	if has != "" {
		r.Remedy = fmt.Sprintf("an administrator of the customer's tenant gives %s a role that may see alerts, "+
			"such as Security Reader, or \"View data\" in Defender's own roles; then run: defenderctl check, or "+
			"simply start the input",
			cmp.Or(r.Account, "the user who signed in"))

		return
	}

	r.Remedy = fmt.Sprintf("the application needs the permission %s (the token has: %s), and an administrator of "+
		"the customer's tenant has to allow it at %s ; the user who signed in needs a role that may see alerts",
		permissionsFor(t.API).Names(), granted(r.Aud, r.Scp, r.Roles), app.AdminConsentURL("", ""))
}

// permissionsFor returns the permissions that reading the alerts of an API takes.
func permissionsFor(api alert.API) alert.Permission {
	d, err := api.Descriptor()
	if err != nil {
		return alert.Permission{}
	}

	return d.Permission
}

// permitted returns the permission among those of a token that allows reading an API's
// alerts, empty if there is none.
func permitted(api alert.API, list []string) string {
	i := slices.IndexFunc(list, permissionsFor(api).Allows)
	if i < 0 {
		return ""
	}

	return list[i]
}

// granted returns the permissions in an access token for a person to read. A token that
// names no audience is one that only the API can read: it may hold any permission.
func granted(audience string, scopes, roles []string) string {
	switch list := slices.Concat(scopes, roles); {
	case len(list) > 0:
		return strings.Join(list, ", ")
	case audience == "":
		return "unknown"
	default:
		return "none"
	}
}

// report prints the result; its error is that of the API.
func (a *acquisition) report(got tokens.Tokens, r *acquired) error {
	w := a.c.Out
	if a.print {
		r.AccessToken, r.RefreshToken = got.Access.Token.Reveal(), got.Refresh.Reveal()
	}

	switch {
	case a.json && a.every:
		a.results = append(a.results, r)
	case a.json:
		if err := printJSON(w, r); err != nil {
			return err
		}
	default:
		if a.print {
			fmt.Fprintf(w, "access_token: %s\nrefresh_token: %s\n", r.AccessToken, r.RefreshToken)
			w = a.c.Err
		}

		row := func(name, format string, args ...any) {
			fmt.Fprintln(w, a.c.wrap(fmt.Sprintf("  "+
				"%-14s ", name)+plain.Text(fmt.Sprintf(format, args...), 2000), "                 "))
		}

		fmt.Fprintf(w, "%s: signed in%s\n", plain.Text(r.Tenant, 128), plain.Text(by(r.Account), 128))
		row("refresh token", "stored in %s", cmp.Or(r.Store, r.DataDir))

		if r.File != "" {
			row("", "and written to %s", r.File)
		}

		row("access token", "for %s in tenant %s, until %s", orUnknown(r.Aud), orUnknown(r.Tid), *r.Exp)
		row("permissions", "%s", granted(r.Aud, r.Scp, r.Roles))

		switch {
		case r.Home != nil:
			r.Home.print(row)
		case r.Answer == "ok":
			row("API "+r.API, "answers; %s", r.Alert)
		default:
			row("API "+r.API, "%s", r.Problem)
		}
	}

	if problem, remedy := alert.API(r.API).Deprecated(); problem != "" {
		a.c.say("note: %s; %s", problem, remedy)
	}

	if r.err == nil {
		return nil
	}

	if r.Remedy != "" {
		a.c.say("the token is stored, but the API refuses it: %s. What to do: %s", r.Problem, r.Remedy)
	} else {
		a.c.say("the token is stored, but the API could not be tried: %v", r.err)
	}

	return &printedError{exitCode(r.err)}
}

func by(account string) string {
	if account == "" {
		return ""
	}

	return " as " + account
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}

	return s
}

// onlyToken is a token that cannot be renewed.
type onlyToken struct{ access tokens.Access }

// Token implements defender.TokenSource.
func (o onlyToken) Token(context.Context) (tokens.Access, error) { return o.access, nil }

// Invalidate implements defender.TokenSource.
func (o onlyToken) Invalidate(tokens.Access) {}
