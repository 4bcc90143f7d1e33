// Package defender reads the alert APIs of Microsoft Defender: a window of update time
// in, raw alerts out.
//
// A Reader knows one API of one tenant: how to ask for a window, how its pages hang
// together, what its refusals mean. It keeps no checkpoint, knows no repeats and
// decides nothing about when to call again: package collect does.
//
// # What it promises
//
//   - When Read returns nil, every row that the API listed for the window, up to
//     its end or the present, was given to the Sink at least once, but for what
//     the Sink agreed to defer. Sink.Safe is called only for times before which
//     that already holds.
//   - A refused or odd answer is never the end of a list. The end is a request,
//     anchored at or behind the last row, that brings nothing new and is answered
//     as documented. Where the end of an instant cannot be found, the reader goes
//     on behind it and defers it.
//   - Every Read ends: whatever a service answers, the number of requests, rows
//     and bytes is bounded by what it lists.
//   - A bearer token goes to the configured host only; redirects are never
//     followed. No text that leaves the package holds a token, an address's query
//     or words out of an answer.
//   - No request is sent before the time that the service asked to wait has
//     passed, nor beyond the call budgets of the Gate.
//
// # How a window is read
//
//   - pieces.go cuts it, if it must: a window that fails twice in a row, while the
//     service answers other requests, is quartered until what is left is read, or
//     is a millisecond (siem: a second) that cannot be read, which is deferred.
//   - walk.go reads a piece of the OData APIs in ascending order of time, each
//     request anchored at the last row's time.
//   - ties.go reads an instant with more alerts than a page holds; cursor.go goes
//     from page to page of it by a table of rules.
//   - slices.go reads from a service that does not keep the order asked for.
//   - siem.go reads a piece in one request.
//
// # Caveats
//
//   - It may give rows twice, in any order, and a little outside the window: the
//     services' bounds are of unknown openness and their clocks coarser than their
//     data.
//   - Rows are given as the bytes that arrived, unchecked; a body that is cut
//     short has given its whole rows before the error.
//   - A service that lists everything whatever the filter is found by the times of
//     its rows, unless these all lie in the window.
//   - A service that refuses $skip, gives no links and cuts its pages to fewer
//     than ten rows without a word is believed while there is nothing later than
//     its last instant.
package defender
