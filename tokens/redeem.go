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

// lockTimeout bounds the wait for a chain that somebody else redeems: a process that
// was stopped while it holds the lock would make us wait for ever.
const lockTimeout = 30 * time.Second

// saveTimeout bounds the writing of a new refresh token, which no caller can cancel.
const saveTimeout = 15 * time.Second

// redemption is one sign-in with the refresh tokens of a chain. It lives while the
// chain is locked.
type redemption struct {
	source *Source
	// deadline is when no further try begins.
	deadline time.Time
	// chain is the stored state when the lock was taken; stored is false if there was
	// none.
	chain  Chain
	stored bool
}

// redeemChain redeems the chain's newest refresh token, or a new seed, for the source's
// resource. It holds the chain's lock.
func (s *Source) redeemChain(ctx context.Context) (Access, error) {
	unlock, err := s.lockChain(ctx)
	if err != nil {
		return Access{}, err
	}
	defer unlock()

	// Read under the lock: whoever held it before may have rotated the token.
	chain, stored, err := s.keeper.Load(ctx, s.key)
	if err != nil {
		return Access{}, storeError(ctx, err)
	}

	s.lastSeen = &chainState{chain.Version, stored}

	r := &redemption{
		source:   s,
		deadline: s.client.now().Add(s.client.timeout()), // the lock is held for little more than one request
		chain:    chain,
		stored:   stored,
	}

	seed, err := s.newSeed(ctx)
	switch {
	case err != nil && !stored:
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
				s.cfg.App,
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
			s.cfg.App,
		),
		tryLater,
		nil,
	)
}

// withChain redeems the stored chain, if it can be.
func (r *redemption) withChain(ctx context.Context) (Access, error) {
	app := r.source.cfg.App

	switch {
	case !r.stored:
		return Access{}, newError(
			advice.TokenDead,
			advice.NeedsSignIn,
			fill("no refresh token is stored for tenant {tenant} and client {client}", app),
			fill("sign in: {acquire}", app),
			nil,
		)
	case !r.chain.Dead.IsZero():
		return Access{}, r.chain.Dead.Explain(app)
	}

	return r.advance(ctx)
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
		r.storeFailure(ctx, sent, err)
		return Access{}, err
	}

	r.storeSuccess(ctx, sent, got)

	return got.Access, nil
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

// storeSuccess stores the successor of the token that was sent.
func (r *redemption) storeSuccess(ctx context.Context, sent secret.Text, got Tokens) {
	next := r.chain
	next.Refresh = got.Refresh
	next.Previous = secret.Text{}
	next.Account = cmp.Or(next.Account, got.Account)
	next.TenantName = r.tenantName()

	if got.Access.Rotated {
		next.Previous = sent
		next.Refreshed = got.Access.Obtained
	}

	if got.Access.Rotated || !next.Refresh.Equal(r.chain.Refresh) || !r.chain.Previous.IsZero() {
		r.source.saveChain(ctx, next)
	}
}

// storeFailure stores what a failed redemption of the token that was sent means for the
// chain: that it is dead, or has a successor all the same.
func (r *redemption) storeFailure(ctx context.Context, sent secret.Text, err error) {
	var e *Error
	if !errors.As(err, &e) {
		return
	}

	next := r.chain

	switch {
	case !e.rotated.IsZero():
		next.Refresh = e.rotated
		next.Previous = sent
	case e.dead:
		next.Dead = e.Refusal
		next.Rejected = r.source.client.now()
	default:
		return
	}

	r.source.saveChain(ctx, next)
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

		if r.deadline.Sub(r.source.client.now()) < interval {
			return got, err
		}

		if err := pause.For(ctx, interval); err != nil {
			return Tokens{}, err
		}
	}

	return r.redeemOnce(ctx, refresh)
}

func (r *redemption) redeemOnce(ctx context.Context, refresh secret.Text) (Tokens, error) {
	longer, cancel := withGrace(ctx, GraceTime)
	defer cancel()

	return r.source.client.Redeem(longer, refresh)
}

// tenantName returns the label to store with the chain: the configured one, else the
// one that is there.
func (r *redemption) tenantName() string {
	return cmp.Or(r.source.cfg.TenantName, r.chain.TenantName)
}

// saveChain stores the chain. The Keeper reports a store that fails, and tries again;
// the token is good and is used meanwhile.
func (s *Source) saveChain(ctx context.Context, c Chain, seeds ...[32]byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()

	_ = s.keeper.Save(ctx, s.key, c, seeds...)
	if c, stored, err := s.keeper.Load(ctx, s.key); err == nil {
		s.lastSeen = &chainState{c.Version, stored}
	}
}

// storeError returns the error for a store that failed, or ctx's if that has ended.
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
		"check data_dir, its disk and key_file",
		err,
	)
}

// withGrace returns a context that ends a while after ctx does.
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
