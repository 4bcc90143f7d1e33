// Package defender reads the alert APIs of Microsoft Defender: a window of update time in, raw alerts out.
//
// A Reader knows one API of one tenant: how to ask for a window, how its pages hang together, what its refusals mean.
// It keeps no checkpoint, knows no repeats and decides nothing about when to call again: package collect does. It promises that
// when Read returns nil every row that the API listed for the window was handed to the Sink at least once, and that
// Sink.Safe is called only for times before which that already holds. It may hand over rows twice, in any order, and a
// little outside the window: the services' bounds are of unknown openness and their clocks coarser than their data.
//
// Caveats: rows are handed over as the bytes that arrived, unchecked; a body that is cut short has handed over its whole
// rows before the error. A bearer token goes to the configured host only, redirects are never followed.
package defender
