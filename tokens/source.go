package tokens

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/logs"
	"fluent-bit-defender/internal/secret"
)

// SourceConfig describes a Source.
type SourceConfig struct {
	// App is the application, and what it asks for.
	App App
	// Grant is how it signs in. grant.Auto, or none, decides at the first use.
	Grant grant.Grant
	// Seed returns the configured refresh token, read anew at each use. It is nil, or
	// returns a zero Text, where there is none.
	Seed func() (secret.Text, error)
	// Store keeps the chain. All sources of a process share one *Keeper; a source wraps
	// any other store in a Keeper of its own. Without a store a source uses client
	// credentials only: a rotated refresh token that is not kept locks the tenant out.
	Store ChainStore
	// HTTP sends the requests; nil means a plain client.
	HTTP *http.Client
	// Timeout is how long a request may go without a byte arriving; 0 means a minute.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets the few lines that a source writes by itself; nil for none. Failures are
	// returned, not logged.
	Log *slog.Logger
	// TenantName is the label stored with a chain.
	TenantName string
	// OnSkew, if set, is called with the service's clock and ours at that moment.
	OnSkew func(serverDate, at time.Time)
	// Redemptions spreads the redemptions of the process; nil: those of the Keeper.
	Redemptions *Redemptions
	// HomeResource is the resource that the provider's own tenant (App.Home) is asked
	// for when a redemption there is needed for its own sake: Microsoft Graph. It is
	// required with App.Home.
	HomeResource string
}

// Source returns access tokens for one API of one tenant and renews them before they
// end: 5 minutes before, or 20 % of their life if that is less. It makes one sign-in at
// a time. Safe for concurrent use.
type Source struct {
	log    *slog.Logger
	client Client // its App is what the source signs in to
	// homeClient redeems in the provider's own tenant; without App.Home it is client.
	homeClient *Client
	keeper     *Keeper
	key        ChainKey
	// redemptions spreads the redemptions of the chain; nil without a keeper.
	redemptions *Redemptions
	configured  grant.Grant
	configSeed  func() (secret.Text, error) // SourceConfig.Seed
	tenantName  string
	// slot holds the access token. With App.Home other sources may share it.
	slot *slot

	mu          sync.Mutex // guards the fields below, but lastSeen
	grant       grant.Grant
	grantReason string // why it is this grant; empty: not decided yet
	// warnedOfSecret says that a refused secret was logged.
	warnedOfSecret bool
	// failedWith is what the last sign-in depended on, if it failed.
	failedWith *dependencies

	// lastSeen is the state of the chain that this sign-in read or wrote last; nil if
	// it did neither. Guarded by the slot's turn.
	lastSeen *chainState
}

// NewSource returns a Source. It checks cfg, but sends and reads nothing.
func NewSource(cfg SourceConfig) (*Source, error) {
	if err := cfg.App.validate(); err != nil {
		return nil, err
	}

	chosen, err := grant.Parse(string(cfg.Grant))
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}

	cfg.Grant = chosen

	if cfg.App.Home != "" {
		cfg.Grant = grant.RefreshToken
	}

	if cfg.App.Home != "" && cfg.HomeResource == "" {
		return nil, errors.New("tokens: the resource to ask for in the provider's own tenant is empty")
	}

	if cfg.Store == nil && cfg.Grant == grant.RefreshToken {
		return nil, errors.New("tokens: a store is needed for refresh tokens")
	}

	if cfg.Grant == grant.ClientCredentials && cfg.App.Credential == nil {
		return nil, errors.New("tokens: grant client_credentials needs a secret or a certificate")
	}

	s := &Source{
		log: cfg.Log,
		client: Client{
			App:     cfg.App,
			HTTP:    cfg.HTTP,
			Timeout: cfg.Timeout,
			Now:     cfg.Now,
			OnSkew:  cfg.OnSkew,
		},
		key:        cfg.App.ChainKey(),
		configured: cfg.Grant,
		configSeed: cfg.Seed,
		tenantName: cfg.TenantName,
	}
	if s.log == nil {
		s.log = logs.Discard()
	}

	if k, ok := cfg.Store.(*Keeper); ok {
		s.keeper = k
	} else if cfg.Store != nil {
		s.keeper = NewKeeper(cfg.Store, s.log)
	}

	s.share(cfg.Redemptions, cfg.HomeResource)

	return s, nil
}

// share sets what the source shares with others: redemptions, slot and home client.
func (s *Source) share(redemptions *Redemptions, homeResource string) {
	s.homeClient = &s.client

	if s.keeper != nil {
		s.redemptions = cmp.Or(redemptions, &s.keeper.redemptions)
	}

	if s.keeper == nil || s.client.App.Home == "" {
		s.slot = newSlot()
		return
	}

	s.slot = s.keeper.slot(s.accessKey())

	home := s.client
	home.App = s.client.App.atHome()
	home.App.Version = V2
	home.App.Scope = ""
	home.App.Resource = homeResource
	s.homeClient = &home
}

