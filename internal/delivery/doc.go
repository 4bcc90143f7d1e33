// Package delivery moves encoded events from a queue in memory to Fluent Bit. It knows
// bytes and tags only: neither what an event says, nor whose it is, nor a store.
//
// Many goroutines add events to an Outbox, each to the end of a Stream. One Sender, on
// the thread of the collect callback, appends them to Fluent Bit, batch by batch. It
// calls the Owner of a stream to say how far its events have been delivered, and which
// of them Fluent Bit rejects.
//
// # States of an event
//
//	        Outbox.Add          accepted                    in the store
//	read ────────────► queued ─────────────► delivered ─────────────────────► committed
//	                    │ │ accepted,            ▲                               ▲
//	                    │ │ best effort          │ a second later                │
//	                    │ └───────► unconfirmed ─┤                               │
//	                    │ refused for 30 s       │                               │
//	                    ▼           accepted     │                               │
//	                 suspect ────────────────────┤                               │
//	                    │ refused, while others  │                               │
//	                    ▼ are accepted  accepted │                               │
//	                 rejected ───────────────────┘       in the store            │
//	                    └────────────────────────────────────────────────────────┘
//
// The first state and the last one, read and committed, belong to the owner of the
// stream.
//
//   - queued: the event is in a batch of the outbox.
//   - suspect: its batch was refused for 30 seconds and was split into single events.
//     It may be the reason. A suspect is outside the queue, so that it holds up no
//     other event.
//   - rejected: Fluent Bit refuses it while it accepts others. Owner.Rejected is
//     called; the owner commits the event, calls Outbox.Release, and offers it again
//     from time to time with Outbox.Offer.
//   - delivered: the append returned success.
//   - unconfirmed: in mode BestEffort the append returned success, which means only
//     that the event is in a ring in memory. It is delivered at a tick at least a
//     second later, if there was no pause in between.
//   - committed: the owner's store knows that the event was delivered, or has it as
//     rejected.
//
// # When everything is refused
//
// A refusal can have two causes. If a disk is full, everything is refused until there is
// room again. If a processor fails, the same event is refused for ever. The difference
// shows only when another event is accepted meanwhile. The sender is blocked from the
// first tick in which everything is refused until something is accepted. While it is
// blocked it tries the head of the queue and one suspect after 1, 2, 4, 8 and then every
// 10 seconds, since each attempt leaves lines in Fluent Bit's log. Sender.Blocked reports
// a blockage that lasts.
//
// # Caveats
//
// Events of a stream may be delivered in another order than they were added. The events
// in the outbox are lost when the process ends, unless the owner keeps what
// Outbox.Undelivered returns.
package delivery
