package tokens

import (
	"errors"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
)

// rotateAfter is how old the last answer of the provider's own tenant may be before a
// refresh token is redeemed there again. It leaves an hour, so that it happens at least
// once a day whatever the poll interval. A refresh token lives for 90 days; whether
// redeeming it at customers extends that is not documented.
const rotateAfter = 23 * time.Hour

// homeCounts is how long an answer of the provider's own tenant counts when a customer
// goes on saying that the sign-in has ended, or asks for multi-factor authentication.
const homeCounts = time.Hour

// homePause is how long the provider's own tenant is left alone after it could not be
// asked, or refused for another reason than the chain: hundreds of customers would ask it
// one after the other.
const (
	homePause     = 30 * time.Second
	rotationPause = 10 * time.Minute
)

// homeState is what a Keeper knows of a chain with which other tenants are reached,
// beside the chain itself. Keeper.mu guards it.
type homeState struct {
	// asked is when the chain's own tenant was asked last, and err the result, which is
	// nil after a success. signIn is the sign-in whose token was sent.
	asked  time.Time
	err    error
	signIn time.Time
	// contradicted is when home last accepted a sign-in that a customer had called ended.
	contradicted time.Time
	// rotating says that a goroutine is rotating the refresh token (rotateIfDue).
	rotating bool
	// rotateNotBefore is when a failed rotation is tried again.
	rotateNotBefore time.Time
	// rotationFailed says that the last rotation failed and was logged.
	rotationFailed bool
	// deadLogged is the sign-in whose end was logged.
	deadLogged time.Time
	// refusedSeed is the fingerprint of the last configured refresh token that was
	// refused while the chain is alive, and seedAsked is when it was tried.
	refusedSeed [32]byte
	seedAsked   time.Time
	// credential is the last refusal of the application's secret or certificate.
	credential *refusedWith
}

// slot returns the slot of an access token that Sources share.
func (k *Keeper) slot(at AccessKey) *slot {
	k.mu.Lock()
	defer k.mu.Unlock()

	l, ok := k.slots[at]
	if !ok {
		l = newSlot()
		k.slots[at] = l
	}

	return l
}

// noteHome records the result of a redemption in the chain's own tenant.
func (k *Keeper) noteHome(key ChainKey, r *redemption, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()

	h := &k.of(key).home
	h.asked = r.client.now()
	h.err = err
	h.signIn = r.chain.Obtained
}

// homeAnswer returns what the chain's own tenant said last about a sign-in, if that
// still counts; answered is false if it has to be asked. A success counts if it came at
// or after since, also one of another process, or of this one before a restart.
func (k *Keeper) homeAnswer(key ChainKey, chain Chain, now, since time.Time) (answered bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()

	h := &k.of(key).home
	age := now.Sub(h.asked)
	same := h.signIn.Equal(chain.Obtained)

	var e *Error

	switch {
	case same && errors.As(h.err, &e) && e.Fate != advice.TryAgain && age < homeCounts:
		return true, h.err
	case same && h.err != nil && age < homePause:
		return true, h.err
	}

	contradicted := same && now.Sub(h.contradicted) < homePause

	return contradicted || !chain.confirmed().Before(since), nil
}

// confirmed returns when the chain's own tenant last accepted a token of it.
func (c Chain) confirmed() time.Time {
	if c.Refreshed.After(c.Confirmed) {
		return c.Refreshed
	}

	return c.Confirmed
}

// noteContradiction records that home accepts a sign-in that a customer calls ended.
// Hundreds of customers may say the same one after the other; home is not asked again
// for each of them.
func (k *Keeper) noteContradiction(key ChainKey, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()

	k.of(key).home.contradicted = now
}

// beginRotation reports whether it is time to redeem in the chain's own tenant. If so,
// the caller does this, and calls endRotation.
func (k *Keeper) beginRotation(key ChainKey, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	c := k.of(key)

	due := c.known && c.newest.Dead.IsZero() && now.Sub(c.newest.confirmed()) >= rotateAfter
	if !due || c.home.rotating || now.Before(c.home.rotateNotBefore) {
		return false
	}

	c.home.rotating = true

	return true
}

// endRotation records how a rotation ended, and reports whether to log a failure.
func (k *Keeper) endRotation(key ChainKey, now time.Time, err error) (log bool) {
	k.mu.Lock()
	defer k.mu.Unlock()

	h := &k.of(key).home
	h.rotating = false

	if err == nil {
		h.rotationFailed = false
		return false
	}

	h.rotateNotBefore = now.Add(rotationPause)
	first := !h.rotationFailed
	h.rotationFailed = true

	return first
}

// deathIsNews reports whether the end of the sign-in was not logged yet, and records
// that it is now.
func (k *Keeper) deathIsNews(key ChainKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	c := k.of(key)

	signIn := nonZero(c.newest.Obtained) // zero where nobody has signed in yet
	news := !c.home.deadLogged.Equal(signIn)
	c.home.deadLogged = signIn

	return news
}

// nonZero returns t, or another fixed time if it is zero.
func nonZero(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0)
	}

	return t
}

// seedRefusalIsNews reports whether the refusal of a configured refresh token was not
// logged yet, and records that it is now.
func (k *Keeper) seedRefusalIsNews(key ChainKey, seed secret.Text) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	h := &k.of(key).home
	news := h.refusedSeed != seed.Fingerprint()
	h.refusedSeed = seed.Fingerprint()

	return news
}

// seedIsDue reports whether a configured refresh token that has not started the chain
// yet should be tried now: after a refusal it is tried again only after some time.
func (k *Keeper) seedIsDue(key ChainKey, seed secret.Text, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()

	h := &k.of(key).home
	if h.refusedSeed == seed.Fingerprint() && now.Sub(h.seedAsked) < rotationPause {
		return false
	}

	h.seedAsked = now

	return true
}

// credentialRefusal returns the last refusal of the application's credential; nil if a
// redemption has succeeded since.
func (k *Keeper) credentialRefusal(key ChainKey) *refusedWith {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.of(key).home.credential
}

// noteCredential records a refusal of the application's credential, or with nil that it
// is accepted.
func (k *Keeper) noteCredential(key ChainKey, r *refusedWith) {
	k.mu.Lock()
	defer k.mu.Unlock()

	k.of(key).home.credential = r
}
