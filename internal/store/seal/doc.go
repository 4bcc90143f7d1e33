// Package seal keeps refresh tokens secret and unforgeable at rest. It knows nothing of
// the database that they are kept in.
//
// # What it promises
//
// With a Key, a token is encrypted, and bound to its chain, its field and the version of
// its row. A table of chains carries a seal: an authenticated statement of what the
// whole table holds and how many changes were made to it. Whoever can write the
// database, but has no key, can make it unusable; nobody can make it use a token that is
// not the newest. A store calls Anchor.Check before it uses the table, Anchor.Find to
// read a row, and Anchor.Reseal in the transaction that changes it.
//
// # Caveats
//
// Without a Key tokens are plain and nothing is sealed.
//
// Somebody who puts back an older database together with all its copies, while no
// process has them open, goes back in time unnoticed. Marks of seeds, and what is not
// about tokens, are not under the seal.
//
// An Anchor is not safe for concurrent use: the store's lock on the table guards it.
package seal
