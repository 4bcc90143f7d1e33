package collect

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"fluent-bit-defender/internal/logs"
)

// lines is a slog.Handler that keeps what is logged, as "LEVEL tenant: text".
type lines struct {
	mu   sync.Mutex
	kept []string
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()

	return slices.Clone(l.kept)
}

// text returns the lines one below the other.
func (l *lines) text() string { return strings.Join(l.all(), "\n") }

// count returns how many lines have a text in them.
func (l *lines) count(text string) int { return len(l.with(text)) }

// with returns the lines that have one of the texts in them.
func (l *lines) with(texts ...string) []string {
	return slices.DeleteFunc(l.all(), func(line string) bool {
		return !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(line, text) })
	})
}

// important returns the lines above the level debug, but for those about first polls.
func (l *lines) important() []string {
	return slices.DeleteFunc(l.all(), func(line string) bool {
		return strings.HasPrefix(line, "DEBUG ") || strings.Contains(line, "first poll: ")
	})
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.kept = append(l.kept, r.Level.String()+" "+r.Message)

	return nil
}

func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler { return ofTenant{l, attrs[0]} }
func (l *lines) WithGroup(string) slog.Handler            { panic("no group is expected") }

// ofTenant puts the tenant before the text.
type ofTenant struct {
	*lines
	tenant slog.Attr
}

func (o ofTenant) Handle(ctx context.Context, r slog.Record) error {
	if o.tenant.Key == logs.TenantKey {
		r.Message = o.tenant.Value.String() + ": " + r.Message
	}

	return o.lines.Handle(ctx, r)
}
