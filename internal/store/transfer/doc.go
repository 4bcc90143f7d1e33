// Package transfer copies a store into another one of any kind: from files of one
// machine to a database that several share, or back.
//
// # What it promises
//
// Chains are copied with their seeds, units with their progress and what was delivered,
// deferred work with its events, statuses, requests to rewind, and documents. Tokens
// are encrypted with the key of the target. What was written is read again and
// compared.
//
// The source is not changed. A target that is not empty is refused. An interrupted copy
// leaves a mark in the target (store.CopyMark), so that no input uses it.
//
// # Caveats
//
// Nobody may use either store meanwhile. The caller opens them so that nobody can; Copy
// checks before and after that no node uses a database.
//
// Access tokens are not copied: the inputs get new ones.
package transfer
