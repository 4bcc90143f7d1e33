// Package cli is the command defenderctl: its tree of commands, what they print
// and the exit codes they end with.
package cli
