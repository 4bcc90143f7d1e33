// Package lease decides which units this process polls when several machines share a
// store. It makes the calls of store.Leases: it renews the lease of this node, claims
// units that are free, gives away what is above its share, and gives up what was lost.
// It knows nothing of Fluent Bit, of SQL and of how a unit is polled: an input that polls
// units is a Member.
//
// # Trust
//
// The lease ends on the clock of the store. A node trusts its lease until three seconds
// before that, counted from the moment before the renewal was sent, on a clock that goes
// on while the machine sleeps. Trusted is one comparison, and is called right before each
// poll and each delivery. When trust ends nothing is dropped: when a renewal succeeds
// again, the units that are still held go on, and the others are abandoned.
//
// # Balance
//
// The share of a node is the number of units that this process is configured for, divided
// by the number of live nodes; if there is a remainder, the first nodes in the order of
// their IDs get one more. A node claims units up to its share at once. Above its share it
// claims only units that have been free for a while, since the other nodes may not be
// configured for them. It gives away what it has above its share, each unit between two
// polls, while another node has less than its share. A unit that came back after it was
// given away stays for ten minutes.
//
// A node that ends in good order stays the home of its units. When it is back, its units
// go back to it before any others, so that a restart of all nodes, one by one, moves each
// unit twice.
//
// Units of a node that is silent are claimed when its lease has expired, and only by a
// node whose own connection has worked for a whole TTL: after an outage of the store, all
// leases have expired although no node is dead.
//
// Units that a node had given away shortly before it died are recalled: the node that
// holds one abandons it as if it were lost, and releases it when all work on it has
// ended. Until then no other node can claim it, since its holder may still be delivering.
//
// # Goroutines
//
// A Node has one goroutine, from Join to Leave. It makes all calls of the store but those
// of Join, Leave and Remove, which wait for it.
package lease
