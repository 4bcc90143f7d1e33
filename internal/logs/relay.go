package logs

import (
	"context"
	"log/slog"
	"slices"
	"sync"
)

// Relay prints through one of several loggers: what inputs share logs through any of
// them that is still there. With none, lines are thrown away. The zero value has none;
// the methods are safe for concurrent use.
type Relay struct {
	mu      sync.Mutex // guards loggers; not held while a line is printed
	loggers []*slog.Logger
}

// Add lets lines go through log, too.
func (r *Relay) Add(log *slog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.loggers = append(r.loggers, log)
}

// Remove ends that. A logger that was added twice is removed once.
func (r *Relay) Remove(log *slog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if i := slices.Index(r.loggers, log); i >= 0 {
		r.loggers = slices.Delete(r.loggers, i, i+1)
	}
}

// Logger returns a logger that prints through the first of the loggers that are there at
// that moment.
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

// relayHandler passes records on to whatever logger the relay has. dress gives that
// logger's handler the attributes and groups of this one.
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
