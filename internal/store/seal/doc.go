// Package seal keeps refresh tokens secret and unforgeable at rest. It knows nothing of
// the database that they are kept in.
//
// # What it promises
//
// With a Key, a token is encrypted, and bound to its chain, its field and the version
// of its row. A table of chains has a seal: an authenticated statement of what the
// whole table holds and how many changes were made to it. Whoever can write the
// database, but has no key, can make it unusable, but cannot make it use a token that
// is not the newest. A store calls Anchor.Check before it uses the table, Anchor.Find
// to read a row, and Anchor.Reseal in the transaction that changes it.
//
// # Caveats
//
// Without a Key tokens are plain and nothing is sealed.
//
// Nobody notices if an older database is put back together with all its copies while no
// process has them open. The marks of seeds, and everything that is not about tokens,
// are not covered by the seal.
//
// An Anchor is not safe for concurrent use: the store's lock on the table guards it.
package seal
