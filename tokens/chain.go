package tokens

import (
	"context"
	"errors"
	"time"

	"fluent-bit-defender/internal/secret"
)

// ChainKey names a chain of refresh tokens: each redemption of one gives its successor.
// Entra binds a refresh token to a user and a client, so one chain serves every API of
// a tenant.
type ChainKey struct {
	// LoginHost is the host, with its port if it is not the scheme's own, of the
	// sign-in service, in lower case.
	LoginHost string
	// TenantID is the customer's tenant exactly as configured, in lower case.
	TenantID string
	// ClientID is the application, in lower case.
	ClientID string
}

// Chain is the newest state of a chain of refresh tokens.
type Chain struct {
	// Refresh is the newest refresh token; Previous the one before it, kept until the
	// newest has been redeemed once (Entra was seen to refuse a good token now and
	// then: AADSTS70000).
	Refresh, Previous secret.Text
	// Account is the user who signed in, where known; TenantName the label the operator
	// gave. Both are for people.
	Account, TenantName string
	// Obtained is when a person signed in (or a seed was first redeemed), Refreshed
	// when the newest token was issued.
	Obtained, Refreshed time.Time
	// Dead says why the newest token will never work again; zero while the chain lives.
	// A dead token is not sent again. Rejected is when it was declared dead.
	Dead     Refusal
	Rejected time.Time
	// Version counts the writes of this chain; the store sets it. A holder of a cached
	// chain sees by it that another process wrote.
	Version int64
}

// ErrBarred is what a ChainStore's error is when the tokens are there and may not be
// used: they are encrypted with another key, or may be somebody else's. Only a person
// can change that.
var ErrBarred = errors.New("the stored tokens may not be used")

// ChainStore keeps chains of refresh tokens. Implementations are safe for concurrent
// use by goroutines and by processes.
type ChainStore interface {
	// Lock gives exclusive use of one chain, across processes, until unlock is called.
	// It waits until ctx ends.
	Lock(ctx context.Context, key ChainKey) (unlock func(), err error)
	// Load reads the newest state of a chain; ok is false if there is none (err is nil
	// then).
	Load(ctx context.Context, key ChainKey) (c Chain, ok bool, err error)
	// Save makes c the newest state and, in the same transaction, remembers the
	// fingerprints of seeds (see SeedSeen). When it returns nil, c survives a crash of
	// the machine.
	Save(ctx context.Context, key ChainKey, c Chain, seeds ...[32]byte) error
	// SeedSeen reports whether a refresh token with this fingerprint
	// (secret.Text.Fingerprint) was ever the beginning of this chain, so that a
	// configured token that was since rotated does not replace its successors after a
	// restart.
	SeedSeen(ctx context.Context, key ChainKey, fingerprint [32]byte) (bool, error)
}
