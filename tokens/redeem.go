package tokens

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/pause"
	"fluent-bit-defender/internal/secret"
)

// retryPauses are the pauses before the same refresh token is sent again within one
// sign-in: after a refusal that good tokens were seen to get (AADSTS70000), and after
// an answer that was lost on its way. In the second case the service may have rotated
// the token, and a strict service accepts the old one for a short time only.
var retryPauses = [...]time.Duration{time.Second, 3 * time.Second}

// GraceTime is how much longer than its caller's context a redemption under way may
// live: its answer may hold the only good refresh token.
const GraceTime = 3 * time.Second

// lockTimeout bounds the wait for a chain that somebody else redeems: for a process
// that was stopped while it holds the lock we would wait for ever.
const lockTimeout = 30 * time.Second

// saveTimeout bounds the writing of a new refresh token, which no caller can cancel.
const saveTimeout = 15 * time.Second

// redemption is one sign-in with the refresh tokens of a chain, in the tenant that the
// chain belongs to. It lives while the chain is locked.
type redemption struct {
	source *Source
	// client sends the requests.
	client Client
	// deadline is when no further try begins.
	deadline time.Time
	// chain is the newest state that was read or written under the lock; stored is
	// false if there is none.
	chain  Chain
	stored bool
}

// redeemChain redeems the chain's newest refresh token, or a new seed, for the source's
// resource. It holds the chain's lock.
func (s *Source) redeemChain(ctx context.Context) (Access, error) {
	r, unlock, err := s.openChain(ctx, s.client)
	if err != nil {
		return Access{}, err
	}
	defer unlock()

	a, err := r.newest(ctx)
	s.lastSeen = s.stateOf(r.chain, r.stored)
	s.keeper.noteHome(s.key, r, err)

	return a, err
}

// openChain locks the chain for a redemption, and reads it: whoever held the lock before
// may have rotated the token.
func (s *Source) openChain(ctx context.Context, client Client) (r *redemption, unlock func(), err error) {
	unlock, err = s.lockChain(ctx)
	if err != nil {
		return nil, nil, err
	}

	chain, stored, err := s.keeper.Load(ctx, s.key)
	if err != nil {
		unlock()
		return nil, nil, storeError(ctx, err)
	}

	r = &redemption{
		source:   s,
		client:   client,
		deadline: client.now().Add(client.timeout()), // the lock is held for little more than one request
		chain:    chain,
		stored:   stored,
	}

	return r, unlock, nil
}

// newest redeems a new seed, or the chain's newest refresh token.
func (r *redemption) newest(ctx context.Context) (Access, error) {
	seed, err := r.source.newSeed(ctx)
	switch {
	case err != nil && !r.stored:
		return Access{}, err
	case !seed.IsZero():
		return r.withSeed(ctx, seed)
	}

	return r.withChain(ctx)
}

// lockChain locks the chain for this sign-in.
func (s *Source) lockChain(ctx context.Context) (unlock func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()

	unlock, err = s.keeper.Lock(waiting, s.key)
	switch {
	case err == nil:
		return unlock, nil
	case ctx.Err() != nil || waiting.Err() == nil:
		return nil, storeError(ctx, err)
	case errors.Is(err, errLockedElsewhere):
		return nil, newError(
			advice.Store,
			advice.TryAgain,
			fill(
				fmt.Sprintf("another process has held the refresh token of tenant {tenant} for %v", lockTimeout),
				s.client.App,
			),
			"look for a defenderctl that hangs or was stopped (Ctrl-Z): let it go on (fg), or end it",
			nil,
		)
	}

	return nil, newError(
		advice.TooSlow,
		advice.TryAgain,
		fill(
			fmt.Sprintf("another sign-in of client {client} in tenant {tenant} has been under way for %v", lockTimeout),
			s.client.App,
		),
		tryLater,
		nil,
	)
}

// withChain redeems the stored chain, if it can be.
func (r *redemption) withChain(ctx context.Context) (Access, error) {
	if err := unusable(r.chain, r.stored, r.client.App); err != nil {
		return Access{}, err
	}

	return r.advance(ctx)
}

// unusable returns why a chain has no refresh token that can be sent; nil if it has one.
func unusable(chain Chain, stored bool, app App) error {
	switch {
	case !stored && app.Home != "":
		e := newError(
			advice.ChainDead,
			advice.NeedsSignIn,
			fill("nobody has signed in to the provider's own tenant {home} with client {client} yet", app),
			fill("sign in: {acquire}", app),
			nil,
		)
		e.Scope = advice.ScopeChain

		return e
	case !stored:
		return newError(
			advice.TokenDead,
			advice.NeedsSignIn,
			fill("no refresh token is stored for tenant {tenant} and client {client}", app),
			fill("sign in: {acquire}", app),
			nil,
		)
	case !chain.Dead.IsZero():
		return chain.Dead.Explain(app.atHome())
	}

	return nil
}

// advance redeems the newest refresh token of a living chain, or the one before it
// where the refusal is unreliable. It stores the successor before it returns the access
// token.
func (r *redemption) advance(ctx context.Context) (Access, error) {
	sent := r.chain.Refresh
	got, err := r.redeem(ctx, sent)

	var refused *Error
	if errors.As(err, &refused) && refused.unreliable && !r.chain.Previous.IsZero() {
		sent = r.chain.Previous
		got, err = r.redeemPrevious(ctx, refused)
	}

	if err != nil {
		return Access{}, r.storeFailure(ctx, sent, err)
	}

	return r.storeSuccess(ctx, sent, got), nil
}

