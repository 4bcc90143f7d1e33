package tokens

import (
	"context"
	"errors"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
)

// A provider's user signs in once, in the provider's own tenant (App.Home), and the
// refresh token is redeemed at each customer's token endpoint. That works where the
// customer gave the provider a role (GDAP) or a guest account:
// https://learn.microsoft.com/partner-center/developer/gdap-and-secure-application-model
//
// A customer's redemption takes no lock, and the refresh token in its answer is dropped:
// the chain is rotated at home only. So a refusal by a customer says nothing of the chain
// until home was asked.

// refusedPause is how long a customer that refused is not asked again: several APIs may
// want the same token.
const refusedPause = 25 * time.Second

// maxTries bounds the redemptions of one sign-in at a customer, each with a newer
// refresh token than the one before.
const maxTries = 3

// homeToken returns an access token that is got with the provider's sign-in. anew says
// that a person wants to see what the service answers now.
func (s *Source) homeToken(ctx context.Context, before dependencies, anew bool) (Access, error) {
	if !anew {
		if a, ok := s.keptToken(ctx); ok {
			return a, nil
		}
	}

	if s.client.App.isHome() {
		a, err := s.redeemChain(ctx)
		if err != nil {
			s.logDeath(err)
			return Access{}, err
		}

		s.keep(ctx, s.slot, AccessKey{s.key, s.key.TenantID, s.client.App.Resource}, a)

		return a, nil
	}

	how := usual

	if _, serves := s.slot.valid(s.client.now()); serves && !anew {
		how = yielding // sources without a token go first
	}

	if err := s.refusedLately(before); err != nil && !anew {
		how = yielding

		if s.client.now().Sub(err.at) < refusedPause {
			return Access{}, err.err
		}
	}

	a, err := s.redeemAtCustomer(ctx, &attempt{how: how, before: before, anew: anew})

	var e *Error
	if errors.As(err, &e) && e.Reason == advice.ChainDead {
		s.logDeath(err)
	}

	return a, err
}

// refusedLately returns the last refusal that would come again: of this customer, or of
// the application's credential, which all customers have in common.
func (s *Source) refusedLately(now dependencies) *refusedWith {
	if r := s.slot.lastRefusal(); r != nil && r.with == now {
		return r
	}

	if r := s.keeper.credentialRefusal(s.key); r != nil && r.with.credential == now.credential {
		return r
	}

	return nil
}

// attempt is one sign-in at a customer: some redemptions, each with a newer refresh token
// than the one before.
type attempt struct {
	how    urgency
	before dependencies
	// anew says that a person wants to see what the service answers now.
	anew  bool
	tries int
	// sent is the chain whose token was sent last, and at is when.
	sent Chain
	at   time.Time
}

// redeemAtCustomer redeems the newest refresh token at the customer's tenant.
func (s *Source) redeemAtCustomer(ctx context.Context, a *attempt) (Access, error) {
	chain, err := s.homeChain(ctx)
	if err != nil {
		return Access{}, err
	}

	for {
		a.tries++
		a.sent = chain
		a.at = s.client.now()

		got, err := s.sendToCustomer(ctx, a)
		if err == nil {
			return s.accept(ctx, a.sent, got), nil
		}

		if errors.Is(err, errYielded) {
			return Access{}, s.yielded(a)
		}

		chain, err = s.afterRefusal(ctx, a, err)
		if err != nil {
			s.noteRefusal(ctx, err)
			return Access{}, err
		}
	}
}

// yielded returns the error of a redemption that let others go first: the last refusal,
// or a general one.
func (s *Source) yielded(a *attempt) error {
	if r := s.refusedLately(a.before); r != nil {
		return r.err
	}

	return newError(
		advice.Throttled,
		advice.TryAgain,
		"other customers are signed in to at this moment",
		tryLater,
		nil,
	)
}

// sendToCustomer makes one redemption at the customer's tenant, with the newest refresh
// token at the moment of the request. It sends nothing and returns errYielded if the
// application's credential was refused while it waited for its place: hundreds of
// customers may wait there.
func (s *Source) sendToCustomer(ctx context.Context, a *attempt) (Tokens, error) {
	return s.redemptions.of(s.key).send(ctx, a.how, s.client, func(ctx context.Context) (secret.Text, error) {
		r := s.keeper.credentialRefusal(s.key)
		if r != nil && !a.anew && r.with.credential == a.before.credential && s.client.now().Sub(r.at) < refusedPause {
			return secret.Text{}, errYielded
		}

		chain, stored, err := s.keeper.Load(ctx, s.key)
		if err != nil {
			return secret.Text{}, storeError(ctx, err)
		}

		if err := unusable(chain, stored, s.homeClient.App); err != nil {
			return secret.Text{}, err
		}

		a.sent = chain
		a.at = s.client.now()

		return chain.Refresh, nil
	})
}

