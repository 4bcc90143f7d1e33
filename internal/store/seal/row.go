package seal

import (
	"encoding/binary"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// Row is a chain as a store keeps it. A removed chain keeps its row, without tokens, so
// that its version goes on counting.
type Row struct {
	Key     tokens.ChainKey
	Version int64
	Removed bool
	// Refresh and Previous are tokens as Encrypt returns them.
	Refresh, Previous         []byte
	Account, TenantName, Dead string
	// Obtained, Refreshed, Rejected and Confirmed are in nanoseconds since 1970; 0 is
	// the zero time.
	Obtained, Refreshed, Rejected, Confirmed int64
	// Home says that other tenants are reached with the chain.
	Home bool
}

// Removal returns the row that replaces an old one when its chain is removed.
func Removal(old Row) Row {
	return Row{Key: old.Key, Version: old.Version + 1, Removed: true}
}

// NewRow returns the row of a chain, with its tokens encrypted.
func NewRow(k *Key, key tokens.ChainKey, c tokens.Chain, version int64) (r Row, err error) {
	dead, err := c.Dead.MarshalText()
	if err != nil {
		return r, err
	}

	r = Row{
		Key:        key,
		Version:    version,
		Account:    c.Account,
		TenantName: c.TenantName,
		Dead:       string(dead),
		Obtained:   store.Nanos(c.Obtained),
		Refreshed:  store.Nanos(c.Refreshed),
		Rejected:   store.Nanos(c.Rejected),
		Confirmed:  store.Nanos(c.Confirmed),
		Home:       c.Home,
	}

	r.Refresh, err = k.Encrypt(r.place("refresh"), c.Refresh)
	if err != nil {
		return r, err
	}

	r.Previous, err = k.Encrypt(r.place("previous"), c.Previous)

	return r, err
}

// Chain decrypts a row; see Key.Decrypt for plainToo. If the error says that the tokens
// may not be used (tokens.ErrBarred), the chain has everything but the tokens.
func (r *Row) Chain(k *Key, plainToo bool) (tokens.Chain, error) {
	c := tokens.Chain{
		Account:    r.Account,
		TenantName: r.TenantName,
		Obtained:   store.FromNanos(r.Obtained),
		Refreshed:  store.FromNanos(r.Refreshed),
		Version:    r.Version,
		Home:       r.Home,
		Confirmed:  store.FromNanos(r.Confirmed),
	}
	if err := c.Dead.UnmarshalText([]byte(r.Dead)); err != nil {
		return c, err
	}

	if !c.Dead.IsZero() {
		c.Rejected = store.FromNanos(r.Rejected)
	}

	var err error

	c.Refresh, err = k.Decrypt(r.place("refresh"), r.Refresh, plainToo)
	if err != nil {
		return c, err
	}

	c.Previous, err = k.Decrypt(r.place("previous"), r.Previous, plainToo)

	return c, err
}

// Renew returns a row encrypted with another key. It accepts tokens that are not
// encrypted.
func (r *Row) Renew(from, to *Key) (Row, error) {
	chain, err := r.Chain(from, true)
	if err != nil {
		return Row{}, err
	}

	return NewRow(to, r.Key, chain, r.Version+1)
}

// Current reports whether both tokens are in the form in which k would write them now.
func (r *Row) Current(k *Key) bool { return k.Current(r.Refresh) && k.Current(r.Previous) }

// Encrypted reports whether a token of the row was encrypted with k.
func (r *Row) Encrypted(k *Key) bool { return k.encrypted(r.Refresh) || k.encrypted(r.Previous) }

func (r *Row) place(field string) Place {
	return Place{Key: r.Key, Field: field, Version: r.Version}
}

// Bytes returns the whole row as one unambiguous text, for checksums. For a row of an
// older version, which knew neither Confirmed nor Home, it is the same text as then.
func (r *Row) Bytes() []byte {
	var b []byte

	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	number := func(n int64) { b = binary.AppendVarint(b, n) }

	for _, s := range []string{
		r.Key.LoginHost,
		r.Key.TenantID,
		r.Key.ClientID,
		string(r.Refresh),
		string(r.Previous),
		r.Account,
		r.TenantName,
		r.Dead,
	} {
		text(s)
	}

	for _, n := range []int64{r.Version, r.Obtained, r.Refreshed, r.Rejected} {
		number(n)
	}

	if r.Removed {
		b = append(b, 1)
	}

	if r.Home {
		b = append(b, 2)
	}

	if r.Confirmed != 0 {
		b = append(b, 3)

		number(r.Confirmed)
	}

	return b
}
