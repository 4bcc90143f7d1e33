package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// Access tokens are encrypted and bound to their tenant and API, so that they need no
// seal: whoever can write the file can only put back an older one of the same kind,
// which has ended. They are not written to the copy of the file: losing them costs
// redemptions only.

// KeepAccess implements tokens.ChainStore. Without a key nothing is kept. It also
// deletes tokens that have ended.
func (c *Chains) KeepAccess(ctx context.Context, at tokens.AccessKey, a tokens.Access) error {
	key := c.s.sh.key.Load()
	if key == nil {
		return c.s.writable()
	}

	var (
		sealed []byte
		err    error
	)

	if !a.Token.IsZero() {
		if sealed, err = key.EncryptAccess(at, a); err != nil {
			return err
		}
	}

	return c.s.update(ctx, c.s.sh.tokens, func(t tx) error {
		if err := t.exec(`DELETE FROM access WHERE expiry <= ?`, store.Nanos(c.s.sh.now())); err != nil {
			return err
		}

		if sealed == nil {
			return t.exec(`DELETE FROM access WHERE `+ofAccess, accessArgs(at)...)
		}

		return t.exec(
			`INSERT OR REPLACE INTO access VALUES (?,?,?,?,?,?,?)`,
			append(accessArgs(at), store.Nanos(a.Expiry), sealed)...,
		)
	})
}

// KeptAccess implements tokens.ChainStore.
func (c *Chains) KeptAccess(ctx context.Context, at tokens.AccessKey) (a tokens.Access, ok bool, err error) {
	return c.s.sh.key.Load().KeptAccess(at, func() (sealed []byte, err error) {
		err = c.s.view(ctx, c.s.sh.tokens, func(t tx) error {
			sealed = nil

			err := t.row(`SELECT sealed FROM access WHERE `+ofAccess, accessArgs(at)...).Scan(&sealed)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}

			return err
		})

		return sealed, err
	})
}

const ofAccess = `login_host = ? AND tenant_id = ? AND client_id = ? AND customer = ? AND resource = ?`

func accessArgs(at tokens.AccessKey) []any {
	return []any{
		at.Chain.LoginHost,
		at.Chain.TenantID,
		at.Chain.ClientID,
		at.TenantID,
		at.Resource,
	}
}

// dropAccess removes the access tokens of a chain.
func dropAccess(t tx, key tokens.ChainKey) error {
	return t.exec(
		`DELETE FROM access WHERE login_host = ? AND tenant_id = ? AND client_id = ?`,
		key.LoginHost,
		key.TenantID,
		key.ClientID,
	)
}
