package tokens

import (
	"context"
	"errors"
	"strings"
	"time"

	"fluent-bit-defender/internal/secret"
)

// ChainKey names a chain of refresh tokens. Entra binds a refresh token to a user and a
// client, not to an API, so one chain serves every API of a tenant. NewChainKey makes
// one.
type ChainKey struct {
	// LoginHost is the host, with its port if it is not the scheme's own, of the
	// sign-in service, in lower case.
	LoginHost string
	// TenantID is the tenant where the user signed in, as configured, in lower case.
	TenantID string
	// ClientID is the application, in lower case.
	ClientID string
}

// NewChainKey returns the key of the chain of an application whose user signed in to a
// tenant. login is the address of the sign-in service, or its host.
func NewChainKey(login, tenantID, clientID string) ChainKey {
	return ChainKey{
		LoginHost: LoginHost(login),
		TenantID:  strings.ToLower(tenantID),
		ClientID:  strings.ToLower(clientID),
	}
}

// Chain is the newest state of a chain of refresh tokens.
type Chain struct {
	// Refresh is the newest refresh token. Previous is the one before it, which is kept
	// until the newest has been redeemed once: Entra was seen to refuse a good token
	// now and then (AADSTS70000).
	Refresh, Previous secret.Text
	// Account is the user who signed in, where known. TenantName is the operator's
	// label. Both are for people.
	Account, TenantName string
	// Obtained is when a person signed in (or a seed was first redeemed), Refreshed
	// when the newest token was issued.
	Obtained, Refreshed time.Time
	// Home says that other tenants are reached with the chain too: it began, or is
	// used, in the provider's own tenant. Confirmed is when that tenant accepted a
	// token of the chain last; zero where only Refreshed tells.
	Home      bool
	Confirmed time.Time
	// Dead says why the newest token will never work again; zero while the chain lives.
	// A dead token is not sent again. Rejected is when it was declared dead.
	Dead     Refusal
	Rejected time.Time
	// Version counts the writes of this chain. The store sets it. It shows the holder
	// of a copy that another process wrote.
	Version int64
}

// ErrBarred is the error of a ChainStore when the tokens are there and may not be used:
// they are encrypted with another key, or may be somebody else's. Only a person can
// change that.
var ErrBarred = errors.New("the stored tokens may not be used")

// ErrOvertaken is the error of ChainStore.Swap when another state was stored meanwhile.
var ErrOvertaken = errors.New("another state of the chain was stored meanwhile")

// AccessKey names an access token that was got with a chain: for which tenant, and for
// which API.
type AccessKey struct {
	// Chain is the chain whose refresh token was redeemed.
	Chain ChainKey
	// TenantID is the tenant where it was redeemed, in lower case; Resource the App ID
	// URI of the API.
	TenantID, Resource string
}

// ChainStore keeps chains of refresh tokens. Implementations are safe for concurrent
// use by goroutines and by processes.
type ChainStore interface {
	// Lock locks one chain for this caller alone, across processes, until unlock is
	// called. It waits until ctx ends.
	Lock(ctx context.Context, key ChainKey) (unlock func(), err error)
	// Load returns the newest state of a chain. ok is false if there is none; err is
	// nil then.
	Load(ctx context.Context, key ChainKey) (c Chain, ok bool, err error)
	// Save makes c the newest state and, in the same transaction, remembers the
	// fingerprints of seeds (see SeedSeen). When it returns nil, c survives a crash of
	// the machine.
	Save(ctx context.Context, key ChainKey, c Chain, seeds ...[32]byte) error
	// Swap is Save for a state that follows another one. It changes nothing and returns
	// ErrOvertaken unless the stored state is the one with c.Version; 0 stands for a
	// chain that is not stored. So the answer to a slow redemption never replaces a
	// newer sign-in, whoever holds the lock.
	Swap(ctx context.Context, key ChainKey, c Chain, seeds ...[32]byte) error
	// SeedSeen reports whether a refresh token with this fingerprint (see
	// secret.Text.Fingerprint) ever started this chain. A configured token that was
	// rotated since must not replace its successors after a restart.
	SeedSeen(ctx context.Context, key ChainKey, fingerprint [32]byte) (bool, error)
	// KeepAccess keeps an access token, encrypted, in place of the one before it, so
	// that a restart needs no redemption. A store that does not encrypt keeps none, and
	// returns nil. A zero Access removes what is kept.
	KeepAccess(ctx context.Context, at AccessKey, a Access) error
	// KeptAccess returns the access token that is kept; ok is false if there is none.
	// It may have ended, and belong to an earlier sign-in (Access.SignedIn).
	KeptAccess(ctx context.Context, at AccessKey) (a Access, ok bool, err error)
}