// redeemPrevious redeems the token before the newest one, which was refused. When both
// are refused, the error is the newest one's refusal.
func (r *redemption) redeemPrevious(ctx context.Context, refused *Error) (Tokens, error) {
	got, err := r.redeem(ctx, r.chain.Previous)

	var second *Error
	switch {
	case err == nil:
		r.source.log.Warn("the newest refresh token was refused, the one before it still works: " + refused.Error())
	case errors.As(err, &second) && second.rotated.IsZero() && second.Fate != advice.TryAgain:
		return Tokens{}, refused
	}

	return got, err
}

// storeSuccess stores the successor of the token that was sent, and returns the access
// token that came with it.
func (r *redemption) storeSuccess(ctx context.Context, sent secret.Text, got Tokens) Access {
	next := r.chain
	next.Refresh = got.Refresh
	next.Previous = secret.Text{}
	next.Account = cmp.Or(next.Account, got.Account)
	next.TenantName = r.tenantName()

	if got.Access.Rotated {
		next.Previous = sent
		next.Refreshed = got.Access.Obtained
	}

	changed := got.Access.Rotated || !next.Refresh.Equal(r.chain.Refresh) || !r.chain.Previous.IsZero()

	if r.client.App.Home != "" {
		next.Confirmed = got.Access.Obtained
		changed = true
	}

	if changed {
		r.save(ctx, next)
	}

	got.Access.SignedIn = next.Obtained

	return got.Access
}

// storeFailure stores what a failed redemption of the token that was sent means for the
// chain: that it is dead, or has a successor all the same. It returns the error, or
// another one where a newer sign-in was stored meanwhile.
func (r *redemption) storeFailure(ctx context.Context, sent secret.Text, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}

	next := r.chain

	switch {
	case !e.rotated.IsZero():
		next.Refresh = e.rotated
		next.Previous = sent
	case e.dead:
		next.Dead = e.Refusal
		next.Rejected = r.client.now()
	default:
		return err
	}

	if r.save(ctx, next) {
		return newError(
			advice.Internal,
			advice.TryAgain,
			fill("the refresh token of tenant {tenant} was replaced while it was used", r.client.App),
			tryLater,
			err,
		)
	}

	return err
}

// redeem redeems a refresh token. It sends the same token again after a short pause
// where that can help, as long as there is time. A request under way outlives ctx by
// GraceTime.
func (r *redemption) redeem(ctx context.Context, refresh secret.Text) (Tokens, error) {
	for _, interval := range retryPauses {
		got, err := r.redeemOnce(ctx, refresh)

		var e *Error
		if err == nil || !errors.As(err, &e) || !e.lost && !e.unreliable {
			return got, err
		}

		if r.deadline.Sub(r.client.now()) < interval {
			return got, err
		}

		if err := pause.For(ctx, interval); err != nil {
			return Tokens{}, err
		}
	}

	return r.redeemOnce(ctx, refresh)
}

func (r *redemption) redeemOnce(ctx context.Context, refresh secret.Text) (Tokens, error) {
	same := func(context.Context) (secret.Text, error) { return refresh, nil } // the chain is locked

	return r.source.redemptions.of(r.source.key).send(ctx, urgent, r.client, same)
}

// tenantName returns the label to store with the chain: the configured one, else the
// one that is there. A customer's label does not fit the provider's own tenant.
func (r *redemption) tenantName() string {
	if app := r.source.client.App; app.Home != "" && !app.isHome() {
		return r.chain.TenantName
	}

	return cmp.Or(r.source.tenantName, r.chain.TenantName)
}

// save stores a state that follows r.chain, and reads it back. It reports whether
// another state was stored meanwhile, which then stays. If the store fails, the Keeper
// logs that and tries again; the token is good and is used meanwhile.
func (r *redemption) save(ctx context.Context, next Chain, seeds ...[32]byte) (overtaken bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()

	k, key := r.source.keeper, r.source.key
	next.Version = r.chain.Version
	next.Home = r.chain.Home || r.client.App.Home != ""

	err := k.Swap(ctx, key, next, seeds...)
	overtaken = errors.Is(err, ErrOvertaken)

	// Even if the state was overtaken, the seed has started a chain. It is recorded, so
	// that it does not start another one after a restart.
	for range 3 {
		chain, stored, loadErr := k.Load(ctx, key)
		if loadErr != nil {
			break
		}

		r.chain = chain
		r.stored = stored

		if !errors.Is(err, ErrOvertaken) || len(seeds) == 0 || !stored {
			break
		}

		err = k.Swap(ctx, key, chain, seeds...)
	}

	return overtaken
}

// storeError returns the error for a store that failed, or that of ctx if it has ended.
func storeError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}

	if errors.Is(err, ErrBarred) {
		return settingError(advice.Store, "the stored tokens are not used", "check key_file and data_dir", err)
	}

	return newError(
		advice.Store,
		advice.TryAgain,
		"the token store cannot be used",
		"check key_file and the store: data_dir and its disk, or the database",
		err,
	)
}

// withGrace returns a context that ends a grace time after ctx does.
func withGrace(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
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
