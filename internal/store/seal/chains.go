package seal

import (
	"errors"
	"fmt"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// Load returns the chain of a key, decrypted with k; ok is false if there is none. It
// returns an error for a table or row that does not fit the seal.
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

// Info returns what is shown to people of a row. barred is the error of Check, if no
// row may be used. Why the tokens of this row may not be used is in the ChainInfo; the
// error that Info returns is about anything else.
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

// CheckVersion returns tokens.ErrOvertaken unless r is the row that chain was read
// from. The zero Row stands for none.
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
