// Package transfer copies a store into another one, of whatever kind: from files of one
// machine to a database that several share, or back.
//
// # What it promises
//
// Chains are copied with their seeds, units with their progress and what was delivered,
// deferred work with its events, statuses, requests to rewind, and documents. Tokens are
// encrypted anew, with the key of the target. What was written is read again and
// compared.
//
// The source is not changed. A target that is not empty is refused. A copy that was
// interrupted leaves a mark in the target (store.CopyMark), which says so to whoever
// opens it.
//
// # Caveats
//
// Nobody may use either store meanwhile: the caller opens them so that nobody can, and
// nodes of a database are looked for before and after.
//
// Access tokens are not copied; they are got anew.
package transfer
