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
// # Delivery
//
// Delivery moves events between these states:
//
//	            Fluent Bit accepts                          in the store
//	queued ─────────────────────────► delivered ──────────► committed
//	 │  ▲                                 ▲
//	 │  │ offered again                   │ accepts
//	 │  └───────────── rejected ◄──────┐  │
//	 │ its batch was refused for 30 s  │  │
//	 └─────────────────────────────► suspect
//
// A suspect becomes rejected when it is refused in the same tick in which something
// else is accepted after it; a rejected event is written to the store, and offered
// again every five minutes. In best-effort mode an accepted batch is unconfirmed for a
// second before it counts as delivered.
//
// Delivery itself is flowing or blocked. It is blocked from the first tick in which
// everything was refused until something is accepted: there is an attempt after 1, 2,
// 4, 8 and then every 10 seconds, with the head of the queue and one suspect. A
// blockage or a pause that lasts for some seconds is said once, and shows as the state
// "waiting" (blocked.go).
//
// # Caveats
//
// What the package promises is in docs/contract.md. Order is not kept. The seen-set
// lives in memory, some 50 bytes for each alert version of the last sweep_lookback.
// While the store cannot be written, polling goes on, and what could not be written is
// kept in memory.
package collect
