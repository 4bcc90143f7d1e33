// Package unitstate decides what a store keeps of a unit besides its progress now, so
// that the last while can be undone: checkpoints as they were earlier, and the seen-set
// in parts that know when they were committed. It has no database and no clock; stores
// bring both.
//
// # What it promises
//
// After State.Undo, and the removal of all parts that are not durable, the unit is as it
// was at some moment that was durable then: nothing that was committed later is in the
// seen-set, all that was committed earlier is, and the checkpoint is not ahead of what
// is.
//
// The number of checkpoints and of parts is bounded by the window, however often a unit
// commits, and an entry is rewritten a logarithmic number of times.
//
// # Caveats
//
// The bytes of Encode and AppendSeen are in files of users: they do not change.
package unitstate
