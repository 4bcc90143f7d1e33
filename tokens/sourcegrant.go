package tokens

import (
	"context"
	"log/slog"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/secret"
)

// Decide chooses the grant at its first call, and returns it with the reason: refresh
// token if one is configured or stored, or if there is nothing else; otherwise client
// credentials. A dead chain counts as stored: auto does not fall back to what the
// customer did not choose.
func (s *Source) Decide(ctx context.Context) (grant.Grant, string, error) {
	if chosen, reason := s.decided(); reason != "" {
		return chosen, reason, nil
	}

	chosen, reason, err := s.chooseGrant(ctx)
	if err != nil {
		return grant.Auto, "", err
	}

	s.mu.Lock()

	first := s.grantReason == ""
	if first {
		s.grant = chosen
		s.grantReason = reason
	}

	chosen, reason = s.grant, s.grantReason
	s.mu.Unlock()

	if first {
		level := slog.LevelInfo
		if s.client.App.Home != "" {
			level = slog.LevelDebug // the same line for hundreds of customers
		}

		s.log.Log(ctx, level, "grant "+string(chosen)+": "+reason)
	}

	return chosen, reason, nil
}

// decided returns the grant and its reason; the reason is empty until Decide has
// decided.
func (s *Source) decided() (grant.Grant, string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.grant, s.grantReason
}

// chooseGrant returns the grant and why it is this one.
func (s *Source) chooseGrant(ctx context.Context) (grant.Grant, string, error) {
	switch {
	case s.client.App.Home != "":
		return grant.RefreshToken, "home_tenant_id is set", nil
	case s.configured != grant.Auto:
		return s.configured, "configured", nil
	}

	seed, seedErr := s.seed()

	switch {
	case s.keeper == nil:
		return s.grantWithoutStore(seed, seedErr)
	case !seed.IsZero():
		return grant.RefreshToken, "a refresh token is configured", nil
	}

	_, stored, err := s.keeper.Load(ctx, s.key)

	switch {
	case err != nil:
		return grant.Auto, "", storeError(ctx, err)
	case stored:
		return grant.RefreshToken, "a refresh token is stored", nil
	case seedErr != nil:
		return grant.Auto, "", seedErr
	case s.client.App.Credential == nil:
		return grant.RefreshToken, "there is no secret or certificate", nil
	}

	return grant.ClientCredentials, "no refresh token is configured or stored", nil
}

// grantWithoutStore is chooseGrant where refresh tokens cannot be kept.
func (s *Source) grantWithoutStore(seed secret.Text, seedErr error) (grant.Grant, string, error) {
	switch {
	case !seed.IsZero() || seedErr != nil:
		return grant.Auto, "", settingError(
			advice.Store,
			"a refresh token is configured and there is no token store to keep its successors",
			"check data_dir",
			seedErr,
		)
	case s.client.App.Credential == nil:
		return grant.Auto, "", settingError(
			advice.CredentialWrong,
			"there is neither a token store nor a secret or certificate",
			"check data_dir and client_secret",
			nil,
		)
	}

	return grant.ClientCredentials, "there is no token store", nil
}

// Grant returns the grant in use; the configured one until Decide has decided.
func (s *Source) Grant() grant.Grant {
	if chosen, reason := s.decided(); reason != "" {
		return chosen
	}

	return s.configured
}

// dependencies is what the success of a sign-in may depend on, as far as we can see it.
type dependencies struct {
	credential, seed [32]byte // fingerprints
	chain            chainState
}

// chainState identifies a state of a stored chain. Where customers are reached with the
// chain, only a new sign-in or its end makes a new state: a rotation changes nothing
// for a customer that refuses.
type chainState struct {
	version int64
	stored  bool
	dead    bool
}

// stateOf returns the state of a chain.
func (s *Source) stateOf(c Chain, stored bool) *chainState {
	state := chainState{
		version: c.Version,
		stored:  stored,
		dead:    !c.Dead.IsZero(),
	}
	if s.client.App.Home != "" && stored {
		state.version = c.Obtained.UnixNano()
	}

	return &state
}

// dependencies returns the present dependencies. Those that cannot be read are zero.
func (s *Source) dependencies(ctx context.Context) dependencies {
	var d dependencies
	if c := s.client.App.Credential; c != nil {
		d.credential, _ = c.fingerprint()
	}

	if t, err := s.seed(); err == nil {
		d.seed = t.Fingerprint()
	}

	if s.keeper != nil {
		if c, stored, err := s.keeper.Load(ctx, s.key); err == nil {
			d.chain = *s.stateOf(c, stored)
		}
	}

	return d
}

// Changed reports whether, since the last Token that failed, something changed that
// makes a new try worthwhile at once: the secret or certificate, the configured refresh
// token, or the stored chain, which a person's sign-in or another process may have
// written. It is cheap enough for every tick, and false when nothing failed.
func (s *Source) Changed(ctx context.Context) bool {
	s.mu.Lock()
	failedWith := s.failedWith
	s.mu.Unlock()

	return failedWith != nil && s.dependencies(ctx) != *failedWith
}
