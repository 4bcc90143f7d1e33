package tokens

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
)

// SourceConfig describes a Source.
type SourceConfig struct {
	// App is who asks for what.
	App App
	// Grant is how; GrantAuto decides at the first use.
	Grant Grant
	// Seed reads the configured refresh token or its file, anew at each use; nil, or a
	// zero Text, for none.
	Seed func() (secret.Text, error)
	// Store keeps the chain. Give all sources of a process the same *Keeper; another
	// store is wrapped in one of its own. Without one there are client credentials only:
	// a rotated refresh token that is not kept locks the tenant out.
	Store ChainStore
	// HTTP sends the requests; nil means a plain client.
	HTTP *http.Client
	// Timeout is how long to wait without a byte before a request is given up; 0 means a
	// minute.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets the few lines a source writes by itself; nil for none. Failures are
	// returned, not logged.
	Log func(slog.Level, string)
	// TenantName is the label stored with a chain.
	TenantName string
	// OnSkew, if set, is told the service's clock and ours at that moment.
	OnSkew func(serverDate, at time.Time)
}

// Source gives access tokens for one API of one tenant, and renews them: the smaller of 5
// minutes and 20 % of their life before they end. One sign-in at a time; safe for
// concurrent use.
type Source struct {
	cfg    SourceConfig
	client Client
	keeper *Keeper
	key    ChainKey
	turn   chan struct{}

	mu      sync.Mutex
	access  Access
	hold    time.Time // an early renewal failed: not again before this
	grant   Grant
	decided bool
	reason  string
	failed  *surroundings

	// refusedSeed is the last configured refresh token that was refused while a chain
	// lives. Guarded by turn.
	refusedSeed [32]byte
	// until is when a redemption is not tried again within this sign-in any more. Guarded
	// by turn.
	until time.Time
	// held is the state of the chain this source last read or wrote under its lock, and
	// whether it did in this sign-in. Guarded by turn.
	held struct {
		done, chain bool
		version     int64
	}
}

// NewSource checks cfg; nothing is asked or read yet.
func NewSource(cfg SourceConfig) (*Source, error) {
	if err := cfg.App.validate(); err != nil {
		return nil, err
	}

	if cfg.Grant < GrantAuto || cfg.Grant > GrantClientCredentials {
		return nil, errors.New("tokens: unknown grant")
	}

	if cfg.Store == nil && cfg.Grant == GrantRefreshToken {
		return nil, errors.New("tokens: a store is needed for refresh tokens")
	}

	if cfg.Grant == GrantClientCredentials && cfg.App.Credential == nil {
		return nil, errors.New("tokens: grant client_credentials needs a secret or a certificate")
	}

	s := &Source{
		cfg: cfg,
		client: Client{
			App:     cfg.App,
			HTTP:    cfg.HTTP,
			Timeout: cfg.Timeout,
			Now:     cfg.Now,
			OnSkew:  cfg.OnSkew,
		},
		key:  cfg.App.ChainKey(),
		turn: make(chan struct{}, 1),
	}
	if k, ok := cfg.Store.(*Keeper); ok {
		s.keeper = k
	} else if cfg.Store != nil {
		s.keeper = NewKeeper(cfg.Store, s.log)
	}

	return s, nil
}

func (s *Source) log(level slog.Level, text string) {
	if s.cfg.Log != nil {
		s.cfg.Log(level, text)
	}
}

// earliest is when a token is renewed at the earliest, before its end.
func (a Access) earliest() time.Time {
	return a.Expiry.Add(-min(5*time.Minute, a.Expiry.Sub(a.Obtained)/5))
}

// Token gives an access token that is good for some time still; it signs in when there is
// none. Errors are *Error, or ctx's.
func (s *Source) Token(ctx context.Context) (Access, error) {
	if a, ok := s.cached(true); ok {
		s.flush(ctx)
		return a, nil
	}

	select {
	case s.turn <- struct{}{}:
	default:
		// Someone else renews. What has not ended yet still serves.
		if a, ok := s.cached(false); ok {
			return a, nil
		}

		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return Access{}, ctx.Err()
		}
	}

	defer func() { <-s.turn }()

	if a, ok := s.cached(true); ok {
		return a, nil
	}

	a, err := s.signIn(ctx)
	if err == nil {
		return a, nil
	}

	var e *Error
	if old, ok := s.cached(false); ok && errors.As(err, &e) && e.Fate == advice.TryAgain {
		s.mu.Lock()
		s.hold = s.client.now().Add(max(e.RetryAfter, 30*time.Second))
		s.mu.Unlock()

		return old, nil
	}

	return Access{}, err
}

// Refresh signs in now, whatever is cached: for a person who wants to see what the
// service answers.
func (s *Source) Refresh(ctx context.Context) (Access, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return Access{}, ctx.Err()
	}

	defer func() { <-s.turn }()

	return s.signIn(ctx)
}

// cached gives the token at hand: fresh, or merely not ended yet.
func (s *Source) cached(fresh bool) (Access, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := s.client.now()
	if s.access.Token.IsZero() || !now.Before(s.access.Expiry) {
		return Access{}, false
	}

	return s.access, !fresh || now.Before(s.access.earliest()) || now.Before(s.hold)
}

