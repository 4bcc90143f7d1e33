package logs

import (
	"context"
	"log/slog"
	"slices"
	"sync"
)

// Relay is for what several inputs share: its Logger prints through the logger of an
// input that is still open. Without any logger, lines are dropped. The zero value has
// none; the methods are safe for concurrent use.
type Relay struct {
	mu      sync.Mutex // guards loggers; not held while a line is printed
	loggers []*slog.Logger
}

// Add adds a logger that lines may be printed through.
func (r *Relay) Add(log *slog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.loggers = append(r.loggers, log)
}

// Remove removes a logger. One that was added twice is still there once.
func (r *Relay) Remove(log *slog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if i := slices.Index(r.loggers, log); i >= 0 {
		r.loggers = slices.Delete(r.loggers, i, i+1)
	}
}

// Logger returns a logger that prints each line through the logger that, of those in
// the relay at that moment, was added first.
func (r *Relay) Logger() *slog.Logger {
	return slog.New(relayHandler{relay: r, dress: func(h slog.Handler) slog.Handler { return h }})
}

// handler returns the handler of the first logger.
func (r *Relay) handler() slog.Handler {
	r.mu.Lock()
	defer r.mu.Unlock()

	if len(r.loggers) == 0 {
		return slog.DiscardHandler
	}

	return r.loggers[0].Handler()
}

// relayHandler passes records on to the logger that the relay has at that moment. dress
// adds the attributes and groups of this handler to that logger's handler.
type relayHandler struct {
	relay *Relay
	dress func(slog.Handler) slog.Handler
}

// Enabled implements slog.Handler.
func (h relayHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.relay.handler().Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h relayHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.dress(h.relay.handler()).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h relayHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return relayHandler{h.relay, func(to slog.Handler) slog.Handler { return h.dress(to).WithAttrs(attrs) }}
}

// WithGroup implements slog.Handler.
func (h relayHandler) WithGroup(name string) slog.Handler {
	return relayHandler{h.relay, func(to slog.Handler) slog.Handler { return h.dress(to).WithGroup(name) }}
}
