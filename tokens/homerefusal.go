package tokens

import (
	"context"
	"errors"
	"time"

	"fluent-bit-defender/internal/advice"
)

// askHome redeems the chain's newest refresh token, or a new seed, in the provider's
// own tenant, under the chain's lock. needed is called under the lock: if somebody else
// has done it meanwhile, nothing is sent. askHome returns the chain as it is
// afterwards.
func (s *Source) askHome(ctx context.Context, needed func(Chain) bool) (chain Chain, stored bool, err error) {
	r, unlock, err := s.openChain(ctx, *s.homeClient)
	if err != nil {
		return Chain{}, false, err
	}
	defer unlock()

	if !needed(r.chain) {
		return r.chain, r.stored, nil
	}

	a, err := r.newest(ctx)
	s.keeper.noteHome(s.key, r, err)

	if err != nil {
		s.logDeath(err)
		return r.chain, r.stored, err
	}

	at := AccessKey{s.key, s.key.TenantID, s.homeClient.App.Resource}
	l := s.keeper.slot(at)
	l.put(a)
	s.keep(ctx, l, at, a)

	return r.chain, r.stored, nil
}

// afterRefusal decides what a failed redemption at the customer means. It returns the
// chain to try again with, or the error to return.
func (s *Source) afterRefusal(ctx context.Context, a *attempt, refused error) (Chain, error) {
	var e *Error
	if !errors.As(refused, &e) || e.Fate == advice.TryAgain || e.Code == loopCode {
		return Chain{}, refused
	}

	chain, stored, err := s.keeper.Load(ctx, s.key)
	if err != nil {
		return Chain{}, storeError(ctx, err)
	}

	s.lastSeen = s.stateOf(chain, stored)
	if err := unusable(chain, stored, s.homeClient.App); err != nil {
		return Chain{}, err
	}

	switch {
	case e.Scope == advice.ScopeCredential:
		return Chain{}, e
	case a.mayTry(chain):
		return chain, nil // a person has signed in, or the chain was rotated
	case !e.mayConcernChain():
		return Chain{}, e
	}

	return s.afterAskingHome(ctx, chain, a, e)
}

// mayTry reports whether chain has another token than the one that was sent, and
// another try is left.
func (a *attempt) mayTry(chain Chain) bool {
	return !chain.Refresh.Equal(a.sent.Refresh) && a.tries < maxTries
}

// mayConcernChain reports whether a customer's refusal may be about the chain itself.
// Then home has to be asked.
func (e *Error) mayConcernChain() bool {
	return e.dead || e.unreliable || e.Scope == advice.ScopeChain || e.Reason == advice.MFARequired
}

// afterAskingHome is afterRefusal for a refusal that may be about the chain itself.
func (s *Source) afterAskingHome(ctx context.Context, chain Chain, a *attempt, e *Error) (Chain, error) {
	since := s.homeCountsSince(a, e)

	answered, homeErr := s.keeper.homeAnswer(s.key, chain, s.client.now(), since)
	if !answered {
		var stored bool

		chain, stored, homeErr = s.askHome(ctx, func(c Chain) bool {
			answered, _ := s.keeper.homeAnswer(s.key, c, s.client.now(), since)
			return c.Dead.IsZero() && !answered
		})
		s.lastSeen = s.stateOf(chain, stored)

		if homeErr == nil {
			homeErr = unusable(chain, stored, s.homeClient.App)
		}

		if homeErr == nil {
			_, homeErr = s.keeper.homeAnswer(s.key, chain, s.client.now(), since)
		}

		if homeErr == nil {
			s.keeper.noteContradiction(s.key, s.client.now())
		}
	}

	if homeErr != nil && !acceptedToken(homeErr) {
		return Chain{}, homeErr
	}

	if !answered {
		s.slot.check(s.client.now())
	}

	if a.mayTry(chain) {
		return chain, nil
	}

	return Chain{}, e.customersOwn(s.client.App)
}

// homeCountsSince returns how recent a success in the provider's own tenant has to be
// to count against a customer's refusal. The sign-in may have ended a moment ago, so
// that home is asked again; but at most once an hour because of the same customer, or
// because of multi-factor authentication, which customers require by policies of their
// own.
func (s *Source) homeCountsSince(a *attempt, e *Error) time.Time {
	anHourAgo := s.client.now().Add(-homeCounts)

	if a.anew || e.Reason != advice.MFARequired && !s.slot.checkedSince(anHourAgo) {
		return a.at
	}

	return anHourAgo
}

// customersOwn returns the error for a sign-in that the customer refuses and the
// provider's own tenant accepts: the reason is at the customer, whatever the code says.
func (e *Error) customersOwn(app App) *Error {
	if e.Scope == advice.ScopeCustomer && !e.dead {
		return e
	}

	own := *e
	own.dead = false
	own.unreliable = false
	own.Scope = advice.ScopeCustomer
	own.Fate = advice.NotAuthorised
	own.Problem = fill(
		"tenant {tenant} does not accept the provider's sign-in, although the provider's own tenant {home} does: ",
		app,
	) + e.Problem
	own.Remedy = fill(
		"the customer checks its policies on sign-in frequency and sessions for the provider's users; "+
			"if it stays, sign in again: {acquire}",
		app,
	)

	return &own
}

// noteRefusal remembers a refusal, with what it depended on, so that the same is not sent
// again at once.
func (s *Source) noteRefusal(ctx context.Context, err error) {
	var e *Error
	if !errors.As(err, &e) || e.Fate == advice.TryAgain || e.Code == loopCode {
		return
	}

	r := &refusedWith{err: e, at: s.client.now(), with: s.dependencies(ctx)}
	s.slot.refuse(r)

	if e.Scope == advice.ScopeCredential {
		s.keeper.noteCredential(s.key, r)
	}
}
