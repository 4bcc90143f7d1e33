package seal

import (
	"encoding/json"
	"errors"
	"fmt"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// access is the text that an access token is encrypted in. Times are in nanoseconds
// since 1970; 0 is no time.
type access struct {
	Token    string `json:"token"`
	Obtained int64  `json:"obtained"`
	Expiry   int64  `json:"expiry"`
	SignedIn int64  `json:"signed_in"`
	Scope    string `json:"scope,omitempty"`
}

// errNoKey says that access tokens are kept with a key only.
var errNoKey = errors.New("an access token is not kept without a key")

// EncryptAccess returns an access token as a store keeps it, bound to what it is for.
// There must be a Key: without one access tokens are not kept at all.
func (k *Key) EncryptAccess(at tokens.AccessKey, a tokens.Access) ([]byte, error) {
	if k == nil {
		return nil, errNoKey
	}

	text, err := json.Marshal(access{
		Token:    a.Token.Reveal(),
		Obtained: nanos(a.Obtained),
		Expiry:   nanos(a.Expiry),
		SignedIn: nanos(a.SignedIn),
		Scope:    a.Scope,
	})
	if err != nil {
		return nil, err
	}

	return k.Encrypt(accessPlace(at), secret.New(string(text)))
}

// DecryptAccess returns an access token that EncryptAccess returned for the same key. An
// older token of the same place is accepted too: its end is in it.
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
		Obtained: fromNanos(a.Obtained),
		Expiry:   fromNanos(a.Expiry),
		SignedIn: fromNanos(a.SignedIn),
		Scope:    a.Scope,
	}, nil
}

// accessPlace returns where the access token of a key stands.
func accessPlace(at tokens.AccessKey) Place {
	return Place{
		Key:   at.Chain,
		Field: fmt.Sprintf("access %q %q", at.TenantID, at.Resource),
	}
}