// tenantKey returns the source's tenant in lower case, as in a key.
func (s *Source) tenantKey() string { return strings.ToLower(s.client.App.TenantID) }

// renewFrom returns when the token is due for renewal.
func (a Access) renewFrom() time.Time {
	return a.Expiry.Add(-min(5*time.Minute, a.Expiry.Sub(a.Obtained)/5))
}

// Token returns an access token that is good for some time still. It signs in if there
// is none. Its errors are *Error, or that of ctx.
func (s *Source) Token(ctx context.Context) (Access, error) {
	if s.client.App.Home != "" {
		s.rotateIfDue(ctx)
	}

	if a, ok := s.slot.fresh(s.client.now()); ok {
		s.flush(ctx)
		return a, nil
	}

	if !s.slot.tryTake() {
		// Another goroutine renews the token. The old one serves until it ends.
		if a, ok := s.slot.valid(s.client.now()); ok {
			return a, nil
		}

		if err := s.slot.take(ctx); err != nil {
			return Access{}, err
		}
	}

	defer s.slot.leave()

	if a, ok := s.slot.fresh(s.client.now()); ok {
		return a, nil
	}

	a, err := s.signIn(ctx, false)
	if err == nil {
		s.warnOfSecret(a.SecretRefused)
		return a, nil
	}

	// An outage, or a secret that is being replaced, is no reason to drop a good token.
	var e *Error
	if old, ok := s.slot.valid(s.client.now()); ok && errors.As(err, &e) && (e.goesAway() || isRefusedCredential(err)) {
		s.slot.postpone(s.client.now().Add(max(e.RetryAfter, 30*time.Second)))
		s.warnOfSecret(err)

		return old, nil
	}

	return Access{}, err
}

// goesAway reports whether a sign-in may succeed later although nobody does anything.
func (e *Error) goesAway() bool { return e.Fate == advice.TryAgain || e.Reason == advice.Throttled }

// Refresh signs in now, even if there is a good token. It is for a person who wants to
// see what the service answers.
func (s *Source) Refresh(ctx context.Context) (Access, error) {
	if err := s.slot.take(ctx); err != nil {
		return Access{}, err
	}

	defer s.slot.leave()

	return s.signIn(ctx, true)
}

// flush tries again to store a chain that is in memory only. The Keeper reports a
// failure.
func (s *Source) flush(ctx context.Context) {
	if s.keeper != nil && s.keeper.Pending(s.key) {
		_ = s.keeper.flushKey(ctx, s.key)
	}
}

// Invalidate drops a, to which the API answered 401. The next Token signs in. A token
// that was renewed meanwhile stays.
func (s *Source) Invalidate(a Access) { s.slot.drop(a) }

// signIn returns a new access token; if anew is true, even though an earlier run stored
// one. The caller has the slot's turn.
func (s *Source) signIn(ctx context.Context, anew bool) (Access, error) {
	before := s.dependencies(ctx)
	s.lastSeen = nil

	a, err := s.requestToken(ctx, before, anew)
	if err == nil {
		s.slot.put(a)
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if err != nil {
		if s.lastSeen != nil { // what we stored ourselves is no change
			before.chain = *s.lastSeen
		}

		s.failedWith = &before

		return Access{}, err
	}

	s.failedWith = nil

	if a.SecretRefused == nil {
		s.warnedOfSecret = false
	}

	return a, nil
}

// warnOfSecret logs, once until the configured secret is accepted, that it is refused
// while polling goes on.
func (s *Source) warnOfSecret(err error) {
	if err == nil || !isRefusedCredential(err) {
		return
	}

	s.mu.Lock()
	warned := s.warnedOfSecret
	s.warnedOfSecret = true
	s.mu.Unlock()

	if !warned {
		s.log.Warn("the configured client secret or certificate is refused; the one accepted before is used " +
			"for the moment: " + err.Error())
	}
}

// requestToken asks the service for an access token by the source's grant.
func (s *Source) requestToken(ctx context.Context, before dependencies, anew bool) (Access, error) {
	chosen, _, err := s.Decide(ctx)

	switch {
	case err != nil:
		return Access{}, err
	case chosen == grant.ClientCredentials:
		t, err := s.client.ClientCredentials(ctx)
		return t.Access, err
	case s.client.App.Home != "":
		return s.homeToken(ctx, before, anew)
	}

	return s.redeemChain(ctx)
}
