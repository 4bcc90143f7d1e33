// Package postgres is a store in a PostgreSQL database that several machines use at the
// same time. It implements store.Shared.
//
// # What it promises
//
// Everything that package store promises. Every call has a time limit, whatever happens
// to the database or the network: it then returns an error that names the database and
// what to do, and the next call works as soon as the database does. A call that was cut
// off may have been carried out or not; it is safe to make it again.
//
// A unit is written by the node that holds it. A write states the epoch under which it
// is held, and one that comes too late changes nothing (store.FencedError).
//
// # Caveats
//
// It works through a pool of connections such as pgbouncer in transaction mode: there
// are no prepared statements with names, no settings of a session, and no locks of one.
//
// Only the clock of the database counts. A process learns it from the answers that it
// gets, and measures from there with its own monotonic clock.
package postgres
