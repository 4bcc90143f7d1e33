package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cli/lint"
	"fluent-bit-defender/internal/cli/terminal"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// atOnce is how many tenants are visited at the same time.
const atOnce = 8

// visit is the live check of one tenant, as --json prints it.
type visit struct {
	TenantID string      `json:"tenant_id"`
	Tenant   string      `json:"tenant"`
	API      string      `json:"api"`
	Grant    grant.Grant `json:"grant"`
	// SignIn and Answer are "ok", "failed", "refused", or empty where it did not come
	// to that.
	SignIn string  `json:"sign_in"`
	Answer string  `json:"api_answer"`
	Found  string  `json:"found,omitempty"`
	Token  string  `json:"token,omitempty"`
	Ends   *string `json:"credential_ends"`
	// RelationshipEnd is when the relationship with the customer ends by which it is
	// reached.
	RelationshipEnd *string `json:"relationship_end,omitempty"`
	Problem         string  `json:"problem,omitempty"`
	Warning         string  `json:"warning,omitempty"`
	Code            int     `json:"exit_code"`

	ends   time.Time
	reason advice.Reason
	remedy string
}

// stores opens each store once, by its name.
type stores struct {
	c *cli

	mu   sync.Mutex // guards the fields below
	open map[string]store.Store
	errs map[string]error
	keep map[string]*tokens.Keeper
}

func (s *stores) get(ctx context.Context, at place) (store.Store, *tokens.Keeper, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	at, err := s.c.at(at)
	if err != nil {
		return nil, nil, err
	}

	name := at.Name()

	if s.open[name] == nil && s.errs[name] == nil {
		opened, err := s.c.openAt(ctx, at)
		if err != nil {
			s.errs[name] = err
			return nil, nil, err
		}

		s.open[name] = opened
		s.keep[name] = s.c.keeper(opened)
	}

	return s.open[name], s.keep[name], s.errs[name]
}

// close writes what is left to write and closes everything; it prints errors.
func (s *stores) close(ctx context.Context) {
	for name, st := range s.open {
		if err := errors.Join(unsaved(ctx, s.keep[name]), st.Close()); err != nil {
			s.c.say("%v", err)
		}
	}
}

// visitAll signs in for every tenant and asks its API for an alert, several at a time.
func (c *cli) visitAll(ctx context.Context, inputs []lint.Input, set *settings) ([]*visit, []*homeVisit) {
	open := newStores(c)
	defer open.close(ctx)

	all := []*visit{}
	homes := c.visitHomes(ctx, inputs, open)

	var g errgroup.Group
	g.SetLimit(atOnce)

	var ready atomic.Int64

	total := 0
	tenants := make([][]config.Tenant, len(inputs))

	for i, in := range inputs {
		tenants[i] = c.tenantsOf(ctx, in, homes, set)
		total += len(tenants[i])
	}

	done := c.progress(func() string { return fmt.Sprintf("%d of %d tenants checked", ready.Load(), total) })
	defer done()

	known := map[alert.TenantID]bool{}

	for i, in := range inputs {
		for _, t := range tenants[i] {
			c.noteStore(&t, placeOf(in.Input))
			v := &visit{TenantID: string(t.TenantID), Tenant: t.TenantName, API: string(t.API)}
			all = append(all, v)
			first := !known[t.TenantID]
			known[t.TenantID] = true

			g.Go(func() error {
				c.visit(ctx, v, t, placeOf(in.Input), open)

				if first { // what is the same for all its APIs
					c.visitTenant(ctx, v, t, homes)
				}

				ready.Add(1)

				return nil
			})
		}
	}

	g.Wait() // the functions return no errors

	list := slices.SortedFunc(maps.Values(homes), func(a, b *homeVisit) int {
		return cmp.Or(cmp.Compare(a.HomeTenantID, b.HomeTenantID), cmp.Compare(a.ClientID, b.ClientID))
	})

	return all, list
}

// visitTenant adds to v what is wrong with a tenant whichever API is read there.
func (c *cli) visitTenant(ctx context.Context, v *visit, t config.Tenant, homes map[homeOf]*homeVisit) {
	if v.Code == exitInterrupted {
		return
	}

	v.relationship(t, homes, c.Now())

	parts, err := c.parts(t, logs.Discard())
	if err != nil {
		return // which the visit has said
	}

	v.cloud(ctx, parts)
}

// parts returns what signs in for a tenant and reads its API.
func (c *cli) parts(t config.Tenant, log *slog.Logger) (wiring.Parts, error) {
	client, err := wiring.HTTPClient(t)
	if err != nil {
		return wiring.Parts{}, err
	}

	return wiring.Parts{
		Tenant: &t,
		HTTP:   client,
		Now:    c.Now,
		Log:    log,
	}, nil
}

// visit fills v: it signs in for a tenant and asks its API for an alert.
func (c *cli) visit(ctx context.Context, v *visit, t config.Tenant, at place, open *stores) {
	if ctx.Err() != nil { // interrupted before its turn
		v.Code = exitInterrupted
		return
	}

	v.ending(wiring.CredentialForecast(t, c.Now()))

	keeper, err := c.keeperFor(ctx, &t, at, open)
	if err != nil {
		v.fail(ctx, err)
		return
	}

	parts, err := c.parts(t, logs.Discard())
	if err != nil {
		v.fail(ctx, err)
		return
	}

	if source := c.visitSignIn(ctx, v, parts, keeper); source != nil {
		visitAPI(ctx, v, parts, source)
	}

	if v.Warning != "" {
		v.Code = worst(v.Code, exitFailed)
	}
}

