// Package logs holds what the packages agree on beside log/slog: how a line names the
// tenant that it is about, and a logger that several inputs share.
//
// Every package takes a *slog.Logger. What becomes of a line is decided by whoever makes
// the logger: the plugin writes to Fluent Bit's log, the command line to stderr.
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
