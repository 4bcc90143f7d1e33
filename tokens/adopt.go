package tokens

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"fluent-bit-defender/internal/secret"
)

// SignIn is a refresh token that a person brought.
type SignIn struct {
	// Refresh is the token.
	Refresh secret.Text
	// Account is the user, where known. TenantName is the operator's label; empty
	// stands for the one that is stored.
	Account, TenantName string
	// Home says that the person signed in to the provider's own tenant, to reach
	// customers.
	Home bool
	// At is when the person signed in.
	At time.Time
}

// Adopt makes a refresh token that a person brought, by a sign-in or an import, the
// newest of its chain, whatever was stored before. It remembers the fingerprint, so
// that the same value in a configuration does not start the chain again. A text that
// cannot be a token is refused. When Adopt returns nil, the token survives a crash of
// the machine.
func Adopt(ctx context.Context, store ChainStore, key ChainKey, s SignIn) error {
	if s.Refresh.IsZero() {
		return errors.New("tokens: no refresh token to store")
	}

	if err := s.Refresh.CheckToken(); err != nil {
		return fmt.Errorf("the refresh token is not stored: it %w", err)
	}

	unlock, err := store.Lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()

	old, _, err := store.Load(ctx, key)
	if err != nil {
		return err
	}

	return store.Save(ctx, key, Chain{
		Refresh:    s.Refresh,
		Account:    s.Account,
		TenantName: cmp.Or(s.TenantName, old.TenantName),
		Obtained:   s.At,
		Refreshed:  s.At,
		Home:       s.Home || old.Home,
	}, s.Refresh.Fingerprint())
}