// accept stores the access token that a customer's tenant returned. The refresh token
// that came with it is dropped.
func (s *Source) accept(ctx context.Context, chain Chain, got Tokens) Access {
	a := got.Access
	a.Rotated = false
	a.SignedIn = chain.Obtained

	s.keeper.noteCredential(s.key, nil)
	s.keep(ctx, s.slot, s.accessKey(), a)

	return a
}

// homeChain returns the chain, with a refresh token that can be sent. A configured
// token that has not started a chain yet is redeemed at home first.
func (s *Source) homeChain(ctx context.Context) (Chain, error) {
	seed, seedErr := s.newSeed(ctx)

	chain, stored, err := s.keeper.Load(ctx, s.key)
	if err != nil {
		return Chain{}, storeError(ctx, err)
	}

	if seedErr != nil && !stored {
		return Chain{}, seedErr
	}

	if !seed.IsZero() && s.keeper.seedIsDue(s.key, seed, s.client.now()) {
		chain, stored, err = s.askHome(ctx, func(Chain) bool {
			seen, err := s.keeper.SeedSeen(ctx, s.key, seed.Fingerprint())
			return err == nil && !seen
		})
	}

	s.lastSeen = s.stateOf(chain, stored)

	if err != nil && (!stored || !chain.Dead.IsZero()) {
		return Chain{}, err
	}

	return chain, unusable(chain, stored, s.homeClient.App)
}

// acceptedToken reports whether the provider's own tenant accepted the refresh token
// and refused something else: a consent is missing, or a policy blocks the API.
func acceptedToken(err error) bool {
	var e *Error

	return errors.As(err, &e) && e.Scope == advice.ScopeCustomer && e.Fate == advice.NotAuthorised
}

// rotateIfDue redeems the chain at home if that was long ago. A failure is logged once:
// the tokens at hand work until they end.
func (s *Source) rotateIfDue(ctx context.Context) {
	now := s.client.now()
	if !s.keeper.beginRotation(s.key, now) {
		return
	}

	_, _, err := s.askHome(ctx, func(c Chain) bool {
		return c.Dead.IsZero() && now.Sub(c.confirmed()) >= rotateAfter
	})

	log := s.keeper.endRotation(s.key, now, err)

	var e *Error
	if errors.As(err, &e) && e.Reason == advice.ChainDead {
		return // it was logged
	}

	if log && ctx.Err() == nil {
		s.keeper.log.Warn("the provider's refresh token could not be renewed in its own tenant " +
			s.key.TenantID + ", and is used meanwhile: " + err.Error())
	}
}

// logDeath logs, once for each sign-in, that it has ended: hundreds of customers would
// say the same.
func (s *Source) logDeath(err error) {
	var e *Error
	if !errors.As(err, &e) || e.Reason != advice.ChainDead {
		return
	}

	if s.keeper.logEnds.Load() && s.keeper.deathIsNews(s.key) {
		s.keeper.log.Error(e.Error())
	}
}

// accessKey returns the key of the source's access token.
func (s *Source) accessKey() AccessKey {
	return AccessKey{
		Chain:    s.key,
		TenantID: s.tenantKey(),
		Resource: s.client.App.Resource,
	}
}

// keptToken returns the access token that an earlier run of the process stored, if it
// is good for some time still and belongs to the present sign-in.
func (s *Source) keptToken(ctx context.Context) (Access, bool) {
	if !s.slot.askStoreOnce() {
		return Access{}, false
	}

	seed, err := s.newSeed(ctx)
	if err != nil || !seed.IsZero() {
		return Access{}, false
	}

	chain, stored, err := s.keeper.Load(ctx, s.key)
	if err != nil || unusable(chain, stored, s.homeClient.App) != nil {
		return Access{}, false // whoever needs the chain reports it
	}

	a, ok, err := s.keeper.KeptAccess(ctx, s.accessKey())
	if err != nil {
		s.log.Debug("the access token of the last run cannot be read: " + err.Error())
	}

	now := s.client.now()
	ok = ok && a.SignedIn.Equal(chain.Obtained) && now.Before(a.renewFrom()) && !now.Before(a.Obtained)

	return a, ok
}

// keep stores an access token for the next run of the process. If that fails, the next
// run needs one more redemption; the failure is logged once.
func (s *Source) keep(ctx context.Context, l *slot, at AccessKey, a Access) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()

	err := s.keeper.KeepAccess(ctx, at, a)
	if err != nil && l.logKeepFailure() {
		s.log.Warn("the access token is not kept for the next start: " + err.Error())
	}
}
