// Package instance is the plugin without its C: what the callbacks of Fluent Bit do,
// and how an [INPUT] section is put together from configuration, sign-in, readers and
// collection.
//
// A Process is what all [INPUT] sections of one process share: stores, access tokens,
// throttling, connections. Fluent Bit calls it on its own threads. Only Open and Exit
// may wait there for a file, a database or the network.
package instance
