// Package tokens signs in to Entra ID: it turns what an operator configured, or a
// person's sign-in, into access tokens for Microsoft's APIs, and keeps the refresh
// tokens of many customers' tenants alive.
//
// # Basics
//
// App says who asks for what. Client makes single requests: Redeem, ClientCredentials,
// Exchange, DeviceAuth. Source keeps an access token at hand for one API, renewing it
// early. Sources of one application in one tenant share a chain of refresh tokens, kept
// in a ChainStore; a Keeper over it survives a full disk. AuthCode, Listen, ParsePasted
// and DevicePoll are for a person's first sign-in, Adopt stores its result. Every
// refusal is an *Error: a sentence, a remedy, what it waits for (Fate), and an exit
// code.
//
// # What it promises
//
// A new refresh token is in the store before the access token that came with it is
// handed out, and the one before it is kept until the new one has been redeemed once.
// Redemptions of one chain never overlap, not even between processes. A refresh token
// that is declared dead is not sent again, and what was said then is said again; only a
// closed list of codes does that. Any other refused token is tried again. A configured
// refresh token begins a chain once in its life, and a living chain goes on when it is
// refused. No request follows a redirect. No secret is in any error, log line or
// printed value, whatever the other end sends back. No sign-in waits for ever: not for
// an answer, nor for a chain that somebody else holds.
//
// # Caveats
//
// A redemption whose answer was lost cannot be told from one that never arrived; it is
// repeated at once with the same token, which Entra allows. While the store cannot be
// written, a rotated token is in memory only: see Keeper. The meaning of AADSTS codes
// is Microsoft's to change; unknown ones are treated by their OAuth error.
package tokens