// flush retries to save a chain that is in memory only. Its trouble is the Keeper's to
// report.
func (s *Source) flush(ctx context.Context) {
	if s.keeper != nil && s.keeper.Pending(s.key) {
		_ = s.keeper.flushKey(ctx, s.key)
	}
}

// Invalidate forgets a: the API answered 401 to it. The next Token signs in. A token
// renewed meanwhile stays.
func (s *Source) Invalidate(a Access) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.access.Token.Equal(a.Token) {
		s.access, s.hold = Access{}, time.Time{}
	}
}

// signIn gets a new access token; s.turn is held.
func (s *Source) signIn(ctx context.Context) (Access, error) {
	before := s.look(ctx)
	s.held.done = false
	a, err := s.ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()

	if err != nil {
		if s.held.done { // our own mark on the chain is no news
			before.version, before.chain = s.held.version, s.held.chain
		}

		s.failed = &before

		return Access{}, err
	}

	s.access, s.hold, s.failed = a, time.Time{}, nil

	return a, nil
}

func (s *Source) ask(ctx context.Context) (Access, error) {
	grant, _, err := s.Decide(ctx)
	if err != nil {
		return Access{}, err
	}

	if grant == GrantClientCredentials {
		t, err := s.client.ClientCredentials(ctx)
		return t.Access, err
	}

	return s.redeemChain(ctx)
}

// Decide settles the grant and says why, once: refresh token if one is configured or
// stored, or there is nothing else; otherwise client credentials. A chain that has died
// still is one: auto does not fall back to what the customer did not choose.
func (s *Source) Decide(ctx context.Context) (Grant, string, error) {
	s.mu.Lock()
	if s.decided {
		defer s.mu.Unlock()
		return s.grant, s.reason, nil
	}
	s.mu.Unlock()

	grant, reason, err := s.choose(ctx)
	if err != nil {
		return GrantAuto, "", err
	}

	s.mu.Lock()

	first := !s.decided
	if first {
		s.grant, s.reason, s.decided = grant, reason, true
	}

	grant, reason = s.grant, s.reason
	s.mu.Unlock()

	if first {
		s.log(slog.LevelInfo, "grant "+grant.String()+": "+reason)
	}

	return grant, reason, nil
}

func (s *Source) choose(ctx context.Context) (Grant, string, error) {
	if s.cfg.Grant != GrantAuto {
		return s.cfg.Grant, "configured", nil
	}

	seed, seedErr := s.seed()
	if s.keeper == nil {
		switch {
		case !seed.IsZero() || seedErr != nil:
			return 0, "", settingError(
				"a refresh token is configured and there is no token store to keep its successors",
				"check data_dir",
				seedErr,
			)
		case s.cfg.App.Credential == nil:
			return 0, "", settingError(
				"there is neither a token store nor a secret or certificate",
				"check data_dir and client_secret",
				nil,
			)
		}

		return GrantClientCredentials, "there is no token store", nil
	}

	if !seed.IsZero() {
		return GrantRefreshToken, "a refresh token is configured", nil
	}

	_, ok, err := s.keeper.Load(ctx, s.key)
	switch {
	case err != nil:
		return 0, "", storeError(ctx, err)
	case ok:
		return GrantRefreshToken, "a refresh token is stored", nil
	case seedErr != nil:
		return 0, "", seedErr
	case s.cfg.App.Credential == nil:
		return GrantRefreshToken, "there is no secret or certificate", nil
	}

	return GrantClientCredentials, "no refresh token is configured or stored", nil
}

// Grant is the grant in use; GrantAuto as long as Decide has not settled it.
func (s *Source) Grant() Grant {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.decided {
		return s.grant
	}

	return s.cfg.Grant
}

// seed reads the configured refresh token; zero when there is none.
func (s *Source) seed() (secret.Text, error) {
	if s.cfg.Seed == nil {
		return secret.Text{}, nil
	}

	t, err := s.cfg.Seed()
	if err != nil {
		return secret.Text{}, settingError(
			"the configured refresh token cannot be read",
			"check refresh_token_file",
			err,
		)
	}

	t = secret.New(strings.TrimSpace(t.Reveal()))
	if err := t.CheckToken(); err != nil {
		return secret.Text{}, settingError(
			"the configured refresh token "+err.Error(),
			"check refresh_token and refresh_token_file",
			nil,
		)
	}

	return t, nil
}

// surroundings is what a failed sign-in may depend on and we can see.
type surroundings struct {
	credential, seed [32]byte
	version          int64
	chain            bool
}

func (s *Source) look(ctx context.Context) surroundings {
	var now surroundings
	if c := s.cfg.App.Credential; c != nil {
		now.credential, _ = c.fingerprint() // unreadable is a state like any other
	}

	if t, err := s.seed(); err == nil {
		now.seed = t.Fingerprint()
	}

	if s.keeper != nil {
		if c, ok, err := s.keeper.Load(ctx, s.key); err == nil {
			now.version, now.chain = c.Version, ok
		}
	}

	return now
}

// Changed tells whether, since the last Token that failed, anything changed that makes a
// new try worthwhile at once: the secret or certificate, the configured refresh token, or
// the stored chain (written by a person's sign-in or another process). Cheap enough for
// every tick; false when nothing failed.
func (s *Source) Changed(ctx context.Context) bool {
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()

	return failed != nil && s.look(ctx) != *failed
}
