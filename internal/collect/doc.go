// Package collect polls tenants and hands their alerts to Fluent Bit, each version once.
//
// The way of an alert: a Tenant decides when to poll and from which time on; a
// defender.Reader hands over raw rows; what was emitted before is dropped (the
// seen-set); the rest is encoded and put into the Outbox, where it waits for Fluent
// Bit's thread; when the batch it is in has been taken in, the alert counts as emitted,
// and Input writes that down together with how far the tenant has come. Nothing is
// written down before it was taken in, so that an end of the process at any moment
// repeats a few seconds at worst and loses nothing. What the API cannot answer
// (windows.go) and what Fluent Bit refuses for ever (refused.go) is set aside in the
// store and tried again, so that it holds up nothing else.
//
// # Caveats
//
// What the package promises is in docs/contract.md. Order is not kept. The seen-set
// lives in memory, some 50 bytes for each alert version of the last sweep_lookback.
// While the store cannot be written, polling goes on, and what could not be written is
// kept in memory.
package collect
