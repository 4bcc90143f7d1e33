// Package loglines keeps what is logged, so that tests can check it.
package loglines

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"fluent-bit-defender/internal/logs"
)

// Lines keeps lines of the form "WARN text", or "WARN [contoso] text" when they are
// about a tenant. The zero value is empty; its methods are safe for concurrent use.
type Lines struct {
	mu   sync.Mutex
	list []string
}

// Logger returns a logger whose lines are kept, those of every level.
func (l *Lines) Logger() *slog.Logger { return slog.New(handler{lines: l}) }

// Take returns the lines since the last call.
func (l *Lines) Take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()

	list := l.list
	l.list = nil

	return list
}

// List returns the lines that were not taken.
func (l *Lines) List() []string {
	l.mu.Lock()
	defer l.mu.Unlock()

	return slices.Clone(l.list)
}

// With returns the lines of a level, such as "WARN", that were not taken.
func (l *Lines) With(level string) []string {
	return slices.DeleteFunc(l.List(), func(line string) bool { return !strings.HasPrefix(line, level+" ") })
}

// String returns the lines that were not taken, each with a newline at its end.
func (l *Lines) String() string {
	var b strings.Builder
	for _, line := range l.List() {
		b.WriteString(line + "\n")
	}

	return b.String()
}

type handler struct {
	lines  *Lines
	tenant string
}

// Enabled implements slog.Handler.
func (h handler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h handler) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " "
	if r.Level == logs.LevelTrace {
		line = "TRACE "
	}

	if h.tenant != "" {
		line += "[" + h.tenant + "] "
	}

	h.lines.mu.Lock()
	defer h.lines.mu.Unlock()

	h.lines.list = append(h.lines.list, line+r.Message)

	return nil
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == logs.TenantKey {
			h.tenant = a.Value.String()
		}
	}

	return h
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(string) slog.Handler { return h }
