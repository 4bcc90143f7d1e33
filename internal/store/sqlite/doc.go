// Package sqlite is a store in two SQLite files of a directory of its own (data_dir).
//
// # What it promises
//
// Everything that package store promises, and this: damage to one file never affects
// the other. A damaged file is renamed to NAME.damaged-TIME, never deleted, and the
// work goes on: with the copy of the tokens, or with polling from lookback on. This
// happens when the store is opened, and also while it is in use. A file of a newer
// version, or of another program, is refused and left alone. A file of an older version
// is converted (upgrade.go).
//
// If a file, or the directory, is removed, moved or replaced while it is in use, the
// process that runs inputs writes it again from the file that is still open. Other
// processes open the new files. A file that was put there instead is renamed to
// NAME.found-TIME (vanished.go).
//
// # Files
//
//	tokens.db, defender.db    SQLite, WAL; with -wal and -shm beside them while open
//	tokens.db.bak             the copy of tokens.db
//	tokens.lock               no content; locks on its bytes (lock.go)
//	inputs.lock               held by the process that runs inputs; its id, for people
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
package sqlite
