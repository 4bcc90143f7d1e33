// Package unitstate decides what a store keeps of a unit besides its present progress,
// so that the last while can be undone: earlier checkpoints, and the seen-set in parts
// with the time of their commit. It has no database and no clock; the stores have both.
//
// # What it promises
//
// After State.Undo, and the removal of all parts that are not durable, the unit is as
// it was at some moment whose commits are durable: the seen-set has everything that was
// committed before that moment and nothing later, and the checkpoint is not ahead of
// it.
//
// The number of checkpoints and of parts is bounded by the window, however often a unit
// commits, and an entry is rewritten a logarithmic number of times.
//
// # Caveats
//
// The bytes of Encode and AppendSeen are in files of users, so their format must not
// change.
package unitstate
