package tokens

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/secret"
)

// Adopt makes a refresh token that a person brought, by a sign-in or an import, the
// newest of its chain, whatever was stored before. It remembers the fingerprint, so
// that the same value in a configuration does not start the chain again. A text that
// cannot be a token is refused. When Adopt returns nil, the token survives a crash of
// the machine.
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
