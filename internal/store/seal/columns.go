package seal

import (
	"fmt"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// Columns are the columns of a table of chains, in the order of Row.Values.
const Columns = `login_host, tenant_id, client_id, version, removed, refresh, previous,
	account, tenant_name, obtained, refreshed, dead, rejected, confirmed, home`

// Values returns the values to write into Columns.
func (r *Row) Values() []any {
	return []any{
		r.Key.LoginHost,
		r.Key.TenantID,
		r.Key.ClientID,
		r.Version,
		r.Removed,
		r.Refresh,
		r.Previous,
		r.Account,
		r.TenantName,
		r.Obtained,
		r.Refreshed,
		r.Dead,
		r.Rejected,
		r.Confirmed,
		r.Home,
	}
}

// Fields returns pointers to scan Columns into.
func (r *Row) Fields() []any {
	return []any{
		&r.Key.LoginHost,
		&r.Key.TenantID,
		&r.Key.ClientID,
		&r.Version,
		&r.Removed,
		&r.Refresh,
		&r.Previous,
		&r.Account,
		&r.TenantName,
		&r.Obtained,
		&r.Refreshed,
		&r.Dead,
		&r.Rejected,
		&r.Confirmed,
		&r.Home,
	}
}

// Rows is the result of a query, of any driver. The caller closes it.
type Rows interface {
	Next() bool
	Scan(into ...any) error
	Err() error
}

// KeyColumns are the columns of a chain's key.
const KeyColumns = `login_host, tenant_id, client_id`

// EachVersion calls do for each row of KeyColumns and the version.
func EachVersion(rows Rows, do func(key tokens.ChainKey, version int64)) error {
	for rows.Next() {
		var (
			key     tokens.ChainKey
			version int64
		)
		if err := rows.Scan(&key.LoginHost, &key.TenantID, &key.ClientID, &version); err != nil {
			return err
		}

		do(key, version)
	}

	return rows.Err()
}

// Seeds returns the fingerprints of the seeds of each chain, from rows of KeyColumns and
// the fingerprint.
func Seeds(rows Rows) (map[tokens.ChainKey][][32]byte, error) {
	seeds := make(map[tokens.ChainKey][][32]byte)

	for rows.Next() {
		var (
			key         tokens.ChainKey
			fingerprint []byte
		)
		if err := rows.Scan(&key.LoginHost, &key.TenantID, &key.ClientID, &fingerprint); err != nil {
			return nil, err
		}

		if len(fingerprint) != 32 {
			return nil, fmt.Errorf("%w: a seed of tenant %q", store.ErrDamaged, key.TenantID)
		}

		seeds[key] = append(seeds[key], [32]byte(fingerprint))
	}

	return seeds, rows.Err()
}
