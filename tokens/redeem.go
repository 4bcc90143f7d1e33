package tokens

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
)

// patience are the pauses before a redemption is tried again within one sign-in: after a
// refusal that was seen of good tokens (AADSTS70000), and after an answer that got lost
// on its way. In the latter case the service may have rotated the token, and a strict one
// honours the old token for a short time only.
var patience = [...]time.Duration{time.Second, 3 * time.Second}

// GraceTime is how much longer than its caller a redemption on its way may live: its
// answer may hold the only good refresh token.
const GraceTime = 3 * time.Second

// lockTime bounds the wait for a chain that somebody else redeems: a process that holds
// it and was stopped would hold us for ever.
const lockTime = 30 * time.Second

// saveTime bounds the writing of a new refresh token, which no caller can cancel.
const saveTime = 15 * time.Second

// redeemChain redeems the chain's newest refresh token for our resource, under the
// chain's lock.
func (s *Source) redeemChain(ctx context.Context) (Access, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return Access{}, err
	}
	defer unlock()
	// Whatever the service does, the chain is not held for much longer than one request:
	// what is to be tried again later is.
	s.until = time.Now().Add(s.client.timeout())
	// Read after the lock: whoever had it before may have rotated the token.
	chain, ok, err := s.keeper.Load(ctx, s.key)
	if err != nil {
		return Access{}, storeError(ctx, err)
	}

	s.held.done, s.held.version, s.held.chain = true, chain.Version, ok

	seed, err := s.newSeed(ctx)
	if err != nil && !ok {
		return Access{}, err
	}

	if !seed.IsZero() {
		a, err := s.start(ctx, seed)

		var e *Error
		if err == nil || !errors.As(err, &e) {
			return a, err
		}

		alive := ok && chain.Dead.IsZero()
		switch {
		case e.dead && alive:
			s.save(ctx, chain, seed.Fingerprint())
			s.stays(e)
		case e.dead:
			s.save(ctx, Chain{
				Refresh:    seed,
				TenantName: s.tenantName(chain),
				Dead:       e.Refusal,
				Rejected:   s.client.now(),
			}, seed.Fingerprint())

			return a, err
		case alive && e.refusesToken():
			// It may be half written, or of somebody who is not let in: no reason to stop
			// a chain that lives, nor to forget the seed.
			return s.advanceInstead(ctx, chain, seed, e)
		default:
			return a, err
		}
	}

	switch {
	case !ok:
		return Access{}, newError(
			advice.NeedsSignIn,
			fill("no refresh token is stored for tenant {tenant} and client {client}", s.cfg.App),
			fill("sign in: {acquire}", s.cfg.App),
			nil,
		)
	case !chain.Dead.IsZero():
		return Access{}, chain.Dead.Explain(s.cfg.App)
	}

	return s.advance(ctx, chain)
}

// lock takes the chain for this sign-in.
func (s *Source) lock(ctx context.Context) (func(), error) {
	waiting, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()

	unlock, err := s.keeper.Lock(waiting, s.key)
	switch {
	case err == nil:
		return unlock, nil
	case ctx.Err() != nil || waiting.Err() == nil:
		return nil, storeError(ctx, err)
	}

	e := newError(advice.TryAgain, "", "", nil)
	if errors.Is(err, errElsewhere) {
		e.Problem = fill(
			fmt.Sprintf("another process has held the refresh token of tenant {tenant} for %v", lockTime),
			s.cfg.App,
		)
		e.Remedy = "look for a defenderctl that hangs or was stopped (Ctrl-Z): let it go on (fg), or end it"
	} else {
		e.Problem = fill(
			fmt.Sprintf("another sign-in of client {client} in tenant {tenant} has been under way for %v", lockTime),
			s.cfg.App,
		)
		e.Remedy = wait
	}

	return nil, e
}

// advanceInstead goes on with a living chain although there is a new seed, which was
// refused with e. That is said once for each seed.
func (s *Source) advanceInstead(ctx context.Context, chain Chain, seed secret.Text, e *Error) (Access, error) {
	a, err := s.advance(ctx, chain)

	var other *Error
	switch f := seed.Fingerprint(); {
	case err == nil && s.refusedSeed != f:
		s.refusedSeed = f
		s.stays(e)
	case errors.As(err, &other) && other.dead:
		return a, e // the seed is what a person has to mend
	}

	return a, err
}

func (s *Source) stays(e *Error) {
	s.log(slog.LevelWarn, "the newly configured refresh token is refused, the stored one stays in use: "+e.Error())
}

// newSeed is the configured refresh token if it never began this chain; zero otherwise.
func (s *Source) newSeed(ctx context.Context) (secret.Text, error) {
	seed, err := s.seed()
	if err != nil || seed.IsZero() {
		return secret.Text{}, err
	}

	seen, err := s.keeper.SeedSeen(ctx, s.key, seed.Fingerprint())
	if err != nil {
		return secret.Text{}, storeError(ctx, err)
	}

	if seen {
		return secret.Text{}, nil
	}

	return seed, nil
}

