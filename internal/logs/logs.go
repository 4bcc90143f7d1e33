// Package logs adds to log/slog what the packages of this project share: the attribute
// that names the tenant of a line, the level of traces, and a logger for several
// inputs.
//
// Every package takes a *slog.Logger. The program that makes it decides where lines go:
// the plugin writes to Fluent Bit's log, the command line to stderr.
package logs

import "log/slog"

// TenantKey is the attribute that names the tenant which a line is about.
const TenantKey = "tenant"

// LevelTrace is Fluent Bit's level trace, below slog.LevelDebug.
const LevelTrace slog.Level = -8

// Tenant returns the logger for lines about one tenant, and log itself for an empty name.
func Tenant(log *slog.Logger, name string) *slog.Logger {
	if name == "" {
		return log
	}

	return log.With(TenantKey, name)
}

// Discard returns a logger that prints nothing.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
