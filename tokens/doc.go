// Package tokens signs in to Entra ID. It turns what an operator configured, or a
// person's sign-in, into access tokens for Microsoft's APIs, and keeps the refresh
// tokens of many customers' tenants alive.
//
// The package is at the top of the module, beside plugin and cmd, because it stands on
// its own: it knows nothing of alerts, Fluent Bit or a particular store, and the
// plugin, the command line and any other program that signs in for many tenants use it
// alike.
//
// # Basics
//
// An App says which application asks for what, in which tenant. A Client makes single
// requests: Redeem, ClientCredentials, Exchange, DeviceAuth. A Source has an access
// token for one API ready and renews it before it ends.
//
// A chain is the refresh tokens that follow from one sign-in: each redemption of one
// returns its successor. A ChainKey names it, a ChainStore keeps it, and all Sources of
// one application in one tenant share it. A Keeper in front of the store survives a
// full disk. A seed is a refresh token from the configuration, which starts a chain.
//
// With App.Home the chain is that of the provider's own tenant, and serves all customers
// that are reached from there: its newest refresh token is redeemed at each of them
// (home.go). Redemptions spreads the redemptions of a process over time.
//
// AuthCode, Listen, ParsePasted and DevicePoll are for a person's first sign-in; Adopt
// stores its result. Every failure is an *Error: an advice.Fault with a problem, a
// remedy and a fate, and the Refusal of the service.
//
// # What it promises
//
// A new refresh token is in the store before the access token that came with it is
// returned. The one before it is kept until the new one has been redeemed once.
//
// Redemptions of one chain never overlap, not even between processes; but those at
// customers do, which rotate nothing. A new state of a chain is stored only in the place
// of the one that it follows: a slow answer never replaces a newer sign-in.
//
// A customer's refusal never ends a chain that others use. Home is asked before it is
// called dead, and its end is logged once.
//
// At most five redemptions of a chain reach the service within any second.
//
// A dead refresh token is not sent again, and its refusal is explained later in the
// same words. Only a closed list of codes makes one dead; after any other refusal the
// token is tried again.
//
// A seed starts a chain once in its life. A living chain goes on when a new seed is
// refused.
//
// No request follows a redirect. No secret is in an error, a log line or a printed
// value, whatever the other end sends back.
//
// No sign-in waits for ever: not for an answer, nor for a chain that somebody else
// holds.
//
// # Caveats
//
// A redemption whose answer was lost cannot be told from one that never arrived. It is
// repeated at once with the same token, which Entra allows.
//
// While the store cannot be written, a new refresh token is in memory only: see Keeper.
//
// Microsoft may change the meaning of its AADSTS codes. Unknown ones are treated by
// their OAuth error.
package tokens