// start begins a chain with a configured refresh token.
func (s *Source) start(ctx context.Context, seed secret.Text) (Access, error) {
	t, err := s.patiently(ctx, seed)
	if e := (*Error)(nil); errors.As(err, &e) && !e.rotated.IsZero() {
		now := s.client.now()
		s.save(ctx, Chain{
			Refresh:    e.rotated,
			Previous:   seed,
			TenantName: s.cfg.TenantName,
			Obtained:   now,
			Refreshed:  now,
		}, seed.Fingerprint())
	}

	if err != nil {
		return Access{}, err
	}

	c := Chain{
		Refresh:    t.Refresh,
		Account:    t.Account,
		TenantName: s.cfg.TenantName,
		Obtained:   t.Access.Obtained,
		Refreshed:  t.Access.Obtained,
	}
	if t.Access.Rotated {
		c.Previous = seed
	}

	s.save(ctx, c, seed.Fingerprint())
	s.log(slog.LevelInfo, "a chain of refresh tokens begins with the configured one")

	return t.Access, nil
}

// advance redeems the newest token of a living chain, and the one before it where the
// service was seen to err.
func (s *Source) advance(ctx context.Context, chain Chain) (Access, error) {
	sent := chain.Refresh
	t, err := s.patiently(ctx, sent)

	var e *Error
	if errors.As(err, &e) && e.unreliable && !chain.Previous.IsZero() {
		sent = chain.Previous
		before, again := s.patiently(ctx, sent)

		var other *Error
		switch {
		case again == nil:
			t, err = before, nil

			s.log(slog.LevelWarn, "the newest refresh token was refused, the one before it still works: "+e.Error())
		case errors.As(again, &other) && !other.rotated.IsZero():
			err = again // kept below
		case !errors.As(again, &other) || other.Fate == advice.TryAgain:
			return Access{}, again // the network or the service stands in the way: soon again
		}
	}

	if err != nil {
		switch {
		case errors.As(err, &e) && !e.rotated.IsZero():
			chain.Refresh, chain.Previous = e.rotated, sent
			s.save(ctx, chain)
		case errors.As(err, &e) && e.dead:
			chain.Dead = e.Refusal
			chain.Rejected = s.client.now()
			s.save(ctx, chain)
		}

		return Access{}, err
	}

	next := chain

	next.Refresh, next.Previous = t.Refresh, secret.Text{}
	if t.Access.Rotated {
		next.Previous, next.Refreshed = sent, t.Access.Obtained
	}

	if next.Account == "" {
		next.Account = t.Account
	}

	next.TenantName = s.tenantName(chain)
	if t.Access.Rotated || !next.Refresh.Equal(chain.Refresh) || !chain.Previous.IsZero() {
		s.save(ctx, next) // before the access token is used
	}

	return t.Access, nil
}

// patiently redeems a refresh token, again after a short pause where that can help and
// there is time left. A redemption on its way outlives ctx a little.
func (s *Source) patiently(ctx context.Context, refresh secret.Text) (Tokens, error) {
	for try := 0; ; try++ {
		longer, cancel := outlive(ctx, GraceTime)
		t, err := s.client.Redeem(longer, refresh)

		cancel()

		var e *Error
		if err == nil || !errors.As(err, &e) || !e.lost && !e.unreliable || try == len(patience) ||
			time.Until(s.until) < patience[try] {
			return t, err
		}

		if err := sleep(ctx, patience[try]); err != nil {
			return Tokens{}, err
		}
	}
}

// save writes the chain. A store that fails is the Keeper's to report and to retry: the
// token is good, and is used.
func (s *Source) save(ctx context.Context, c Chain, seeds ...[32]byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()

	_ = s.keeper.Save(ctx, s.key, c, seeds...)
	if c, ok, err := s.keeper.Load(ctx, s.key); err == nil {
		s.held.version, s.held.chain = c.Version, ok
	}
}

func (s *Source) tenantName(c Chain) string {
	if s.cfg.TenantName != "" {
		return s.cfg.TenantName
	}

	return c.TenantName
}

// storeError is a failure of the store, unless ctx ended.
func storeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}

	if errors.Is(err, ErrBarred) {
		return settingError("the stored tokens are not used", "check key_file and data_dir", err)
	}

	return newError(advice.TryAgain, "the token store cannot be used", "check data_dir, its disk and key_file", err)
}

// outlive gives a context that ends a while after ctx does.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(grace, cancel)
		context.AfterFunc(longer, func() { t.Stop() })
	})

	return longer, func() {
		stop()
		cancel()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()

	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Adopt makes a refresh token that a person brought (a sign-in, an import) the newest of
// its chain, whatever was there. Its fingerprint is remembered, so that the same value in
// a configuration does not begin the chain again. What cannot be a token is refused. When
// it returns nil, the token survives a crash of the machine.
func Adopt(
	ctx context.Context,
	store ChainStore,
	key ChainKey,
	refresh secret.Text,
	account, tenantName string,
	now time.Time,
) error {
	if refresh.IsZero() {
		return errors.New("tokens: no refresh token to store")
	}

	if err := refresh.CheckToken(); err != nil {
		return fmt.Errorf("the refresh token is not stored: it %w", err)
	}

	unlock, err := store.Lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()

	if tenantName == "" {
		old, _, err := store.Load(ctx, key)
		if err != nil {
			return err
		}

		tenantName = old.TenantName
	}

	return store.Save(ctx, key, Chain{
		Refresh:    refresh,
		Account:    account,
		TenantName: tenantName,
		Obtained:   now,
		Refreshed:  now,
	}, refresh.Fingerprint())
}
