// Package collect polls units (one API of one tenant each) and delivers their alerts to
// Fluent Bit, each version once.
//
// The way of an alert: a poller decides when to poll and from which time on; a
// defender.Reader passes on raw rows; a sink drops what was emitted before, encodes the
// rest and queues it in the outbox of package delivery; when the alert is delivered,
// the committer writes that to the store, together with how far the unit has come
// (package progress). Nothing is committed before it was delivered, so an end of the
// process at any moment repeats a few seconds at worst and loses nothing.
//
// Three kinds of work are deferred: they are kept in the store, and tried again until
// they succeed, so that they hold up nothing else. A window that the API fails to
// answer is in windows.go, an event that Fluent Bit rejects in rejected.go, a batch
// that was queued at an orderly end in parked.go.
//
// # Goroutines
//
// Each unit has a poller. It works on a goroutine that pollers share (workers.go), and
// has none while the unit rests (alarm.go). The goroutine of a unit's rejected events
// lives as long as there are some. Each input has one committer and one reporter, which
// writes the status that `defenderctl status` shows. The collect callback calls
// Input.Delivery on Fluent Bit's thread.
//
// # Caveats
//
// What the package promises is in docs/contract.md. Order is not kept. The seen-set lives
// in memory, some 50 bytes for each alert version of the last sweep_lookback. While the
// store cannot be written, polling goes on, and what could not be written is kept in
// memory.
package collect
