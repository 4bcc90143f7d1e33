package cli

import (
	"context"
	"log/slog"
	"strings"

	"fluent-bit-defender/internal/config/plain"
)

// maxLogLine is the most that is printed of a logged line, in characters.
const maxLogLine = 2000

// sayHandler is the slog.Handler of the packages that a command uses: it prints
// warnings and errors to stderr. The person who runs a command does not need the rest.
type sayHandler struct{ c *cli }

// Enabled implements slog.Handler.
func (h sayHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements slog.Handler.
func (h sayHandler) Handle(_ context.Context, r slog.Record) error {
	h.c.say("%s: %s", strings.ToLower(r.Level.String()), plain.Text(r.Message, maxLogLine))
	return nil
}

// WithAttrs implements slog.Handler. A command is about one tenant, which its other
// output names.
func (h sayHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h sayHandler) WithGroup(string) slog.Handler { return h }
