// Package lease decides which units this process polls when several machines share a
// store. It is the engine behind store.Leases: it renews the lease of this node, claims
// units that are free, gives away what is above its share, and gives up what was lost.
// It knows nothing of Fluent Bit, of SQL and of how a unit is polled: whoever polls is a
// Member.
//
// # Trust
//
// The lease ends on the clock of the store. Here it is trusted until three seconds before
// that, counted from the moment before the renewal was sent, on a clock that goes on
// while the machine sleeps. Trusted is one comparison. Whoever polls or delivers asks it
// right before. When trust ends nothing is dropped: when a renewal succeeds again, the
// units that are still held go on, and the others are abandoned.
//
// # Balance
//
// The share of a node is the number of units that this process is configured for, divided
// by the number of live nodes; the first nodes in the order of their IDs get one more
// where that leaves a rest. A node claims up to its share at once. Beyond it claims only
// what has been free for a while, since another node may not be configured for it. What
// is above the share is given away, in the quiet moment of each unit, while another node
// has less than its share. What came back after it was given away stays for ten minutes.
//
// A node that ends in good order stays the home of its units. When it is back, its units
// go back to it before any others, so that a restart of all nodes, one by one, moves each
// unit twice.
//
// Units of a node that is silent are claimed when its lease has expired, and only by a
// node whose own connection has worked for a whole TTL: after an outage of the store, all
// leases have expired and nobody is dead.
//
// What a node that died had given away shortly before is recalled: whoever holds it gives
// it up like something that was lost, and releases it when nothing of it is left. Until
// then nobody else has it, since its holder may be delivering.
//
// # Goroutines
//
// A Node has one goroutine, from Join to Leave. It makes all calls of the store but those
// of Join, Leave and Remove, which wait for it.
package lease