// keeperFor returns the chains that a tenant's sign-in uses, nil if it uses none. It may
// decide the tenant's grant.
func (c *cli) keeperFor(
	ctx context.Context, t *config.Tenant, at place, open *stores,
) (*tokens.Keeper, error) {
	need, err := c.needsStore(t, at)
	if err != nil || !need {
		return nil, err
	}

	_, keeper, err := open.get(ctx, at)

	return keeper, err
}

// visitSignIn signs in, and returns the source of access tokens if that succeeded.
func (c *cli) visitSignIn(ctx context.Context, v *visit, parts wiring.Parts, keeper *tokens.Keeper) *tokens.Source {
	var chains tokens.ChainStore
	if keeper != nil { // else chains would be a nil *Keeper, which is not nil
		chains = keeper
	}

	source, err := parts.Source(chains)
	if err != nil {
		v.fail(ctx, err)
		return nil
	}

	access, err := source.Token(ctx)

	v.Grant = source.Grant()
	if keeper != nil && source.Grant() == grant.RefreshToken {
		f := c.chain(ctx, *parts.Tenant, keeper)
		v.ending(f)

		if f.Soon && (err == nil || !f.Ended) { // else the failure says it
			v.Warning = f.Text + "; " + f.Remedy
		}
	}

	if err != nil {
		if v.fail(ctx, err) {
			v.SignIn = outcome(err)
		}

		return nil
	}

	v.SignIn = "ok"
	v.inspect(access, *parts.Tenant)

	return source
}

// inspect records what the access token says about itself.
func (v *visit) inspect(access tokens.Access, t config.Tenant) {
	claims, err := tokens.Inspect(access.Token)
	if err != nil {
		return // an opaque token
	}

	v.Token = claims.String()
	if alert.IsGUID(string(t.TenantID)) && claims.Tid != "" && claims.Tid != string(t.TenantID) {
		v.Warning = "the access token is for tenant " + plain.Text(claims.Tid, 64) + "; check tenant_id"
	}
}

// visitAPI asks the tenant's API for an alert.
func visitAPI(ctx context.Context, v *visit, parts wiring.Parts, source *tokens.Source) {
	found, err := probe(ctx, parts, source)
	if err == nil {
		v.Answer, v.Found = "ok", found
		return
	}

	if v.fail(ctx, err) {
		v.Answer = outcome(err)
	}

	if v.Token != "" && v.Answer == "refused" {
		v.Problem += "; the token says: " + v.Token
	}
}

// fail records why a visit ended. It reports whether err says something about the
// tenant: an interrupted command did not wait for the answer, so its error says
// nothing.
func (v *visit) fail(ctx context.Context, err error) bool {
	v.Code = exitCode(err)
	if known := v.Code == exitNeedsSignIn || v.Code == exitNotAuthorised; ctx.Err() != nil && !known {
		v.Code = exitInterrupted
		return false
	}

	v.Problem = err.Error()
	if f := advice.Of(err); f != nil {
		v.reason, v.remedy = f.Reason, f.Remedy
	}

	return true
}

// outcome returns how a request failed: "refused" by the service, or "failed" where
// there was no answer that counts.
func outcome(err error) string {
	if exitCode(err) == exitFailed {
		return "failed"
	}

	return "refused"
}

// ending records when a credential ends; of several the one that ends first counts.
func (v *visit) ending(f tokens.Forecast) {
	if !f.Ends.IsZero() && (v.ends.IsZero() || f.Ends.Before(v.ends)) {
		v.ends, v.Ends = f.Ends, measure.Moment(f.Ends)
	}
}

// chain looks at the end of the stored refresh token, as it is after the sign-in.
func (c *cli) chain(ctx context.Context, t config.Tenant, keeper *tokens.Keeper) tokens.Forecast {
	app := wiring.Application(&t, logs.Discard())

	chain, ok, err := keeper.Load(ctx, app.ChainKey())
	if err != nil || !ok {
		return tokens.Forecast{}
	}

	return chain.Forecast(c.Now(), app)
}

func (c *cli) printVisits(all []*visit) {
	if len(all) == 0 {
		return
	}

	var rows [][]string
	for _, v := range all {
		rows = append(rows, []string{v.Tenant, v.API, string(v.Grant), v.SignIn, v.Answer, date(v.ends), v.Found})
	}

	fmt.Fprintln(c.Out)
	terminal.Table(c.Out, []string{"TENANT", "API", "GRANT", "SIGN-IN", "ANSWER", "ENDS", "FOUND"}, rows, 6, 0)

	c.printTexts(all)
}

// printTexts prints what is wrong, and what will be. What many tenants have in common,
// such as the end of the sign-in that they share, is printed once.
func (c *cli) printTexts(all []*visit) {
	var texts []string

	who := map[string][]string{}

	for _, v := range all {
		for _, text := range []string{v.Problem, v.Warning} {
			if text == "" {
				continue
			}

			if who[text] == nil {
				texts = append(texts, text)
			}

			who[text] = append(who[text], plain.Text(v.Tenant, 128)+" "+v.API)
		}
	}

	for _, text := range texts {
		names := who[text][0]
		if more := len(who[text]) - 1; more > 0 {
			names = fmt.Sprintf("%s and %d more", names, more)
		}

		c.below(names, text)
	}
}
