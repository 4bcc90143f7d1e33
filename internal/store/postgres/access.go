package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"fluent-bit-defender/tokens"
)

// ofAccess is the condition for an access token, with accessArgs. Access tokens are
// encrypted and bound to their tenant and API, so that they need no seal: whoever can
// write the table can only put back an older one of the same kind, which has ended.

const ofAccess = ofChain + ` AND customer = $4::text AND resource = $5::text`

func accessArgs(at tokens.AccessKey) []any {
	return append(chainArgs(at.Chain), at.TenantID, at.Resource)
}

// KeepAccess implements tokens.ChainStore. Without a key nothing is kept. It also
// deletes tokens that have ended.
func (c *Chains) KeepAccess(ctx context.Context, at tokens.AccessKey, a tokens.Access) error {
	key := c.s.key.Load()
	if key == nil {
		return c.s.writable()
	}

	var sealed []byte

	if !a.Token.IsZero() {
		var err error
		if sealed, err = key.EncryptAccess(at, a); err != nil {
			return err
		}
	}

	return c.s.update(ctx, "keep access", func(ctx context.Context, t pgx.Tx) error {
		var b pgx.Batch

		b.Queue(`DELETE FROM defender.access WHERE expiry <= $1::bigint`, c.s.o.Now().UnixNano())

		if sealed == nil {
			b.Queue(`DELETE FROM defender.access WHERE `+ofAccess, accessArgs(at)...)
		} else {
			b.Queue(`INSERT INTO defender.access
				(login_host, tenant_id, client_id, customer, resource, expiry, sealed)
				VALUES ($1::text, $2::text, $3::text, $4::text, $5::text, $6::bigint, $7::bytea)
				ON CONFLICT (login_host, tenant_id, client_id, customer, resource)
				DO UPDATE SET expiry = excluded.expiry, sealed = excluded.sealed`,
				append(accessArgs(at), a.Expiry.UnixNano(), sealed)...)
		}

		return t.SendBatch(ctx, &b).Close()
	})
}

// KeptAccess implements tokens.ChainStore.
func (c *Chains) KeptAccess(ctx context.Context, at tokens.AccessKey) (a tokens.Access, ok bool, err error) {
	return c.s.key.Load().KeptAccess(at, func() (sealed []byte, err error) {
		err = c.s.view(ctx, "kept access", func(ctx context.Context, q querier) error {
			sealed = nil

			err := q.QueryRow(ctx, `SELECT sealed FROM defender.access WHERE `+ofAccess, accessArgs(at)...).
				Scan(&sealed)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}

			return err
		})

		return sealed, err
	})
}
