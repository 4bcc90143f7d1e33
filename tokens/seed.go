package tokens

import (
	"context"
	"errors"
	"strings"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/secret"
)

// seed returns the configured refresh token; zero when there is none.
func (s *Source) seed() (secret.Text, error) {
	if s.configSeed == nil {
		return secret.Text{}, nil
	}

	t, err := s.configSeed()
	if err != nil {
		return secret.Text{}, settingError(
			advice.CredentialWrong,
			"the configured refresh token cannot be read",
			"check refresh_token_file",
			err,
		)
	}

	t = secret.New(strings.TrimSpace(t.Reveal()))
	if err := t.CheckToken(); err != nil {
		return secret.Text{}, settingError(
			advice.CredentialWrong,
			"the configured refresh token "+err.Error(),
			"check refresh_token and refresh_token_file",
			nil,
		)
	}

	return t, nil
}

// newSeed returns the seed if it has never started this chain, and zero otherwise.
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

// withSeed starts the chain anew with a seed. A living chain goes on when the service
// refuses the seed.
func (r *redemption) withSeed(ctx context.Context, seed secret.Text) (Access, error) {
	a, err := r.start(ctx, seed)

	var refused *Error
	if err == nil || !errors.As(err, &refused) {
		return a, err
	}

	alive := r.stored && r.chain.Dead.IsZero()

	switch {
	case refused.dead && alive:
		r.save(ctx, r.chain, seed.Fingerprint())
		r.source.warnOfSeed(refused)

		return r.advance(ctx)
	case refused.dead:
		r.save(ctx, Chain{
			Refresh:    seed,
			TenantName: r.tenantName(),
			Dead:       refused.Refusal,
			Rejected:   r.client.now(),
		}, seed.Fingerprint())
	case alive && refused.refusesToken():
		return r.advanceDespite(ctx, seed, refused)
	}

	return Access{}, err
}

// start redeems a seed and stores its successor as the first token of the chain.
func (r *redemption) start(ctx context.Context, seed secret.Text) (Access, error) {
	got, err := r.redeem(ctx, seed)

	var e *Error
	if errors.As(err, &e) && !e.rotated.IsZero() {
		now := r.client.now()
		r.save(ctx, Chain{
			Refresh:    e.rotated,
			Previous:   seed,
			TenantName: r.tenantName(),
			Obtained:   now,
			Refreshed:  now,
		}, seed.Fingerprint())
	}

	if err != nil {
		return Access{}, err
	}

	first := Chain{
		Refresh:    got.Refresh,
		Account:    got.Account,
		TenantName: r.tenantName(),
		Obtained:   got.Access.Obtained,
		Refreshed:  got.Access.Obtained,
	}
	if got.Access.Rotated {
		first.Previous = seed
	}

	if r.client.App.Home != "" {
		first.Confirmed = got.Access.Obtained
	}

	r.save(ctx, first, seed.Fingerprint())
	r.source.log.Info("a chain of refresh tokens starts with the configured one")

	got.Access.SignedIn = first.Obtained

	return got.Access, nil
}

// advanceDespite redeems the stored chain although there is a new seed, which the
// service refused. The seed may be half written, or belong to somebody without access:
// that is no reason to stop a living chain, nor to forget the seed. It is logged once
// for each seed.
func (r *redemption) advanceDespite(ctx context.Context, seed secret.Text, refused *Error) (Access, error) {
	a, err := r.advance(ctx)

	var second *Error
	if errors.As(err, &second) && second.dead {
		return Access{}, refused // a person has to replace the seed anyway
	}

	if err == nil && r.source.keeper.seedRefusalIsNews(r.source.key, seed) {
		r.source.warnOfSeed(refused)
	}

	return a, err
}

// warnOfSeed logs that the configured refresh token was refused.
func (s *Source) warnOfSeed(refused *Error) {
	s.log.Warn("the newly configured refresh token is refused, the stored one stays in use: " + refused.Error())
}
