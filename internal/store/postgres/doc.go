// Package postgres keeps what must survive in a PostgreSQL database, which several
// machines use at the same time. It implements store.Shared.
//
// # What it promises
//
// All that package store promises. A call has a time limit of its own, whatever becomes
// of the database or of the network: it returns an error that names the database and
// what to do, and the next call works as soon as the database does. A call that was
// cut off may have been carried out or not; to make it again is safe.
//
// A unit is written by the node that holds it. A write states the epoch under which it is
// held, and one that comes too late changes nothing (store.FencedError).
//
// # Caveats
//
// It works through a pool of connections such as pgbouncer in transaction mode: there are
// no prepared statements with names, no settings of a session, and no locks of one.
//
// Only the clock of the database counts. A process knows it from the answers it gets, and
// goes on from there by its own monotonic clock.
package postgres
