// Package store keeps what must survive: refresh tokens, checkpoints and the set of
// alerts that were emitted, in two SQLite files of a directory that belongs to us
// (data_dir).
//
// # What it promises
//
// tokens.db has the chains of refresh tokens. When Chains.Save returns nil the chain
// survives a crash of the machine; a copy, tokens.db.bak, is kept up to date and takes
// its place when it is damaged. A chain is used under Chains.Lock, by one goroutine of
// one process at a time.
//
// defender.db has a Checkpoint and a set of Seen per feed. Store.Commit writes both in
// one transaction for all feeds: a checkpoint is never ahead of the entries that were
// committed with it. After a crash of the machine, Open takes every feed back by
// CrashWindow, because the chunk files of Fluent Bit may have lost that much
// (Store.CrashedMachine).
//
// Damage to one file never touches the other. A damaged file is renamed to
// NAME.damaged-TIME, never deleted, and the work goes on: with the copy of the tokens,
// or with polling from lookback on. This happens at Open, and in the middle of the work
// as well. A file of a newer version, or of another program, is refused and left alone.
//
// A file, or the directory, that is removed, moved or replaced while it is in use is
// written anew out of what is still open, by the process that runs inputs; others
// follow. What stood in its place is renamed to NAME.found-TIME (vanished.go).
//
// With a key, tokens.db is sealed (anchor.go): tokens that are not encrypted, or not
// those that were written last, are refused (ErrPlain, ErrTampered). Only Chains.Rekey
// takes them as good.
//
// # Files
//
//	tokens.db, defender.db    SQLite, WAL; with -wal and -shm beside them while they are open
//	tokens.db.bak             the copy of tokens.db
//	tokens.lock               no content; locks on its bytes: one per chain, and those by which files are opened and replaced
//	inputs.lock               held by the process that runs inputs; its process id, for people
//
// All have mode 0600 before anything is in them, whatever the umask, and belong to the
// owner of the directory when root makes them.
//
// # Caveats
//
// No other code of the process may open the two databases while a Store lives: closing
// any descriptor of a file drops the POSIX locks that a process has on it, also those
// of SQLite (https://www.sqlite.org/howtocorrupt.html, 2.2). To back up by hand, stop
// the inputs or use the sqlite3 shell's .backup.
//
// The directory must be on a file system of this machine: WAL needs shared memory
// (https://www.sqlite.org/wal.html).
//
// One process at a time commits feeds. Others may read everything, change chains and
// request rewinds.
package store
