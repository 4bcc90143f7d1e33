package seal

import (
	"encoding/json"
	"errors"
	"fmt"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// access is the text as which an access token is encrypted. Times are in nanoseconds
// since 1970; 0 is the zero time.
type access struct {
	Token    string `json:"token"`
	Obtained int64  `json:"obtained"`
	Expiry   int64  `json:"expiry"`
	SignedIn int64  `json:"signed_in"`
	Scope    string `json:"scope,omitempty"`
}

// errNoKey says that access tokens are stored with a key only.
var errNoKey = errors.New("an access token is not kept without a key")

// EncryptAccess returns an access token as a store keeps it, bound to its tenant and
// API. The Key must not be nil: without one access tokens are not stored.
func (k *Key) EncryptAccess(at tokens.AccessKey, a tokens.Access) ([]byte, error) {
	if k == nil {
		return nil, errNoKey
	}

	text, err := json.Marshal(access{
		Token:    a.Token.Reveal(),
		Obtained: store.Nanos(a.Obtained),
		Expiry:   store.Nanos(a.Expiry),
		SignedIn: store.Nanos(a.SignedIn),
		Scope:    a.Scope,
	})
	if err != nil {
		return nil, err
	}

	return k.Encrypt(accessPlace(at), secret.New(string(text)))
}

// DecryptAccess decrypts what EncryptAccess returned for the same AccessKey. An older
// token of the same AccessKey is accepted too: it says when it ends.
func (k *Key) DecryptAccess(at tokens.AccessKey, b []byte) (tokens.Access, error) {
	if k == nil {
		return tokens.Access{}, errNoKey
	}

	text, err := k.Decrypt(accessPlace(at), b, false)
	if err != nil {
		return tokens.Access{}, err
	}

	var a access
	if err := json.Unmarshal([]byte(text.Reveal()), &a); err != nil {
		return tokens.Access{}, errors.New("a kept access token cannot be read") // err would quote it
	}

	return tokens.Access{
		Token:    secret.New(a.Token),
		Obtained: store.FromNanos(a.Obtained),
		Expiry:   store.FromNanos(a.Expiry),
		SignedIn: store.FromNanos(a.SignedIn),
		Scope:    a.Scope,
	}, nil
}

// accessPlace returns the Place of an access token.
func accessPlace(at tokens.AccessKey) Place {
	return Place{
		Key:   at.Chain,
		Field: fmt.Sprintf("access %q %q", at.TenantID, at.Resource),
	}
}

// KeptAccess returns a stored access token. read returns what the store has of it, or
// nil. Without a Key there is none. A token that cannot be decrypted counts as not
// there: it was stored with another key.
func (k *Key) KeptAccess(at tokens.AccessKey, read func() ([]byte, error)) (a tokens.Access, ok bool, err error) {
	if k == nil {
		return tokens.Access{}, false, nil
	}

	sealed, err := read()
	if err != nil || sealed == nil {
		return tokens.Access{}, false, err
	}

	a, err = k.DecryptAccess(at, sealed)
	if err != nil {
		return tokens.Access{}, false, nil //nolint:nilerr // explained above
	}

	return a, true, nil
}
