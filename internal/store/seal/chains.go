package seal

import (
	"errors"
	"fmt"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// Load returns the chain of a key, decrypted with k; ok is false if there is none. It
// refuses a table and a row that do not fit the seal.
func (a *Anchor) Load(t Table, k *Key, key tokens.ChainKey) (chain tokens.Chain, ok bool, err error) {
	if err := a.Check(t, k); err != nil {
		return tokens.Chain{}, false, err
	}

	r, found, err := a.Find(t, k, key)
	if err != nil || !found || r.Removed {
		return tokens.Chain{}, false, err
	}

	chain, err = r.Chain(k, false)
	if err != nil {
		return tokens.Chain{}, false, err
	}

	return chain, true, nil
}

// Info describes a row for people. barred is what Check returned: why none of the rows
// may be used. Only an error that is not about the row's own tokens is returned.
func (a *Anchor) Info(k *Key, r *Row, barred error) (store.ChainInfo, error) {
	info := store.ChainInfo{Key: r.Key}

	info.Chain, info.Err = r.Chain(k, false)
	if info.Err != nil && !errors.Is(info.Err, tokens.ErrBarred) {
		return info, info.Err
	}

	if barred == nil && info.Err == nil {
		info.Err = a.Compare(k, r.Key, r, true)
	}

	if barred != nil {
		info.Err = barred
	}

	if info.Err != nil {
		info.Chain.Refresh = secret.Text{}
		info.Chain.Previous = secret.Text{}
	}

	return info, nil
}

// CheckVersion returns tokens.ErrOvertaken unless the row of a key is the one that chain
// was read from. The zero Row is none.
func (r *Row) CheckVersion(key tokens.ChainKey, chain tokens.Chain) error {
	stored := r.Version
	if r.Removed {
		stored = 0
	}

	if stored != chain.Version {
		return fmt.Errorf("tokens of tenant %s: %w", key.TenantID, tokens.ErrOvertaken)
	}

	return nil
}
