// Package store defines what must survive a restart or a crash: refresh tokens,
// progress, and the alert versions that were emitted. It has the types, the interfaces
// and the errors. Package sqlite implements them in files of this machine, and package
// postgres in a database that several machines share. Package seal encrypts tokens for
// both, and package storetest has the conformance tests that each must pass.
//
// # What it promises
//
// When Chains.Save returns nil the chain survives a crash of the machine. A chain is
// used under Chains.Lock, by one goroutine of one process at a time.
//
// A Checkpoint and a set of Seen are kept per unit. Units.Commit writes both in one
// transaction for all units: a checkpoint is never ahead of the entries that were
// committed with it. After a crash of the machine, opening the store takes every unit
// back by CrashWindow, because the chunk files of Fluent Bit may have lost that much
// (Store.CrashedMachine).
//
// A chain is replaced under its lock, and with Chains.Swap only by the state that
// follows the stored one: a slow redemption never overwrites a newer sign-in. Access
// tokens are kept with a key only.
//
// With a key, tokens that are not encrypted, or not those that were written last, are
// refused (ErrPlain, ErrTampered). Only Chains.Rekey accepts them.
//
// # Caveats
//
// One process at a time commits to a unit. Others may read everything, change chains
// and request rewinds.
package store
